package reconciler

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/scaler"
)

// watchScalers watches a kind of autoscaler from the first time that a Canary names one. A cluster that does not know the kind is a no-match error.
func (r *Reconciler) watchScalers(gvk schema.GroupVersionKind) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watching[gvk] {
		return nil
	}
	if _, err := r.Client.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version); err != nil {
		return err
	}
	if r.watch == nil {
		return nil
	}
	if err := r.watch(gvk, r.forScaler, scalerChanged); err != nil {
		return err
	}
	r.watching[gvk] = true
	return nil
}

// scalerChanged lets those updates of autoscalers through that people make: their status follows the load, every few seconds.
var scalerChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	old, was := e.ObjectOld.(*unstructured.Unstructured)
	now, is := e.ObjectNew.(*unstructured.Unstructured)
	return !was || !is || !equality.Semantic.DeepEqual(essence(old), essence(now))
}}

// essence is what of an autoscaler is wanted of it, and whose it is.
func essence(u *unstructured.Unstructured) []any {
	return []any{u.Object["spec"], u.GetLabels(), u.GetAnnotations(), u.GetOwnerReferences(), u.GetDeletionTimestamp()}
}

// forScaler returns the Canaries that name an autoscaler, or own it.
func (r *Reconciler) forScaler(ctx context.Context, o client.Object) []reconcile.Request {
	kind, name := o.GetObjectKind().GroupVersionKind().Kind, o.GetName()
	named := r.canaries(ctx, func(c *v1beta1.Canary) bool {
		ref := c.Spec.AutoscalerRef
		return ref != nil && ref.Kind == kind && (ref.Name == name || scaler.PrimaryName(ref.Name) == name)
	}, client.InNamespace(o.GetNamespace()))
	return append(named, r.forOwned(ctx, o)...)
}

// bareScaler leaves out of the cache what Sluice never reads of an autoscaler.
func bareScaler(in any) (any, error) {
	if u, ok := in.(*unstructured.Unstructured); ok {
		u.SetManagedFields(nil)
		delete(u.Object, "status")
	}
	return in, nil
}
