package reconciler

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
	"github.com/sluice-dev/sluice/reconciler/scaler"
)

// annotationContent stands, in the cache only, for the data of a ConfigMap or Secret: the version and the digest of what was there.
const annotationContent = "sluice.dev/cached-content"

// CacheOptions returns what the manager's cache must hold for a Reconciler: of kinds that a cluster has thousands of, only the objects with
// Sluice's labels. All namespaces are watched when none is named. Whoever needs other objects of these kinds must read them live;
// so must whoever needs the data of a ConfigMap or Secret, of which the cache keeps the digest.
func CacheOptions(namespaces ...string) cache.Options {
	labelled := func(key string) cache.ByObject {
		return cache.ByObject{Label: exists(key)}
	}
	configs := labelled(v1beta1.LabelTracked)
	configs.Transform = digestOnly
	autoscalers := labelled(v1beta1.LabelTracked)
	autoscalers.Transform = bareScaler
	hpa, _ := scaler.Of(scaler.HPA)
	horizontal := scaler.Empty(hpa)
	o := cache.Options{
		// Sluice never reads who manages which field, and it is half of each object.
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&appsv1.Deployment{}:         labelled(v1beta1.LabelTracked),
			&appsv1.DaemonSet{}:          labelled(v1beta1.LabelTracked),
			&corev1.ConfigMap{}:          configs,
			&corev1.Secret{}:             configs,
			&appsv1.ControllerRevision{}: labelled(v1beta1.LabelSnapshot),
			&corev1.Service{}:            labelled(v1beta1.LabelCanary),
			// KEDA may not be installed, and what it makes is few: its objects are cached all.
			horizontal: autoscalers,
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

// digestOnly puts the digest of a config in the place of its data, so that the memory of a controller holds neither megabytes of files nor any
// secret. An object that is handed in again stays as it is.
func digestOnly(in any) (any, error) {
	o, ok := in.(client.Object)
	if !ok {
		return in, nil
	}
	o.SetManagedFields(nil)
	content, err := contentOf(o)
	if err != nil {
		return nil, err
	}
	annotations := o.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[annotationContent] = o.GetResourceVersion() + "/" + content.Digest
	o.SetAnnotations(annotations)
	switch o := o.(type) {
	case *corev1.ConfigMap:
		o.Data, o.BinaryData = nil, nil
	case *corev1.Secret:
		o.Data = nil
	}
	return o, nil
}

// contentOf returns what a config holds. Of one from the cache only the digest is known.
func contentOf(o client.Object) (revision.Content, error) {
	var content revision.Content
	var err error
	bare := false
	switch o := o.(type) {
	case *corev1.ConfigMap:
		content, err = revision.ConfigMapContent(o)
		bare = len(o.Data) == 0 && len(o.BinaryData) == 0
	case *corev1.Secret:
		content, err = revision.SecretContent(o)
		bare = len(o.Data) == 0
	default:
		err = fmt.Errorf("%T is no config", o)
	}
	// The version tells the note from an annotation that somebody stored.
	if version, digest, ok := strings.Cut(o.GetAnnotations()[annotationContent], "/"); ok && bare && version == o.GetResourceVersion() {
		content.Digest = digest
	}
	return content, err
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
