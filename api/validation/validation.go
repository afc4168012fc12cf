package validation

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/mesh/capability"
)

// Issue is one thing that is wrong or doubtful.
type Issue struct {
	// Field is a path such as spec.analysis.webhooks[0].url.
	Field string
	// Value found there; nil when the field is missing.
	Value any
	// Message says what is wrong and how to put it right, as the rest of a sentence that begins with the value.
	Message string
}

// String is the issue in one line: spec.analysis.interval: "1x" is not a duration; use for example 30s or 1m.
func (i Issue) String() string {
	switch v := i.Value.(type) {
	case nil:
		return i.Field + ": " + i.Message
	case string:
		return fmt.Sprintf("%s: %q %s", i.Field, v, i.Message)
	case int32, int64, int, float64, bool:
		return fmt.Sprintf("%s: %v %s", i.Field, v, i.Message)
	default:
		return fmt.Sprintf("%s: %q %s", i.Field, fmt.Sprint(v), i.Message)
	}
}

// Options are what a judgement depends on beside the object.
type Options struct {
	// DefaultProvider is used where spec.provider is empty: the controller's -mesh-provider.
	DefaultProvider string
	// NoCrossNamespaceRefs denies references into other namespaces.
	NoCrossNamespaceRefs bool
	// Creating tells that the Canary does not exist yet, so that all others on its target come first.
	Creating bool
	// Old is the stored Canary on an update. Where its spec is the same, nothing is denied: denials become warnings, so
	// that metadata, finalizers and upgrades are never blocked.
	Old *v1beta1.Canary
	// CheckQuery tells what Prometheus would not understand of a rendered query; nil checks nothing. It is passed in because
	// Prometheus' parser is heavy.
	CheckQuery func(promql string) error
	// Features that this build has; see CurrentFeatures.
	Features Features
	// Facts about the cluster; the zero value claims nothing.
	Facts Facts
}

// Facts are what the caller knows about the cluster.
type Facts struct {
	// Peers are the other Canaries in the namespace.
	Peers []Peer
	// Missing are those of the object's references that were looked up and not found.
	Missing []Reference
	// Target is what the Canary's target is like; nil while it does not exist or was not read.
	Target *Workload
	// OnlyTarget are the objects, as KIND/NAME, that select the pods of the target and not those that its primary is going to have.
	OnlyTarget []string
	// NoMirror names the gateways of a Canary with spec.analysis.mirror that say of themselves that they copy no requests.
	NoMirror []string
	// ChangeableConfigs are the tracked configs, as KIND/NAME, that the target of a Canary with an ephemeral primary references and whose content can
	// be changed.
	ChangeableConfigs []string
	// OneNodeVolumes are the volumes of such a target, as KIND/NAME, that the pods of one node only can mount.
	OneNodeVolumes []string
	// Templates are the MetricTemplates that a Canary's metrics refer to, as far as they were found.
	Templates []v1beta1.MetricTemplate
}

// ValidateCanary judges a Canary. Denials say what is wrong in itself; warnings what may be. Both come most important
// first. A Canary that is being deleted is never judged.
func ValidateCanary(c *v1beta1.Canary, opts Options) (denials, warnings []Issue) {
	if c.DeletionTimestamp != nil {
		return nil, nil
	}
	r := &review{canary: c, opts: opts}
	for _, rule := range rules() {
		rule(r)
	}
	if opts.Old != nil && equality.Semantic.DeepEqual(opts.Old.Spec, c.Spec) {
		return nil, append(r.denials, r.warnings...)
	}
	return r.denials, r.warnings
}

// rules in order of importance: what decides whether the Canary can act at all, then how it acts, then what it asks.
func rules() []func(*review) {
	return []func(*review){
		(*review).provider,
		(*review).target,
		(*review).retargeted,
		(*review).workload,
		(*review).serviceTarget,
		(*review).autoscaler,
		(*review).peers,
		(*review).lifecycle,
		(*review).ephemeral,
		(*review).strategy,
		(*review).weights,
		(*review).timing,
		(*review).matches,
		(*review).mirroring,
		(*review).sessionAffinity,
		(*review).service,
		(*review).serviceDurations,
		(*review).httpRoute,
		(*review).references,
		(*review).metrics,
		(*review).webhooks,
		(*review).alerts,
		(*review).bystanders,
		(*review).names,
	}
}

// review applies the rules to a Canary.
type review struct {
	findings
	canary *v1beta1.Canary
	opts   Options

	// can is what the provider can do; known only after the provider rule, and false for an unknown one. Rules about
	// routing stay silent then, since the provider is the thing to put right first.
	can   capability.Provider
	known bool
}
