package reconciler

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
	"github.com/sluice-dev/sluice/reconciler/scaler"
)

// applyScalers brings the target's autoscaler and the primary's copy of it to what the plan says.
func (r *Reconciler) applyScalers(ctx context.Context, w *world, plan core.Plan) error {
	if plan.DropScaler {
		if err := r.dropScalers(ctx, w, w.formerScalers); err != nil {
			return err
		}
	}
	if plan.Scalers == nil || w.scalers.target == nil {
		return nil
	}
	if err := r.applyTargetScaler(ctx, w, plan.Scalers.Target); err != nil {
		return err
	}
	if plan.DropPrimary {
		// It goes with the primary.
		return nil
	}
	return r.applyPrimaryScaler(ctx, w, plan.Scalers.Floor)
}

// applyTargetScaler wakes the target's autoscaler or puts it to sleep, and labels it so that its changes are seen.
func (r *Reconciler) applyTargetScaler(ctx context.Context, w *world, mode core.ScalerMode) error {
	next := w.scalers.target.DeepCopy()
	label(next, v1beta1.TrackedScaler)
	switch mode {
	case core.ScalerAsleep:
		w.scalers.kind.Pause(next)
	case core.ScalerAwake:
		w.scalers.kind.Resume(next)
	case core.ScalerAsIs:
	}
	_, err := r.patch(ctx, w.scalers.target, next)
	if err == nil {
		w.scalers.target = next
	}
	return err
}

// applyPrimaryScaler makes the primary's copy follow the target's autoscaler. It is created when there is a primary for it to scale.
func (r *Reconciler) applyPrimaryScaler(ctx context.Context, w *world, floor int32) error {
	s := &w.scalers
	want, err := scaler.Primary(s.kind, s.target, scaler.PrimaryOptions{
		Canary: w.canary,
		Floor:  floor,
		Labels: map[string]string{v1beta1.LabelTracked: v1beta1.TrackedScaler, v1beta1.LabelCanary: revision.LabelValue(w.canary.Name)},
	})
	if err != nil {
		return err
	}
	if s.primary == nil {
		if w.primary == nil {
			return nil
		}
		if err := r.create(ctx, want); err != nil {
			return err
		}
		s.primary = want
		return nil
	}
	next := scaler.Merge(s.kind, s.primary, want)
	own(next, want.GetOwnerReferences()[0])
	if _, err := r.patch(ctx, s.primary, next); err != nil {
		return err
	}
	s.primary = next
	return nil
}

// dropScalers removes a primary's copy and gives the autoscaler that it was made of back to its user.
func (r *Reconciler) dropScalers(ctx context.Context, w *world, s scalers) error {
	if s.primary != nil {
		if err := r.removeOurs(ctx, w, s.primary); err != nil {
			return err
		}
	}
	if s.target == nil {
		return nil
	}
	if next := returnedScaler(s.kind, s.target); next != nil {
		if _, err := r.patch(ctx, s.target, next); err != nil {
			return err
		}
	}
	return nil
}

// returnScalers is the part of giving an application back that concerns its autoscalers.
func (r *Reconciler) returnScalers(ctx context.Context, w *world) error {
	for _, s := range []scalers{w.formerScalers, w.scalers} {
		if s.kind == nil {
			continue
		}
		if err := r.dropScalers(ctx, w, s); err != nil {
			return err
		}
	}
	return nil
}

// returnedScaler returns a user's autoscaler without anything of Sluice's; nil where there is nothing of it.
func returnedScaler(k scaler.Kind, o *unstructured.Unstructured) *unstructured.Unstructured {
	next := o.DeepCopy()
	if next.GetLabels()[v1beta1.LabelTracked] == v1beta1.TrackedScaler {
		label(next, "")
	}
	if _, paused := next.GetAnnotations()[v1beta1.AnnotationScalerPaused]; paused {
		k.Resume(next)
	}
	if equality.Semantic.DeepEqual(o.Object, next.Object) {
		return nil
	}
	return next
}
