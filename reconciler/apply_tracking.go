package reconciler

import (
	"context"
	"maps"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// applyFinalizer makes the deletion of the Canary give the application back.
func (r *Reconciler) applyFinalizer(ctx context.Context, w *world, plan core.Plan) error {
	if !plan.Finalizer || !w.canary.DeletionTimestamp.IsZero() || controllerutil.ContainsFinalizer(w.canary, v1beta1.Finalizer) {
		return nil
	}
	next := w.canary.DeepCopy()
	controllerutil.AddFinalizer(next, v1beta1.Finalizer)
	if _, err := r.patch(ctx, w.canary, next); err != nil {
		return err
	}
	w.canary = next
	return nil
}

// applyTracking labels the target and the configs that it references: the label brings them into the cache and to admission's attention.
func (r *Reconciler) applyTracking(ctx context.Context, w *world, plan core.Plan) error {
	if !plan.TrackTarget || w.target == nil {
		return nil
	}
	next := w.target.DeepCopy()
	label(next, v1beta1.TrackedTarget)
	if _, err := r.patch(ctx, w.target, next); err != nil {
		return err
	}
	w.target = next
	for _, o := range w.unlabelled {
		next := o.DeepCopyObject().(client.Object)
		label(next, v1beta1.TrackedConfig)
		if _, err := r.patch(ctx, o, next); err != nil {
			return err
		}
	}
	return nil
}

// label sets what an object is to Sluice; an empty value makes it nothing.
func label(o client.Object, tracked string) {
	labels := maps.Clone(o.GetLabels())
	if labels == nil {
		labels = map[string]string{}
	}
	if tracked == "" {
		delete(labels, v1beta1.LabelTracked)
		delete(labels, v1beta1.LabelGuarded)
		// Admission names the Canary on its target.
		delete(labels, v1beta1.LabelCanary)
	} else {
		labels[v1beta1.LabelTracked] = tracked
	}
	if len(labels) == 0 {
		labels = nil
	}
	o.SetLabels(labels)
}
