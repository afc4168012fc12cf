package reconciler

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// CacheOptions returns what the manager's cache must hold for a Reconciler: of kinds that a cluster has thousands of, only the objects with
// Sluice's labels. All namespaces are watched when none is named. Whoever needs other objects of these kinds must read them live.
func CacheOptions(namespaces ...string) cache.Options {
	labelled := func(key string) cache.ByObject {
		return cache.ByObject{Label: exists(key)}
	}
	o := cache.Options{
		// Sluice never reads who manages which field, and it is half of each object.
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&appsv1.Deployment{}:         labelled(v1beta1.LabelTracked),
			&appsv1.DaemonSet{}:          labelled(v1beta1.LabelTracked),
			&corev1.ConfigMap{}:          labelled(v1beta1.LabelTracked),
			&corev1.Secret{}:             labelled(v1beta1.LabelTracked),
			&appsv1.ControllerRevision{}: labelled(v1beta1.LabelSnapshot),
			&corev1.Service{}:            labelled(v1beta1.LabelCanary),
			// The endpoints of a Service carry its labels.
			&discoveryv1.EndpointSlice{}: labelled(v1beta1.LabelCanary),
		},
	}
	if len(namespaces) > 0 {
		o.DefaultNamespaces = map[string]cache.Config{}
		for _, n := range namespaces {
			o.DefaultNamespaces[n] = cache.Config{}
		}
	}
	return o
}

// exists selects objects that have a label, whatever its value.
func exists(key string) labels.Selector {
	r, err := labels.NewRequirement(key, selection.Exists, nil)
	if err != nil {
		// The keys are constants; one that is no label key selects nothing.
		return labels.Nothing()
	}
	return labels.NewSelector().Add(*r)
}

// ClientOptions returns how the manager's client must be made: workloads are read unstructured, through the cache.
func ClientOptions() client.Options {
	return client.Options{Cache: &client.CacheOptions{Unstructured: true}}
}
