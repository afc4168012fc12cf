package webhook

import (
	"context"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// baseline records what a target is at when its Canary is admitted, before the Canary lands: the very next request, of the same "kubectl apply
// -f dir/", may change the target, and the primary is to be built from the version before.
type baseline struct {
	snapshots snapshots
	write     client.Writer
}

// record labels the target, so that its changes are intercepted from here on, and stores its revision. A target that does not exist has none.
func (b baseline) record(ctx context.Context, c *v1beta1.Canary) error {
	target, err := b.track(ctx, c)
	if apierrors.IsNotFound(err) || beingDeleted(target) {
		return nil
	}
	if err != nil {
		return err
	}
	taken := revision.Taken{At: b.snapshots.now(), Baseline: true}
	object, created, err := b.snapshots.store(ctx, target, taken)
	if err != nil || created {
		return err
	}
	return b.mark(ctx, object)
}

// track sets the labels. The answer to the patch is the target as it was labelled: nothing can come between the two.
func (b baseline) track(ctx context.Context, c *v1beta1.Canary) (*unstructured.Unstructured, error) {
	target := &unstructured.Unstructured{}
	target.SetAPIVersion(appsv1.SchemeGroupVersion.String())
	target.SetKind(c.Spec.TargetRef.Kind)
	target.SetNamespace(c.Namespace)
	target.SetName(c.Spec.TargetRef.Name)
	patch, err := metadataPatch("labels", map[string]string{
		v1beta1.LabelTracked: v1beta1.TrackedTarget,
		v1beta1.LabelCanary:  revision.LabelValue(c.Name),
	})
	if err != nil {
		return nil, err
	}
	if err := b.write.Patch(ctx, target, patch); err != nil {
		return nil, fmt.Errorf("label %s %s: %w", c.Spec.TargetRef.Kind, c.Spec.TargetRef.Name, err)
	}
	return target, nil
}

// mark dates the baseline on a snapshot that was stored earlier.
func (b baseline) mark(ctx context.Context, want *appsv1.ControllerRevision) error {
	patch, err := metadataPatch("annotations", map[string]string{
		v1beta1.AnnotationBaseline: want.Annotations[v1beta1.AnnotationBaseline],
	})
	if err != nil {
		return err
	}
	object := &appsv1.ControllerRevision{}
	object.Namespace, object.Name = want.Namespace, want.Name
	if err := b.write.Patch(ctx, object, patch); err != nil {
		return fmt.Errorf("mark snapshot %s as the baseline: %w", want.Name, err)
	}
	return nil
}

func metadataPatch(field string, values map[string]string) (client.Patch, error) {
	raw, err := json.Marshal(map[string]any{"metadata": map[string]any{field: values}})
	if err != nil {
		return nil, fmt.Errorf("encode a patch of %s: %w", field, err)
	}
	return client.RawPatch(types.MergePatchType, raw), nil
}
