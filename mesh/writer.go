package mesh

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// fieldManager is the name under which the API server notes what Sluice wrote.
const fieldManager = client.FieldOwner("sluice")

// get returns the object, nil when it is missing. The error of an unknown kind satisfies meta.IsNoMatchError.
func (r *Router) get(ctx context.Context, c *v1beta1.Canary, o Object) (*unstructured.Unstructured, error) {
	u, err := fetch(ctx, r.client, c.Namespace, o)
	if err != nil {
		return nil, err
	}
	return r.memory.latest(o, client.ObjectKey{Namespace: c.Namespace, Name: o.Name}, u), nil
}

// fetch is the same without what was written here.
func fetch(ctx context.Context, from client.Reader, namespace string, o Object) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(o.Kind)
	err := from.Get(ctx, client.ObjectKey{Namespace: namespace, Name: o.Name}, u)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read %s in namespace %s: %w", o, namespace, err)
	}
	return u, nil
}

// missingKind says what to do about a kind that the cluster does not know.
func missingKind(o Object) string {
	return fmt.Sprintf("the cluster does not know %s of %s; install the provider's CRDs or choose another spec.provider", o.Kind.Kind, o.Kind.GroupVersion())
}

// create writes a new object. One that appeared in the meantime is a conflict: it must be looked at before anything is written over it.
func (r *Router) create(ctx context.Context, o Object, desired *unstructured.Unstructured) error {
	err := r.client.Create(ctx, desired, fieldManager)
	if apierrors.IsAlreadyExists(err) {
		return conflict(o, errors.New("it was created in the meantime"))
	}
	if err != nil {
		return fmt.Errorf("create %s in namespace %s: %w", o, desired.GetNamespace(), err)
	}
	r.memory.wrote(o, desired)
	return nil
}

// patch writes what differs between existing and desired, if anything, and tells whether the stored object changed.
//
// It is a merge patch and not server-side apply, because it must also take away what others wrote: an owner reference left by another
// controller would have the route deleted with the Canary, and an apply cannot remove a field that somebody else owns. It carries only the
// difference, so nothing that the cache left out is lost, and the version that was read, so nothing is written over a newer object.
func (r *Router) patch(ctx context.Context, o Object, existing, desired *unstructured.Unstructured) (bool, error) {
	if equality.Semantic.DeepEqual(existing.Object, desired.Object) {
		return false, nil
	}
	namespace, version := existing.GetNamespace(), existing.GetResourceVersion()
	err := r.client.Patch(ctx, desired, client.MergeFromWithOptions(existing, client.MergeFromWithOptimisticLock{}), fieldManager)
	if apierrors.IsNotFound(err) {
		err = conflict(o, errors.New("it was deleted in the meantime"))
	}
	if err != nil {
		r.memory.forget(o, namespace)
		return false, fmt.Errorf("write %s in namespace %s: %w", o, namespace, err)
	}
	r.memory.wrote(o, desired)
	// A field that this cluster's version of the kind does not have is dropped by the API server; then nothing has changed.
	return desired.GetResourceVersion() != version, nil
}

// versionOf identifies the state of an object's spec and of its fence. A provider's answer in the status, or a label, is no reason to decide on the
// weights again: a busy provider could otherwise keep a write from ever getting through.
func versionOf(u *unstructured.Unstructured) string {
	if u.GetGeneration() == 0 {
		return u.GetResourceVersion()
	}
	version := fmt.Sprintf("%s.%d", u.GetUID(), u.GetGeneration())
	if u.GetKind() == ingressKind.Kind {
		// Its weights are annotations, which do not count in the generation.
		version += fmt.Sprintf(" (annotations %s)", digestOf(u.GetAnnotations()))
	}
	fence, stands := u.GetAnnotations()[v1beta1.AnnotationFence]
	if last := u.GetAnnotations()[annotationLastFence]; stands || last != "" {
		version += fmt.Sprintf(" (fence stands: %t %s, last: %s)", stands, fence, last)
	}
	return version
}

// digestOf identifies annotations.
func digestOf(annotations map[string]string) string {
	sum := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		fmt.Fprintf(sum, "%q=%q,", key, annotations[key])
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// unchangedSince returns a conflict when existing is not at version; an empty version accepts any.
func unchangedSince(o Object, existing *unstructured.Unstructured, version string) error {
	switch {
	case version == "":
		return nil
	case existing == nil:
		return conflict(o, errors.New("it was deleted in the meantime"))
	case versionOf(existing) != version:
		return conflict(o, fmt.Errorf("it is at version %s, the decision was made on %s", versionOf(existing), version))
	}
	return nil
}

func conflict(o Object, cause error) error {
	plural, _ := meta.UnsafeGuessKindToResource(o.Kind)
	return apierrors.NewConflict(plural.GroupResource(), o.Name, cause)
}
