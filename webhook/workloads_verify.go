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

// VerifyWorkload looks at an update of a target after all mutating webhooks. It is a pure function; an error means that an object could not be
// understood.
func VerifyWorkload(f Facts) (Verification, error) {
	if f.Canary == nil || leaving(f.Canary) || f.beingDeleted() {
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
	if !f.Hold || !f.pending(changed) || isHeld(f.New) {
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

// pending tells that the requested object runs something that users must not meet yet: a new change, or one that is held already.
func (f Facts) pending(changed bool) bool { return changed || holdOf(f.Old) != nil }

func (f Facts) beingDeleted() bool { return beingDeleted(f.Old) || beingDeleted(f.New) }

// isHeld tells that a workload is stored without rolling out.
func isHeld(u *unstructured.Unstructured) bool {
	b := revision.BrakeOf(u.GetKind())
	return holdOf(u) != nil && b.Read(u) == b.On
}

// verifyWorkloads answers requests in the validating phase.
type verifyWorkloads struct {
	workloads workloads
	fences    fences
}

func (h verifyWorkloads) handle(ctx context.Context, req admission.Request) (answer, error) {
	facts, err := h.workloads.gather(ctx, req)
	if err != nil || facts.Old == nil || facts.New == nil {
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
