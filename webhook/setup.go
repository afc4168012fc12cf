package webhook

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	crmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/api/validation"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// Paths that the webhook configurations name.
const (
	PathWorkloads       = "/mutate-workloads"
	PathConfigs         = "/mutate-configs"
	PathVerifyWorkloads = "/validate-workloads"
	PathVerifyConfigs   = "/validate-configs"
	PathCanaries        = "/validate-canaries"
	PathVerbs           = "/mutate-canaries"
	PathMetricTemplates = "/validate-metrictemplates"
	PathAlertProviders  = "/validate-alertproviders"
)

// Options configure the handlers.
type Options struct {
	// Username is Sluice's own as the API server knows it, such as system:serviceaccount:sluice-system:sluice. Its requests are left alone.
	// Required.
	Username string
	// Namespace is the only one that Sluice looks after. Default: all.
	Namespace string
	// Validation holds what objects are judged by: the controller's settings DefaultProvider and NoCrossNamespaceRefs, and CheckQuery. Features
	// default to those of this build; what depends on the request is filled in.
	Validation validation.Options
	// Fencer reaches the routes of Canaries. Required.
	Fencer Fencer
	// VerbKey signs the verbs of operators; all replicas must have the same, and nobody else. Without one verbs are refused.
	VerbKey func(context.Context) ([]byte, error)
	// Traffic tells what the provider of a Canary can do, for the answers to dry runs; without it these say in one line what a change leads to.
	Traffic func(*v1beta1.Canary) (core.Traffic, error)
	// SelectorLabels are the label keys among which a target's selector label is sought. Default: revision.DefaultSelectorLabels.
	SelectorLabels []string
	// IgnoreConfigs leaves ConfigMaps and Secrets alone, as the reconciler does with its option of this name.
	IgnoreConfigs bool
	// Configuration is the name of the MutatingWebhookConfiguration whose reach follows the Canaries. Default: DefaultConfiguration.
	Configuration string
	// Registerer takes the metrics. Default: controller-runtime's registry.
	Registerer prometheus.Registerer
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Setup registers the handlers with the manager's webhook server, which answers on every replica, and adds the controller that keeps the
// webhook's reach. The manager's cache comes to hold what the handlers read: Canaries and ControllerRevisions, which the cache's options ought
// to narrow to those with v1beta1.LabelSnapshot. Request bodies are bounded by controller-runtime at 7 MiB, twice the largest object and more.
func Setup(ctx context.Context, mgr manager.Manager, o Options) error {
	if o.Username == "" {
		return errors.New("the username of Sluice's service account is empty: name it, or Sluice would hold its own changes")
	}
	if o.Fencer == nil {
		return errors.New("there is no Fencer: without one users could read a changed config before it is analysed")
	}
	o = o.withDefaults()
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return err
	}
	// Replicas that do not lead watch nothing else; the first request must not wait for a list.
	for _, object := range []client.Object{&v1beta1.Canary{}, &appsv1.ControllerRevision{}} {
		if _, err := mgr.GetCache().GetInformer(ctx, object, cache.BlockUntilSynced(false)); err != nil {
			return fmt.Errorf("watch %T for admission: %w", object, err)
		}
	}
	if err := addIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return fmt.Errorf("index the Canaries for admission: %w", err)
	}
	register(mgr.GetWebhookServer(), o, m, clients{cache: mgr.GetCache(), live: mgr.GetAPIReader(), write: mgr.GetClient()})
	return setupScope(mgr, o.Configuration, o.IgnoreConfigs)
}

// clients are the three ways to the API server.
type clients struct {
	cache client.Reader
	live  client.Reader
	write client.Client
}

func register(server webhook.Server, o Options, m *metrics, c clients) {
	reach, limits := reach{username: o.Username, namespace: o.Namespace}, &bounds{timeout: bodyTimeout, limit: maxBodies}
	for path, h := range handlers(o, m, c) {
		hook := &admission.Webhook{Handler: guard{path: path, inner: whole{h}, reach: reach, metrics: m, now: o.Now}, WithContextFunc: withBudget}
		server.Register(path, limits.around(hook))
	}
}

func handlers(o Options, m *metrics, c clients) map[string]handler {
	store := snapshots{cache: c.cache, live: c.live, write: c.write, now: o.Now, ignoreConfigs: o.IgnoreConfigs}
	facts := factFinder{cache: c.cache, live: c.live, mapper: c.write.RESTMapper(), selectorLabels: o.SelectorLabels, ignoreConfigs: o.IgnoreConfigs}
	find := canaries{cache: c.cache, live: c.live}
	fence := fences{fencer: o.Fencer, metrics: m, now: o.Now}
	foresee := previews{snapshots: store, traffic: o.Traffic, now: o.Now}
	targets := workloads{canaries: find, snapshots: store, previews: foresee, needsHold: func(c *v1beta1.Canary) bool { return core.NeedsHold(c, o.Now()) }}
	configs := configs{canaries: find, snapshots: store, fences: fence, previews: foresee, needsFence: core.NeedsFence, ignore: o.IgnoreConfigs}
	return map[string]handler{
		PathWorkloads:       targets,
		PathConfigs:         configs,
		PathVerifyWorkloads: verifyWorkloads{workloads: targets, fences: fence},
		PathVerifyConfigs:   verifyConfigs{configs: configs},
		PathCanaries:        canaryGate{facts: facts, baseline: baseline{snapshots: store, write: c.write}, options: o.Validation},
		PathVerbs:           verbGate{cache: c.cache, write: c.write, key: o.VerbKey, now: o.Now},
		PathMetricTemplates: objectGate[v1beta1.MetricTemplate]{
			references: validation.TemplateReferences, judge: validation.ValidateMetricTemplate, facts: facts, options: o.Validation,
		},
		PathAlertProviders: objectGate[v1beta1.AlertProvider]{
			references: validation.AlertReferences, judge: validation.ValidateAlertProvider, facts: facts, options: o.Validation,
		},
	}
}

func (o Options) withDefaults() Options {
	if o.Configuration == "" {
		o.Configuration = DefaultConfiguration
	}
	if o.Registerer == nil {
		o.Registerer = crmetrics.Registry
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if len(o.Validation.Features.TargetKinds) == 0 {
		o.Validation.Features = validation.CurrentFeatures()
	}
	return o
}
