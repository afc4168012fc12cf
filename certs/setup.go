package certs

import (
	"context"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// setupInjector adds the injector to the manager, with a cache of its own that holds nothing but the objects it works on: the manager's cache
// may not be allowed to see Secrets, and a watch narrowed to one name needs rights on that name only.
func setupInjector(mgr manager.Manager, opts Options, known *trust) error {
	named := func(name string) cache.ByObject {
		return cache.ByObject{Field: fields.OneTermEqualSelector("metadata.name", name)}
	}
	secrets := named(opts.CASecret)
	secrets.Namespaces = map[string]cache.Config{opts.Namespace: {}}
	objects, err := cache.New(mgr.GetConfig(), cache.Options{
		HTTPClient:       mgr.GetHTTPClient(),
		Scheme:           mgr.GetScheme(),
		Mapper:           mgr.GetRESTMapper(),
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}: secrets,
			&admissionv1.ValidatingWebhookConfiguration{}: named(opts.ValidatingConfiguration),
			&admissionv1.MutatingWebhookConfiguration{}:   named(opts.MutatingConfiguration),
		},
	})
	if err != nil {
		return fmt.Errorf("creating the cache: %w", err)
	}
	if err := mgr.Add(everyReplicas{objects}); err != nil {
		return fmt.Errorf("adding the cache: %w", err)
	}
	everyReplica := false
	worker, err := controller.New("ca-injector", mgr, controller.Options{
		Reconciler:         newInjector(opts, known, objects, mgr.GetClient()),
		NeedLeaderElection: &everyReplica,
	})
	if err != nil {
		return fmt.Errorf("creating the controller: %w", err)
	}
	for _, watched := range []client.Object{
		&corev1.Secret{},
		&admissionv1.ValidatingWebhookConfiguration{},
		&admissionv1.MutatingWebhookConfiguration{},
	} {
		if err := worker.Watch(source.Kind(objects, watched, handler.EnqueueRequestsFromMapFunc(onlyRequest))); err != nil {
			return fmt.Errorf("watching %T: %w", watched, err)
		}
	}
	return nil
}

// everyReplicas is a cache that the manager starts like its own. A plain one would be started on the leader only.
type everyReplicas struct{ cache.Cache }

// GetCache tells the manager what this is.
func (c everyReplicas) GetCache() cache.Cache { return c.Cache }

// onlyRequest maps every event to the same request, so that a burst of them is one pass.
func onlyRequest(context.Context, client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: "ca-bundle"}}}
}
