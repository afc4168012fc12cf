package reconciler

import (
	"cmp"
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// Waits between two tries of a reconcile that failed.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = time.Minute
)

// indexTarget finds Canaries by the label value that identifies their target.
const indexTarget = "sluice.target"

// SetupWithManager registers the Reconciler, its index and its watches. workers is how many Canaries are worked on at once.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, workers int) error {
	index := func(o client.Object) []string {
		c, ok := o.(*v1beta1.Canary)
		if !ok {
			return nil
		}
		return []string{targetLabel(c)}
	}
	if err := mgr.GetFieldIndexer().IndexField(ctx, &v1beta1.Canary{}, indexTarget, index); err != nil {
		return fmt.Errorf("index Canaries by target: %w", err)
	}
	changed := builder.WithPredicates(predicate.ResourceVersionChangedPredicate{})
	c, err := ctrl.NewControllerManagedBy(mgr).
		Named("canary").
		// A status is written by nobody but this controller, which knows what it wrote.
		For(&v1beta1.Canary{}, builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Watches(empty(deployments{}), handler.EnqueueRequestsFromMapFunc(r.forWorkload), changed).
		Watches(empty(daemonSets{}), handler.EnqueueRequestsFromMapFunc(r.forWorkload), changed).
		// A Canary that is gone, or has turned to another target, leaves its own to the next one.
		Watches(&v1beta1.Canary{}, handler.EnqueueRequestsFromMapFunc(r.forRivals),
			builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Watches(&corev1.Service{}, handler.EnqueueRequestsFromMapFunc(r.forOwned), changed).
		Watches(&discoveryv1.EndpointSlice{}, handler.EnqueueRequestsFromMapFunc(r.forOwned), changed).
		Watches(&appsv1.ControllerRevision{}, handler.EnqueueRequestsFromMapFunc(r.forSnapshot), changed).
		Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(r.forConfig), changed).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.forConfig), changed).
		WatchesRawSource(source.Func(r.takeQueue)).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: workers,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry),
		}).
		Build(r)
	if err != nil {
		return fmt.Errorf("register the controller: %w", err)
	}
	r.watch = func(gvk schema.GroupVersionKind, who handler.MapFunc, changed predicate.Predicate) error {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(gvk)
		return c.Watch(source.Kind[client.Object](mgr.GetCache(), u, handler.EnqueueRequestsFromMapFunc(who), changed))
	}
	return nil
}

// takeQueue keeps the queue for Notify. It is called when this replica starts to work.
func (r *Reconciler) takeQueue(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue = q
	return nil
}

// Notify has a Canary decided on again, because the answer of a check has arrived. It never blocks; on a replica that does not work it does
// nothing.
func (r *Reconciler) Notify(canary types.NamespacedName) {
	r.mu.Lock()
	q := r.queue
	r.mu.Unlock()
	if q != nil {
		q.Add(reconcile.Request{NamespacedName: canary})
	}
}

// ensureWatch watches a kind of route from the first time that a Canary needs it, as soon as the cluster knows it.
func (r *Reconciler) ensureWatch(gvk schema.GroupVersionKind) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watch == nil || r.watching[gvk] {
		return nil
	}
	if _, err := r.Client.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version); err != nil {
		if meta.IsNoMatchError(err) {
			return nil
		}
		return err
	}
	if err := r.watch(gvk, r.forRoute, predicate.ResourceVersionChangedPredicate{}); err != nil {
		return err
	}
	r.watching[gvk] = true
	return nil
}

// forOwned returns the Canary that an object's label or owner names.
func (r *Reconciler) forOwned(ctx context.Context, o client.Object) []reconcile.Request {
	for _, ref := range o.GetOwnerReferences() {
		if isCanary(ref) {
			return requests(o.GetNamespace(), ref.Name)
		}
	}
	label := o.GetLabels()[v1beta1.LabelCanary]
	if label == "" {
		return nil
	}
	if revision.LabelValue(label) == label && len(label) < maxPlainLabel {
		return requests(o.GetNamespace(), label)
	}
	// The label may be a shortened name.
	return r.canaries(ctx, func(c *v1beta1.Canary) bool { return revision.LabelValue(c.Name) == label }, client.InNamespace(o.GetNamespace()))
}

// kindUpstream is the kind of what spec.upstreamRef names.
const kindUpstream = "Upstream"

// forRoute returns the Canaries that an object concerns which is a route, or which a route is made after.
func (r *Reconciler) forRoute(ctx context.Context, o client.Object) []reconcile.Request {
	named := func(ref *v1beta1.LocalObjectReference) bool { return ref != nil && ref.Name == o.GetName() }
	refers := func(c *v1beta1.Canary) bool { return named(c.Spec.IngressRef) || named(c.Spec.RouteRef) }
	upstream := func(c *v1beta1.Canary) bool {
		ref := c.Spec.UpstreamRef
		return ref != nil && ref.Name == o.GetName() && cmp.Or(ref.Namespace, c.Namespace) == o.GetNamespace()
	}
	out := append(r.forOwned(ctx, o), r.canaries(ctx, refers, client.InNamespace(o.GetNamespace()))...)
	if o.GetObjectKind().GroupVersionKind().Kind == kindUpstream {
		// It alone may be in another namespace than its Canaries.
		out = append(out, r.canaries(ctx, upstream)...)
	}
	return out
}

// maxPlainLabel is the length from which a label's value may be a shortened name.
const maxPlainLabel = 50

// forWorkload returns the Canaries of a target or primary.
func (r *Reconciler) forWorkload(ctx context.Context, o client.Object) []reconcile.Request {
	t := revision.Target{Kind: o.GetObjectKind().GroupVersionKind().Kind, Name: o.GetName()}
	return append(r.forTarget(ctx, o.GetNamespace(), revision.Selector(t)[v1beta1.LabelTarget]), r.forOwned(ctx, o)...)
}

// forSnapshot returns the Canaries of the target that a snapshot belongs to.
func (r *Reconciler) forSnapshot(ctx context.Context, o client.Object) []reconcile.Request {
	return r.forTarget(ctx, o.GetNamespace(), o.GetLabels()[v1beta1.LabelTarget])
}

func (r *Reconciler) forTarget(ctx context.Context, namespace, label string) []reconcile.Request {
	return r.canaries(ctx, nil, client.InNamespace(namespace), client.MatchingFields{indexTarget: label})
}

// forConfig returns the Canaries whose targets reference a config, or the config of a copy.
func (r *Reconciler) forConfig(_ context.Context, o client.Object) []reconcile.Request {
	kind, name := revision.Kind(kindOf(o)), o.GetName()
	match := func(ref revision.ConfigRef) bool { return ref.Kind == kind && ref.Name == name }
	if o.GetLabels()[v1beta1.LabelTracked] == v1beta1.TrackedCopy {
		match = func(ref revision.ConfigRef) bool { return ref.Kind == kind && revision.IsCopyOf(name, ref.Name) }
	}
	var out []reconcile.Request
	for _, c := range r.refs.of(o.GetNamespace(), match) {
		out = append(out, reconcile.Request{NamespacedName: c})
	}
	return out
}

// canaries lists Canaries from the cache; want nil accepts all.
func (r *Reconciler) canaries(ctx context.Context, want func(*v1beta1.Canary) bool, opts ...client.ListOption) []reconcile.Request {
	list := &v1beta1.CanaryList{}
	if err := r.Client.List(ctx, list, opts...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "cannot find the Canaries of a changed object")
		return nil
	}
	var out []reconcile.Request
	for i := range list.Items {
		if c := &list.Items[i]; want == nil || want(c) {
			out = append(out, requests(c.Namespace, c.Name)...)
		}
	}
	return out
}

func requests(namespace, name string) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}}
}
