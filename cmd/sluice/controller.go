package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	admission "sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/sluice-dev/sluice/analysis/query/promql"
	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/api/validation"
	"github.com/sluice-dev/sluice/certs"
	"github.com/sluice-dev/sluice/mesh"
	"github.com/sluice-dev/sluice/webhook"
)

// leaseName is the lease that the reconciling replica holds; the manifests grant rights on it by name.
const leaseName = "sluice"

func bindController(fs *flag.FlagSet, _ io.Writer) func(context.Context) error {
	o := &controllerOptions{}
	o.bind(fs)
	return func(ctx context.Context) error {
		if err := o.validate(); err != nil {
			return err
		}
		log, err := o.log.logger()
		if err != nil {
			return err
		}
		cfg, err := o.engine.restConfig()
		if err != nil {
			return err
		}
		return runController(ctx, o, cfg, log)
	}
}

// runController runs until the context ends and everything under way is finished.
func runController(ctx context.Context, o *controllerOptions, cfg *rest.Config, log logr.Logger) error {
	o.certs.Namespace = o.ownNamespace
	source, err := certs.New(o.certs)
	if err != nil {
		return fmt.Errorf("preparing the serving certificate: %w", err)
	}
	d := &drain{period: o.drain}
	server := drained{drain: d, Server: admission.NewServer(admission.Options{Port: o.webhookPort, TLSOpts: []func(*tls.Config){source.TLS}})}
	mgr, err := newManager(o, cfg, log, server)
	if err != nil {
		return err
	}
	router, err := newRouter(mgr, o.engine)
	if err != nil {
		return err
	}
	if err := errors.Join(
		serveAdmission(ctx, mgr, router, o, cfg),
		source.SetupWithManager(mgr),
		addTether(mgr, o),
		addEngine(ctx, mgr, router, o.engine, verbKey(mgr, o), o.concurrency, metrics.Registry),
		addProbes(mgr, source, server, d),
	); err != nil {
		return err
	}
	log.Info("Starting", "version", version, "meshProvider", o.engine.meshProvider, "namespace", o.engine.namespace)
	late, stop := d.stopping(ctx)
	defer stop()
	if err := mgr.Start(late); err != nil {
		return fmt.Errorf("running: %w", err)
	}
	return nil
}

// newManager builds what all parts run in: one cache, one client, the lease, and the servers for metrics and probes.
func newManager(o *controllerOptions, cfg *rest.Config, log logr.Logger, server admission.Server) (manager.Manager, error) {
	options, err := engineManagerOptions(o.engine, log)
	if err != nil {
		return nil, err
	}
	namespace := o.leaderElectionNamespace
	if namespace == "" {
		namespace = o.ownNamespace
	}
	options.WebhookServer = server
	options.LeaderElection = o.leaderElection
	options.LeaderElectionID = leaseName
	options.LeaderElectionNamespace = namespace
	o.lease.apply(&options)
	// The next leader need not wait for the lease to run out. Safe because the process ends as soon as the manager has stopped.
	options.LeaderElectionReleaseOnCancel = true
	options.GracefulShutdownTimeout = &o.shutdown
	options.HealthProbeBindAddress = address(o.healthPort)
	options.Metrics = metricsserver.Options{
		BindAddress: address(o.port),
		// Flagger answers here, so probes and dashboards may ask here.
		ExtraHandlers: map[string]http.Handler{"/healthz": http.HandlerFunc(alive)},
	}
	mgr, err := manager.New(cfg, options)
	if err != nil {
		return nil, fmt.Errorf("preparing the manager: %w", err)
	}
	return mgr, nil
}

func alive(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, "OK") // a probe that went away needs no answer
}

// serveAdmission registers the admission handlers, which run on every replica.
func serveAdmission(ctx context.Context, mgr manager.Manager, router *mesh.Router, o *controllerOptions, cfg *rest.Config) error {
	username, err := whoAmI(ctx, cfg)
	if err != nil {
		return err
	}
	if err := webhook.Setup(ctx, mgr, webhook.Options{
		Username:  username,
		Namespace: o.engine.namespace,
		Fencer:    router,
		Traffic:   router.Traffic,
		VerbKey:   verbKey(mgr, o),
		Validation: validation.Options{
			DefaultProvider:      o.engine.meshProvider,
			NoCrossNamespaceRefs: o.engine.noCrossNamespace,
			CheckQuery:           promql.Check,
		},
		SelectorLabels: list(o.engine.selectorLabels),
		IgnoreConfigs:  !o.engine.configTracking,
		Configuration:  o.certs.MutatingConfiguration,
	}); err != nil {
		return fmt.Errorf("preparing admission: %w", err)
	}
	return nil
}

// verbKey is what verbs of operators are signed with.
func verbKey(mgr manager.Manager, o *controllerOptions) func(context.Context) ([]byte, error) {
	return o.certs.Key(v1beta1.AnnotationVerb, mgr.GetAPIReader())
}

// addProbes adds the health checks. A replica is alive while it answers, and ready when admission works and is not about to go.
func addProbes(mgr manager.Manager, source certs.Source, server admission.Server, d *drain) error {
	caches := &synced{}
	return errors.Join(
		mgr.Add(caches),
		mgr.AddHealthzCheck("ping", healthz.Ping),
		mgr.AddReadyzCheck("drain", d.ready),
		mgr.AddReadyzCheck("caches", caches.ready),
		mgr.AddReadyzCheck("webhook", func(req *http.Request) error {
			// Asked without a certificate, the server would log a failed handshake.
			if err := source.Ready(req); err != nil {
				return err
			}
			return server.StartedChecker()(req)
		}),
	)
}

// synced tells when the manager's caches are filled: the manager starts it after that.
type synced struct{ filled atomic.Bool }

// Start implements manager.Runnable.
func (s *synced) Start(ctx context.Context) error {
	s.filled.Store(true)
	<-ctx.Done()
	return nil
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica answers admission from its caches.
func (s *synced) NeedLeaderElection() bool { return false }

func (s *synced) ready(*http.Request) error {
	if !s.filled.Load() {
		return errors.New("the caches are still being filled")
	}
	return nil
}
