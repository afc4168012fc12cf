package webhook

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// Verification is what the validating phase, which sees the object as it is going to be stored, finds about a target or a config.
type Verification struct {
	// Denials refuse the request. Only a guarded object is ever refused.
	Denials []string
	// Unheld tells that the change is about to land without what the mutating phase does for it, though users may be on the canary: the routes of the
	// Canaries in Fence are fenced, and the controller catches up.
	Unheld bool
	Fence  []*v1beta1.Canary
	// Snapshot lists the Canaries of whose targets the revision before the change must be stored.
	Snapshot []*v1beta1.Canary
	// Warnings are lines for the person who asks, most important first; those about Fence come first, one for each.
	Warnings []string
}

// VerifyWorkload looks at an update of a target after all mutating webhooks. It is a pure function; an error means that an object could not be
// understood.
func VerifyWorkload(f Facts) (Verification, error) {
	if beingDeleted(f.Old) || beingDeleted(f.New) || f.Canary == nil || leaving(f.Canary) {
		return Verification{}, nil
	}
	templates, err := templatesOf(f.Old, f.New)
	if err != nil {
		return Verification{}, err
	}
	changed := templates.changed()
	var v Verification
	if changed && !freshlyStamped(f.Old.GetAnnotations(), f.New.GetAnnotations()) {
		v.Snapshot = []*v1beta1.Canary{f.Canary}
	}
	if !f.Hold || !(changed || holdOf(f.Old) != nil) || isHeld(f.New) {
		return v, nil
	}
	if guarded(f.Old, f.New) {
		return Verification{Denials: []string{fmt.Sprintf("%s %s is guarded by canary %s, and this change of it is not held: exempt objects with the "+
			"label %s from the admission webhook that takes annotation %s off, or try again",
			f.New.GetKind(), f.New.GetName(), f.Canary.Name, v1beta1.LabelGuarded, v1beta1.AnnotationHold)}}, nil
	}
	v.Unheld, v.Fence = true, []*v1beta1.Canary{f.Canary}
	v.Warnings = []string{unheldWarning(f.Canary)}
	return v, nil
}

// isHeld tells that a workload is stored without rolling out.
func isHeld(u *unstructured.Unstructured) bool {
	b := revision.BrakeOf(u.GetKind())
	return holdOf(u) != nil && b.Read(u) == b.On
}

// guarded tells that an object may only change while its change is held. Taking the label off together with the change does not help.
func guarded(objects ...*unstructured.Unstructured) bool {
	for _, o := range objects {
		if o != nil && o.GetLabels()[v1beta1.LabelGuarded] == "true" {
			return true
		}
	}
	return false
}

func unheldWarning(c *v1beta1.Canary) string {
	return fmt.Sprintf(warningPrefix+"this change could not be held, another admission webhook may have removed what holds it; "+
		"users are taken off the canary of %s, and the controller catches up", c.Name)
}

// verifyWorkloads answers requests in the validating phase.
type verifyWorkloads struct {
	workloads workloads
	fences    fences
}

func (h verifyWorkloads) handle(ctx context.Context, req admission.Request) (answer, error) {
	facts, err := h.workloads.gather(ctx, req)
	if err != nil {
		return answer{}, err
	}
	v, err := VerifyWorkload(facts)
	if err != nil {
		return answer{}, err
	}
	a := answer{denials: v.Denials, warnings: v.Warnings}
	if dryRun(req) || len(v.Denials) > 0 {
		return a, nil
	}
	if v.Unheld {
		cause := strings.ToLower(req.Kind.Kind) + "/" + facts.New.GetName()
		logf.FromContext(ctx).Info("a change of a target could not be held", "cause", cause, "user", facts.User)
		h.fences.metrics.unheld.WithLabelValues(req.Kind.Kind).Inc()
		a.warnings = h.fences.fence(ctx, cause, v.Fence, a.warnings)
	}
	for _, c := range v.Snapshot {
		if err := h.workloads.snapshots.keep(ctx, c, facts.Old); err != nil {
			return a, fmt.Errorf("the revision before this change is not stored: %w", err)
		}
	}
	return a, nil
}
