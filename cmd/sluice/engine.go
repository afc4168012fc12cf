package main

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/analysis/provider"
	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/api/validation"
	"github.com/sluice-dev/sluice/mesh"
	"github.com/sluice-dev/sluice/reconciler"
)

// engineManagerOptions are what a manager needs for the engine to run in it: the scheme, and what is cached and how.
func engineManagerOptions(o engineOptions, log logr.Logger) (manager.Options, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1beta1.AddToScheme} {
		if err := add(scheme); err != nil {
			return manager.Options{}, fmt.Errorf("building the scheme: %w", err)
		}
	}
	return manager.Options{Scheme: scheme, Logger: log, Cache: reconciler.CacheOptions(list(o.namespace)...), Client: reconciler.ClientOptions()}, nil
}

// judge applies the rules of admission to a Canary that is stored already.
func judge(o engineOptions) func(*v1beta1.Canary) []string {
	return func(c *v1beta1.Canary) []string {
		denials, _ := validation.ValidateCanary(c, validation.Options{
			DefaultProvider: o.meshProvider, NoCrossNamespaceRefs: o.noCrossNamespace, Features: validation.CurrentFeatures(),
		})
		problems := make([]string, 0, len(denials))
		for _, d := range denials {
			problems = append(problems, d.String())
		}
		return problems
	}
}

// newRouter returns what reads and writes routes, for the reconciler and for admission.
func newRouter(mgr manager.Manager, o engineOptions) (*mesh.Router, error) {
	router, err := mesh.New(mgr.GetClient(), mgr.GetAPIReader(), o.meshProvider, clock.RealClock{})
	if err != nil {
		return nil, fmt.Errorf("-mesh-provider=%q: %w", o.meshProvider, err)
	}
	return router, nil
}

// addEngine adds what carries rollouts out: routes, checks and the reconciler. It runs on the leader only, for at most concurrency Canaries at a
// time, and registers its metrics. Without a key for verbs it looks at none.
func addEngine(
	ctx context.Context, mgr manager.Manager, router *mesh.Router, o engineOptions, verbKey func(context.Context) ([]byte, error), concurrency int,
	registry prometheus.Registerer,
) error {
	counters, err := reconciler.NewMetrics(registry, mgr.GetClient(), version, o.meshProvider)
	if err != nil {
		return err
	}
	host, _, err := rest.DefaultServerUrlFor(mgr.GetConfig())
	if err != nil {
		return fmt.Errorf("the address of the API server: %w", err)
	}
	alerts, err := analysis.NewAlerter(analysis.AlerterOptions{
		Sources:              analysis.NewAlertSources(mgr.GetAPIReader()),
		Global:               o.alerts.global(),
		Cluster:              o.alerts.cluster,
		UserAgent:            "sluice/" + version,
		NoCrossNamespaceRefs: o.noCrossNamespace,
		Registry:             registry,
		Log:                  mgr.GetLogger().WithName("alerts"),
	})
	if err != nil {
		return fmt.Errorf("preparing alerts: %w", err)
	}
	// An answer wakes the reconciler, which asks the runner: each needs the other.
	var rollouts *reconciler.Reconciler
	checks := analysis.NewRunner(analysis.RunnerOptions{
		Check: analysis.NewChecker(analysis.CheckerOptions{
			Sources:              analysis.NewSources(mgr.GetClient(), mgr.GetAPIReader()),
			Cluster:              &provider.Cluster{URL: host, Transport: mgr.GetHTTPClient().Transport},
			Clock:                clock.RealClock{},
			UserAgent:            "sluice/" + version,
			NoCrossNamespaceRefs: o.noCrossNamespace,
		}).Check,
		Notify: func(canary types.NamespacedName) { rollouts.Notify(canary) },
		Log:    mgr.GetLogger().WithName("checks"),
	})
	rollouts = reconciler.New(reconciler.Options{
		Client:               mgr.GetClient(),
		Live:                 mgr.GetAPIReader(),
		Router:               router,
		Checker:              checks,
		Alerter:              alerts,
		Clock:                clock.RealClock{},
		Recorder:             mgr.GetEventRecorder("sluice"),
		Metrics:              counters,
		Judge:                judge(o),
		SelectorLabels:       list(o.selectorLabels),
		IncludeLabelPrefixes: list(o.includeLabelPrefix),
		Provider:             o.meshProvider,
		MetricsServer:        o.metricsServer,
		EventWebhook:         o.eventWebhook,
		IgnoreConfigs:        !o.configTracking,
		VerbKey:              verbKey,
	})
	router.Drifted = rollouts.Drifted
	if err := mgr.Add(checks); err != nil {
		return fmt.Errorf("adding the runner of checks: %w", err)
	}
	if err := mgr.Add(alerts); err != nil {
		return fmt.Errorf("adding the sender of alerts: %w", err)
	}
	if err := rollouts.SetupWithManager(ctx, mgr, concurrency); err != nil {
		return fmt.Errorf("adding the reconciler: %w", err)
	}
	return nil
}
