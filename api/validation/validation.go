package validation

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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

// Options are what a judgement depends on beside the Canary.
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
	// Features that this build has; see CurrentFeatures.
	Features Features
	// Facts about the cluster; the zero value claims nothing.
	Facts Facts
}

// Features are parts of the API that a build may lack. What it lacks is denied rather than ignored.
type Features struct {
	// TargetKinds that can be rolled out.
	TargetKinds []string
	// EphemeralPrimary tells whether spec.primary.lifecycle: Ephemeral works.
	EphemeralPrimary bool
}

// CurrentFeatures are the features of this build.
func CurrentFeatures() Features {
	return Features{TargetKinds: []string{"Deployment"}}
}

// Facts are what the caller knows about the cluster.
type Facts struct {
	// Peers are the other Canaries in the namespace.
	Peers []Peer
	// Missing are those of References(canary) that were looked up and not found.
	Missing []Reference
}

// Peer is another Canary in the same namespace.
type Peer struct {
	Name        string
	TargetRef   v1beta1.LocalObjectReference
	ServiceName string // of the apex Service
	Created     metav1.Time
	Deleting    bool
}

// PeerOf describes a Canary to the others in its namespace.
func PeerOf(c *v1beta1.Canary) Peer {
	apex, _, _ := c.ServiceNames()
	return Peer{
		Name: c.Name, TargetRef: c.Spec.TargetRef, ServiceName: apex,
		Created: c.CreationTimestamp, Deleting: c.DeletionTimestamp != nil,
	}
}

// Precedes tells which of two Canaries on one target is in charge: the older, then the first by name. One without a
// creation time is the younger.
func (p Peer) Precedes(o Peer) bool {
	switch {
	case p.Created.IsZero() != o.Created.IsZero():
		return o.Created.IsZero()
	case !p.Created.Equal(&o.Created):
		return p.Created.Before(&o.Created)
	default:
		return p.Name < o.Name
	}
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
		(*review).peers,
		(*review).lifecycle,
		(*review).strategy,
		(*review).weights,
		(*review).timing,
		(*review).matches,
		(*review).mirroring,
		(*review).sessionAffinity,
		(*review).service,
		(*review).references,
		(*review).metrics,
		(*review).webhooks,
		(*review).names,
	}
}

// review collects what the rules find.
type review struct {
	canary *v1beta1.Canary
	opts   Options

	// can is what the provider can do; known only after the provider rule, and false for an unknown one. Rules about
	// routing stay silent then, since the provider is the thing to put right first.
	can   capability.Provider
	known bool

	denials, warnings []Issue
}

func (r *review) deny(field string, value any, format string, args ...any) {
	r.denials = append(r.denials, Issue{field, value, fmt.Sprintf(format, args...)})
}

func (r *review) warn(field string, value any, format string, args ...any) {
	r.warnings = append(r.warnings, Issue{field, value, fmt.Sprintf(format, args...)})
}

// duration denies a value that does not parse or is below the floor. Empty values pass.
func (r *review) duration(field string, d v1beta1.Duration, floor time.Duration) {
	if d == "" {
		return
	}
	v, err := d.Parse()
	switch {
	case err != nil:
		r.deny(field, string(d), "is not a duration; use for example 30s or 1m")
	case v < floor:
		r.deny(field, string(d), "is too short; use %s or more", floor)
	}
}

// percent denies a number that is below low or above 100.
func (r *review) percent(field string, v, low int32, hint string) {
	if v < low || v > 100 {
		r.deny(field, v, "is out of range; %s", hint)
	}
}
