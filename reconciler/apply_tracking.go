package reconciler

import (
	"context"
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
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
	guard(next, plan.Guard)
	if w.targetService != nil {
		// By this one Services, and with them their endpoints, are cached.
		next.SetLabels(with(next.GetLabels(), map[string]string{v1beta1.LabelCanary: revision.LabelValue(w.canary.Name)}))
	}
	if err := r.patchTarget(ctx, w, next); err != nil {
		return err
	}
	for _, o := range w.unlabelled {
		next := o.DeepCopyObject().(client.Object)
		label(next, v1beta1.TrackedConfig)
		if _, err := r.patch(ctx, o, next); err != nil {
			return err
		}
	}
	return nil
}

// applyUntracking takes the labels off configs that no Canary of the namespace needs any more, so that admission is not asked about them for ever. It
// waits until all of these have been looked at, and costs nothing while their needs stay the same.
func (r *Reconciler) applyUntracking(ctx context.Context, w *world, _ core.Plan) error {
	ns := w.canary.Namespace
	if r.refs.isSwept(ns) {
		return nil
	}
	list := &v1beta1.CanaryList{}
	if err := r.Client.List(ctx, list, client.InNamespace(ns)); err != nil {
		return fmt.Errorf("list the Canaries of namespace %s: %w", ns, err)
	}
	var names []types.NamespacedName
	for i := range list.Items {
		c := &list.Items[i]
		winner, err := r.winner(ctx, c)
		if err != nil {
			return err
		}
		if !givenBack(c) && winner == "" {
			names = append(names, client.ObjectKeyFromObject(c))
		}
	}
	if !r.refs.sweep(ns, names) {
		return nil
	}
	if err := r.untrack(ctx, ns); err != nil {
		r.refs.unsweep(ns)
		return err
	}
	return nil
}

func (r *Reconciler) untrack(ctx context.Context, namespace string) error {
	configs, err := r.configsLabelled(ctx, namespace, v1beta1.TrackedConfig)
	if err != nil {
		return err
	}
	for _, o := range configs {
		kind := revision.Kind(kindOf(o))
		needed := func(ref revision.ConfigRef) bool { return ref.Kind == kind && ref.Name == o.GetName() }
		if len(r.refs.of(namespace, needed)) > 0 {
			continue
		}
		next := o.DeepCopyObject().(client.Object)
		label(next, "")
		if _, err := r.patch(ctx, o, next); err != nil {
			return client.IgnoreNotFound(err)
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
		// What admission recorded grows old from here on.
		annotations := maps.Clone(o.GetAnnotations())
		if delete(annotations, v1beta1.AnnotationAdmitted); len(annotations) == 0 {
			annotations = nil
		}
		o.SetAnnotations(annotations)
	} else {
		labels[v1beta1.LabelTracked] = tracked
	}
	if len(labels) == 0 {
		labels = nil
	}
	o.SetLabels(labels)
}

// guard sets the label by which admission denies changes of a target that it cannot hold, or takes it off.
func guard(o client.Object, guarded bool) {
	labels := maps.Clone(o.GetLabels())
	if delete(labels, v1beta1.LabelGuarded); guarded {
		labels[v1beta1.LabelGuarded] = "true"
	}
	o.SetLabels(labels)
}
