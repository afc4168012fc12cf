package webhook

import (
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// ConfigFacts are all that a decision about a request on a ConfigMap or Secret may look at.
type ConfigFacts struct {
	// Operation is CREATE, UPDATE or DELETE.
	Operation admissionv1.Operation
	// Old is the stored object, nil for CREATE. New is the requested one, nil for DELETE.
	Old, New *Config
	// Users are the Canaries whose targets reference the config, in the order in which they are spoken of.
	Users []ConfigUser
	// Unsure tells that not all Users could be found out.
	Unsure bool
	// User is who asks, as the API server authenticated them.
	User string
}

// Config is one side of a request on a ConfigMap or Secret. It may hold secret data: never print it.
type Config struct {
	// Metadata is an object with the metadata and nothing else.
	Metadata *unstructured.Unstructured
	// Content is what it holds; Content.Shared tells that it is no part of any revision.
	Content revision.Content
	// Immutable tells that the API server refuses any other content.
	Immutable bool
}

// ConfigUser is one Canary that a config concerns.
type ConfigUser struct {
	Canary *v1beta1.Canary
	// Fence tells that users must be off the canary before its pods may read something new.
	Fence bool
}

// ConfigOutcome is the answer to a request on a config. It never denies.
type ConfigOutcome struct {
	// Rule that made the outcome, one word for logs.
	Rule string
	// Patches bring the requested object to what is wanted; empty leaves it as it is.
	Patches []Operation
	// Warnings are lines for the person who asks, most important first; those about Fence come first, one for each.
	Warnings []string
	// Fence lists the Canaries whose routes must be fenced before the request is answered, Snapshot those of whose targets the revision before the
	// change must be stored.
	Fence, Snapshot []*v1beta1.Canary
}

// configRule is one step of the ladder; it returns false to pass the request on.
type configRule struct {
	name  string
	apply func(ConfigFacts) (ConfigOutcome, bool)
}

// configLadder is the order in which situations take precedence.
var configLadder = []configRule{
	// An object that is going away must be able to go, whatever else is asked of it.
	{"deleting", func(f ConfigFacts) (ConfigOutcome, bool) {
		return ConfigOutcome{}, f.Old.beingDeleted() || f.New.beingDeleted()
	}},
	{"untracked", configUntracked},
	// Whoever leaves gets its configs back as they are asked for.
	{"leaving", func(f ConfigFacts) (ConfigOutcome, bool) { return ConfigOutcome{}, len(f.staying()) == 0 }},
	{"delete", configDeleted},
	{"create", configCreated},
	{"update", configUpdated},
}

// DecideConfig returns the answer to a request on a ConfigMap or Secret. It is a pure function.
func DecideConfig(f ConfigFacts) ConfigOutcome {
	for _, r := range configLadder {
		if out, done := r.apply(f); done {
			out.Rule = r.name
			return out
		}
	}
	return ConfigOutcome{Rule: "none"}
}

// configUntracked takes off a label that nobody else would ever take off. A new object has none to take off.
func configUntracked(f ConfigFacts) (ConfigOutcome, bool) {
	if len(f.Users) > 0 {
		return ConfigOutcome{}, false
	}
	if f.Unsure || f.Operation != admissionv1.Update || f.New.Metadata.GetLabels()[v1beta1.LabelTracked] != v1beta1.TrackedConfig {
		return ConfigOutcome{}, true
	}
	p := newPatch(f.New.Metadata)
	p.dropLabel(v1beta1.LabelTracked)
	return ConfigOutcome{Patches: p.operations}, true
}

// configDeleted keeps what the config held. Users leave a canary that reads it: what is created in its place, as by a replace that deletes first, may
// land before anybody knows that it is waited for.
func configDeleted(f ConfigFacts) (ConfigOutcome, bool) {
	if f.Operation != admissionv1.Delete {
		return ConfigOutcome{}, false
	}
	var out ConfigOutcome
	var others []string
	for _, u := range f.staying() {
		warning := configDeletionWarning(u.Canary, f.Old.Content)
		switch {
		case f.Old.Content.Shared:
			others = append(others, warning)
			continue
		case u.Fence:
			out.Fence = append(out.Fence, u.Canary)
			out.Warnings = append(out.Warnings, warning)
		default:
			others = append(others, warning)
		}
		out.Snapshot = append(out.Snapshot, u.Canary)
	}
	out.Warnings = append(out.Warnings, others...)
	return out, true
}

// configCreated brings a config that was waited for to Sluice's attention. Pods that started without it may read it at any moment.
func configCreated(f ConfigFacts) (ConfigOutcome, bool) {
	if f.Operation != admissionv1.Create {
		return ConfigOutcome{}, false
	}
	return f.landing(nil, true), true
}

func configUpdated(f ConfigFacts) (ConfigOutcome, bool) {
	changed := f.contentChanged()
	if changed && f.Old.Immutable {
		// The API server is about to refuse this.
		return ConfigOutcome{}, true
	}
	return f.landing(f.Old, changed), true
}

// landing is what follows from what is about to land; before is nil where there was nothing.
func (f ConfigFacts) landing(before *Config, changed bool) ConfigOutcome {
	p := newPatch(f.New.Metadata)
	// A replace drops labels, and a lost label would blind the gate.
	p.label(v1beta1.LabelTracked, v1beta1.TrackedConfig)
	var stamped map[string]string
	if before != nil {
		stamped = before.Metadata.GetAnnotations()
	}
	stamp(p, stamped, changed, f.User, f.New.Content.Digest)
	out := ConfigOutcome{Patches: p.operations}
	revised := f.revised(before, changed)
	var others []string
	for _, u := range f.staying() {
		if revised {
			out.Snapshot = append(out.Snapshot, u.Canary)
		}
		switch {
		case !changed:
		// What was part of the revision until now is no exception: the pods under analysis still read it.
		case !revised:
			others = append(others, passesWarning(u.Canary, f.New.Content))
		case u.Fence:
			out.Fence = append(out.Fence, u.Canary)
			out.Warnings = append(out.Warnings, fenceWarning(u.Canary))
		default:
			others = append(others, configWarning(u.Canary))
		}
	}
	out.Warnings = append(out.Warnings, others...)
	return out
}

// revised tells whether targets get another revision: their part of it changes, or becomes or ceases to be a part of it.
func (f ConfigFacts) revised(before *Config, changed bool) bool {
	was, is := before != nil && !before.Content.Shared, !f.New.Content.Shared
	return was != is || (is && changed)
}

// staying are the users that do not give their target back.
func (f ConfigFacts) staying() []ConfigUser {
	var out []ConfigUser
	for _, u := range f.Users {
		if !leaving(u.Canary) {
			out = append(out, u)
		}
	}
	return out
}

func (f ConfigFacts) contentChanged() bool {
	return f.Old == nil || f.New == nil || f.Old.Content.Digest != f.New.Content.Digest
}

func (c *Config) beingDeleted() bool { return c != nil && beingDeleted(c.Metadata) }

// fenceWarning says what a change of a config does to the rollout under way.
func fenceWarning(c *v1beta1.Canary) string {
	return fmt.Sprintf(warningPrefix+"users leave the canary of %s before this change lands; its analysis then starts again: %s", c.Name, plan(c))
}

// configWarning says what a change of a config leads to while nobody has to be taken off a canary.
func configWarning(c *v1beta1.Canary) string {
	if initialising(c) {
		return fmt.Sprintf(warningPrefix+"canary %s is being initialised: pods of its target may read this change at once", c.Name)
	}
	return changeWarning(c, false)
}

// passesWarning says that nobody looks at a change.
func passesWarning(c *v1beta1.Canary, content revision.Content) string {
	return fmt.Sprintf(warningPrefix+"%s %s is not part of the revisions of canary %s: this change passes straight to the pods that read it",
		content.Kind, content.Name, c.Name)
}

func configDeletionWarning(c *v1beta1.Canary, content revision.Content) string {
	return fmt.Sprintf(warningPrefix+"the target of canary %s references %s %s: its content is kept and running pods go on, "+
		"but new pods of the target may not start without it", c.Name, content.Kind, content.Name)
}
