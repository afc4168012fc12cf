package reconciler

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// applyVerb takes off a verb that status tells of. One that a manifest names stays, without its stamp: whoever applies the manifest would set it again,
// and that would be another command. The Canary is read anew, since the cache knows nothing of who manages what.
func (r *Reconciler) applyVerb(ctx context.Context, w *world, plan core.Plan) error {
	if !plan.ClearVerb {
		return nil
	}
	live := &v1beta1.Canary{}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(w.canary), live); err != nil {
		return client.IgnoreNotFound(err)
	}
	for _, key := range []string{v1beta1.AnnotationVerb, v1beta1.AnnotationVerbStamp} {
		if live.Annotations[key] != w.canary.Annotations[key] {
			// There is a newer one, which is decided on next.
			return nil
		}
	}
	next := live.DeepCopy()
	delete(next.Annotations, v1beta1.AnnotationVerbStamp)
	if declared, err := declares(live, v1beta1.AnnotationVerb); err != nil {
		return err
	} else if !declared {
		delete(next.Annotations, v1beta1.AnnotationVerb)
	}
	changed, err := r.patch(ctx, live, next)
	if changed && err == nil {
		w.canary = next
	}
	return err
}

// declares tells whether a manifest that somebody applies names an annotation of an object.
func declares(o client.Object, annotation string) (bool, error) {
	key, err := json.Marshal("f:" + annotation)
	if err != nil {
		return false, err
	}
	for _, m := range o.GetManagedFields() {
		if m.Operation == metav1.ManagedFieldsOperationApply && m.FieldsV1 != nil && bytes.Contains(m.FieldsV1.GetRawBytes(), key) {
			return true, nil
		}
	}
	applied, ok := o.GetAnnotations()[lastApplied]
	if !ok {
		return false, nil
	}
	manifest := metav1.PartialObjectMetadata{}
	if err := json.Unmarshal([]byte(applied), &manifest); err != nil {
		return false, fmt.Errorf("annotation %s: %w", lastApplied, err)
	}
	_, declared := manifest.Annotations[annotation]
	return declared, nil
}

// lastApplied is what kubectl apply, and tools that work like it, keep of a manifest.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"
