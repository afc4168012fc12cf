package webhook

import (
	"bytes"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// Facts are all that a decision about a request on a workload may look at.
type Facts struct {
	// Operation is CREATE, UPDATE or DELETE.
	Operation admissionv1.Operation
	// Old is the stored object, nil for CREATE. New is the requested one, nil for DELETE.
	Old, New *unstructured.Unstructured
	// Canary is the one whose target the workload is; nil when there is none.
	Canary *v1beta1.Canary
	// Hold tells that a change of the template must wait, because pods of the target may hold user traffic.
	Hold bool
	// User is who asks, as the API server authenticated them.
	User string
}

// Outcome is the answer to a request. It never denies: what must not reach users is held instead.
type Outcome struct {
	// Rule that made the outcome, one word for logs and metrics.
	Rule string
	// Patches bring the requested object to what is wanted; empty leaves it as it is.
	Patches []Operation
	// Warnings are lines for the person who asks.
	Warnings []string
	// Snapshot asks for the old revision to be stored before the request is answered.
	Snapshot bool
}

// rule is one step of the ladder; it returns false to pass the request on.
type rule struct {
	name  string
	apply func(Facts) (Outcome, bool, error)
}

// ladder is the order in which situations take precedence.
var ladder = []rule{
	// An object that is going away must be able to go, whatever else is asked of it.
	{"deleting", func(f Facts) (Outcome, bool, error) {
		return Outcome{}, f.beingDeleted(), nil
	}},
	// Labels and holds without a Canary are left over; nobody else would ever take them off.
	{"untracked", untracked},
	// Whoever leaves gets the workload back as it is asked for.
	{"leaving", func(f Facts) (Outcome, bool, error) { return Outcome{}, leaving(f.Canary), nil }},
	{"create", created},
	{"delete", deleted},
	{"update", updated},
}

// Decide returns the answer to a request on a Deployment or DaemonSet. It is a pure function; an error means that an object could not be understood.
func Decide(f Facts) (Outcome, error) {
	for _, r := range ladder {
		out, done, err := r.apply(f)
		if err != nil {
			return Outcome{}, fmt.Errorf("%s: %w", r.name, err)
		}
		if done {
			out.Rule = r.name
			return out, nil
		}
	}
	return Outcome{Rule: "none"}, nil
}

func untracked(f Facts) (Outcome, bool, error) {
	if f.Canary != nil {
		return Outcome{}, false, nil
	}
	if f.Operation != admissionv1.Update {
		return Outcome{}, true, nil
	}
	p := newPatch(f.New)
	if f.New.GetLabels()[v1beta1.LabelTracked] == v1beta1.TrackedTarget {
		p.dropLabel(v1beta1.LabelTracked)
	}
	p.dropLabel(v1beta1.LabelCanary)
	p.dropLabel(v1beta1.LabelGuarded)
	holdsOf(f).release(p)
	return Outcome{Patches: p.operations}, true, nil
}

// created brings a new target to Sluice's attention at once: it is watched by label.
func created(f Facts) (Outcome, bool, error) {
	if f.Operation != admissionv1.Create {
		return Outcome{}, false, nil
	}
	template, err := revision.TemplateOf(f.New)
	if err != nil {
		return Outcome{}, false, err
	}
	p := newPatch(f.New)
	track(p, f.Canary)
	keepIdle(p, f)
	holdCreated(p, f, template)
	stampTemplate(p, f, template, true)
	return Outcome{Patches: p.operations}, true, nil
}

func deleted(f Facts) (Outcome, bool, error) {
	if f.Operation != admissionv1.Delete {
		return Outcome{}, false, nil
	}
	return Outcome{Snapshot: true, Warnings: []string{deletionWarning(f.Canary)}}, true, nil
}

func updated(f Facts) (Outcome, bool, error) {
	templates, err := templatesOf(f.Old, f.New)
	if err != nil {
		return Outcome{}, false, err
	}
	changed := templates.changed()
	p := newPatch(f.New)
	// A replace drops labels, and a lost label would blind the gate.
	track(p, f.Canary)
	if guarded(f.Old) {
		p.label(v1beta1.LabelGuarded, "true")
	}
	keepIdle(p, f)
	stampTemplate(p, f, templates.after, changed)
	h := holdsOf(f)
	if f.Hold && (changed || h.old != nil) {
		// Without the content of its configs: reading those would cost requests, and a hold needs only to tell one held change from the next.
		h.assert(p, changed, revision.CanonicalBareDigest(templates.after))
	} else {
		h.settle(p)
	}
	out := Outcome{Patches: p.operations, Snapshot: changed}
	out.Warnings = h.warnings(f, changed)
	return out, true, nil
}

func track(p *patch, c *v1beta1.Canary) {
	p.label(v1beta1.LabelTracked, v1beta1.TrackedTarget)
	p.label(v1beta1.LabelCanary, revision.LabelValue(c.Name))
}

func beingDeleted(u *unstructured.Unstructured) bool {
	return u != nil && u.GetDeletionTimestamp() != nil
}

// leaving tells that the Canary is about to give its target back.
func leaving(c *v1beta1.Canary) bool {
	return c.DeletionTimestamp != nil || c.Annotations[v1beta1.AnnotationLeave] == "true"
}

// templates are the pod templates on both sides of an update as canonical JSON: unknown fields count, order and formatting do not. They are
// brought into that form once, for a template may be large and somebody waits.
type templates struct{ before, after []byte }

func templatesOf(before, after *unstructured.Unstructured) (t templates, err error) {
	if t.before, err = revision.TemplateOf(before); err != nil {
		return t, err
	}
	t.after, err = revision.TemplateOf(after)
	return t, err
}

func (t templates) changed() bool { return !bytes.Equal(t.before, t.after) }

// stampTemplate records who changed the template.
func stampTemplate(p *patch, f Facts, template []byte, changed bool) {
	var before map[string]string
	if f.Old != nil {
		before = f.Old.GetAnnotations()
	}
	stamp(p, before, changed, f.User, revision.CanonicalTemplateDigest(template))
}
