package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// tetherTimeout bounds one pass.
const tetherTimeout = 10 * time.Second

// tether makes Sluice's own namespace the owner of the webhook configurations. Whoever deletes the namespace, in whatever order the rest goes,
// leaves no configuration behind that calls nobody: Kubernetes collects it. It never creates a configuration.
type tether struct {
	configurations client.Reader
	live           client.Reader
	writer         client.Writer
	namespace      string
}

// Reconcile writes the owner where it is missing. The request names the configuration in its name and the kind in its namespace.
func (t tether) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, tetherTimeout)
	defer cancel()
	have := configurationMetadata(req.Namespace)
	if err := t.configurations.Get(ctx, types.NamespacedName{Name: req.Name}, have); err != nil {
		// Its watch tells when there is one.
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	// Read anew for each change of a configuration, which are few: an owner with an old UID would have the configuration collected.
	var owner corev1.Namespace
	if err := t.live.Get(ctx, types.NamespacedName{Name: t.namespace}, &owner); err != nil {
		return reconcile.Result{}, fmt.Errorf("reading Sluice's namespace %s: %w", t.namespace, err)
	}
	want := have.DeepCopy()
	if !tie(want, &owner) {
		return reconcile.Result{}, nil
	}
	err := t.writer.Patch(ctx, want, client.MergeFromWithOptions(have, client.MergeFromWithOptimisticLock{}))
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		// The watch brings what is there now.
		return reconcile.Result{}, nil
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("writing the owner of %s %s: %w", req.Namespace, req.Name, err)
	}
	return reconcile.Result{}, nil
}

// tie puts the namespace, and no other of the same name, among the owners. It tells whether that changed anything.
func tie(configuration *metav1.PartialObjectMetadata, owner *corev1.Namespace) bool {
	want := metav1.OwnerReference{APIVersion: "v1", Kind: "Namespace", Name: owner.Name, UID: owner.UID}
	owners := slices.DeleteFunc(slices.Clone(configuration.OwnerReferences), func(o metav1.OwnerReference) bool {
		return o.APIVersion == want.APIVersion && o.Kind == want.Kind && o.Name == want.Name && o.UID != want.UID
	})
	if slices.Contains(owners, want) && len(owners) == len(configuration.OwnerReferences) {
		return false
	}
	if !slices.Contains(owners, want) {
		owners = append(owners, want)
	}
	configuration.OwnerReferences = owners
	return true
}

// configurationMetadata is an empty webhook configuration of a kind, of which only the metadata is read.
func configurationMetadata(kind string) *metav1.PartialObjectMetadata {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(schema.GroupVersionKind{Group: admissionv1.GroupName, Version: "v1", Kind: kind})
	return object
}

// addTether adds the tether to the manager. It runs where the lease is held, and watches the two configurations by name: that is all it may read.
func addTether(mgr manager.Manager, o *controllerOptions) error {
	names := map[string]string{
		"MutatingWebhookConfiguration":   o.certs.MutatingConfiguration,
		"ValidatingWebhookConfiguration": o.certs.ValidatingConfiguration,
	}
	byObject := map[client.Object]cache.ByObject{}
	for kind, name := range names {
		byObject[configurationMetadata(kind)] = cache.ByObject{Field: fields.OneTermEqualSelector("metadata.name", name)}
	}
	configurations, err := cache.New(mgr.GetConfig(), cache.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
		DefaultTransform: cache.TransformStripManagedFields(), ByObject: byObject,
	})
	if err != nil {
		return fmt.Errorf("making the cache of the webhook configurations' metadata: %w", err)
	}
	if err := mgr.Add(configurations); err != nil {
		return fmt.Errorf("adding the cache of the webhook configurations' metadata: %w", err)
	}
	worker, err := controller.New("webhook-owner", mgr, controller.Options{
		Reconciler: tether{configurations: configurations, live: mgr.GetAPIReader(), writer: mgr.GetClient(), namespace: o.ownNamespace},
	})
	if err != nil {
		return fmt.Errorf("making the controller of the webhook configurations' owner: %w", err)
	}
	var errs []error
	for kind := range names {
		request := handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, object *metav1.PartialObjectMetadata) []reconcile.Request {
			return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: kind, Name: object.Name}}}
		})
		errs = append(errs, worker.Watch(source.Kind(configurations, configurationMetadata(kind), request)))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("watching the webhook configurations: %w", err)
	}
	return nil
}
