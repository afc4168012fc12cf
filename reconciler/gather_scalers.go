package reconciler

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
	"github.com/sluice-dev/sluice/reconciler/scaler"
)

// scalers are the autoscalers around a Canary.
type scalers struct {
	kind scaler.Kind
	// target is the user's, primary the copy of it for the primary; nil while they do not exist.
	target, primary *unstructured.Unstructured
}

// gatherScalers observes the autoscaler that the Canary names, and what is left of the one that it named before.
func (r *Reconciler) gatherScalers(ctx context.Context, w *world) error {
	if err := r.gatherLeftover(ctx, w); err != nil {
		return err
	}
	ref := w.canary.Spec.AutoscalerRef
	if ref == nil || !scalable(w.canary) {
		return nil
	}
	k, known := scaler.Of(ref.Kind)
	if !known {
		w.scalerProblem("ScalerUnsupported", "spec.autoscalerRef.kind: %s is not known; use %s", ref.Kind, strings.Join(scaler.Kinds(), " or "))
		return nil
	}
	var err error
	if w.scalers, err = r.findScalers(ctx, w.canary, k, ref.Name); err != nil {
		if meta.IsNoMatchError(err) {
			w.scalerProblem("ScalerUnavailable", "spec.autoscalerRef: this cluster does not know %s; install what serves it, or remove the reference", ref.Kind)
			return nil
		}
		return err
	}
	return w.judgeScalers(ref)
}

// scalable tells whether a target can be scaled to a number.
func scalable(c *v1beta1.Canary) bool { return c.Spec.TargetRef.Kind == revision.Deployment }

// judgeScalers fills in what a decision may know of the autoscalers.
func (w *world) judgeScalers(ref *v1beta1.AutoscalerReference) error {
	s := &w.scalers
	if s.target == nil {
		w.scalerProblem("ScalerNotFound", "%s %s does not exist in namespace %s; it is picked up as soon as it is created", ref.Kind, ref.Name, w.canary.Namespace)
		return nil
	}
	if why, ok := scaler.Scales(s.target, w.canary.Spec.TargetRef.Kind, w.canary.Spec.TargetRef.Name); !ok {
		w.scalerProblem("ScalerMismatch", "%s", why)
		return nil
	}
	if s.primary != nil {
		if by, others := foreign(s.primary, w.canary); others {
			w.scalerProblem("ScalerConflict", "%s %s exists but belongs to %s; rename or delete it, or give the target's autoscaler another name",
				s.primary.GetKind(), s.primary.GetName(), by)
			return nil
		}
	}
	w.observed.Scaler.Exists = true
	w.observed.Scaler.Target = core.Limits(s.kind.Limits(s.target))
	w.observed.Scaler.Blind = s.primary != nil && scaler.Blind(s.primary)
	w.observed.Scaler.Primary = core.Limits(scaler.PrimaryLimits(s.kind, s.target, ref))
	return nil
}

// scalerProblem notes why an autoscaler cannot be followed. It keeps a Canary from taking over an application whose primary would not scale; one that
// was taken over goes on being looked after.
func (w *world) scalerProblem(reason, format string, args ...any) {
	if phase := w.canary.Status.Phase; phase == "" || phase == v1beta1.PhaseInitializing {
		w.problem(true, reason, format, args...)
		return
	}
	w.observed.Scaler.Problem = &core.Problem{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// gatherLeftover looks for what is left of an autoscaler that the Canary has turned away from.
func (r *Reconciler) gatherLeftover(ctx context.Context, w *world) error {
	st, ref := w.canary.Status.Scaler, w.canary.Spec.AutoscalerRef
	if st == nil || (ref != nil && ref.Kind == st.Kind && ref.Name == st.Name) {
		return nil
	}
	k, known := scaler.Of(st.Kind)
	if !known {
		return nil
	}
	found, err := r.findScalers(ctx, w.canary, k, st.Name)
	if err != nil {
		if meta.IsNoMatchError(err) {
			return nil
		}
		return err
	}
	w.formerScalers = found.ours(w.canary)
	w.observed.Scaler.Leftover = w.formerScalers.primary != nil || w.formerScalers.marked()
	return nil
}

// ours leaves out a primary's copy that belongs to somebody else.
func (s scalers) ours(c *v1beta1.Canary) scalers {
	if s.primary != nil {
		if _, others := foreign(s.primary, c); others {
			s.primary = nil
		}
	}
	return s
}

// marked tells whether there is anything of Sluice's on the user's autoscaler.
func (s scalers) marked() bool {
	return s.target != nil && returnedScaler(s.kind, s.target) != nil
}

// findScalers reads an autoscaler and the primary's copy of it, and sees to it that their changes wake the Canary. A cluster that does not know the
// kind is a no-match error.
func (r *Reconciler) findScalers(ctx context.Context, c *v1beta1.Canary, k scaler.Kind, name string) (scalers, error) {
	s := scalers{kind: k}
	err := r.watchScalers(k.GroupVersionKind())
	if err != nil {
		return s, err
	}
	if s.target, err = find(ctx, r, client.ObjectKey{Namespace: c.Namespace, Name: name}, scaler.Empty(k)); err != nil {
		return s, err
	}
	s.primary, err = find(ctx, r, client.ObjectKey{Namespace: c.Namespace, Name: scaler.PrimaryName(name)}, scaler.Empty(k))
	return s, err
}
