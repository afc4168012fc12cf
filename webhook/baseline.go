package webhook

import (
	"context"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// record labels the target and its configs, so that their changes are intercepted from here on, and stores the target's revision. A target that
// does not exist has none.
func (b baseline) record(ctx context.Context, c *v1beta1.Canary) error {
	target, err := b.track(ctx, c)
	if apierrors.IsNotFound(err) || beingDeleted(target) {
		return nil
	}
	if err != nil {
		return err
	}
	if !b.snapshots.ignoreConfigs && !c.TargetsService() {
		if err := b.trackConfigs(ctx, target); err != nil {
			return err
		}
	}
	if serves, err := b.serves(ctx, c, target); err != nil || !serves {
		return err
	}
	taken := revision.Taken{At: b.snapshots.now(), Baseline: true}
	object, created, err := b.snapshots.store(ctx, target, b.snapshots.lookup(ctx, c.Namespace), taken)
	if err != nil || created {
		return err
	}
	return b.mark(ctx, object)
}

// track sets the labels. The answer to the patch is the target as it was labelled: nothing can come between the two.
func (b baseline) track(ctx context.Context, c *v1beta1.Canary) (*unstructured.Unstructured, error) {
	target := targetOf(c)
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

// serves tells whether the target may have users. One at zero, or a Service, beside a primary has none: a cluster was restored in the middle of a
// rollout, or another controller went before, and what the target is at may never have been looked at.
func (b baseline) serves(ctx context.Context, c *v1beta1.Canary, target *unstructured.Unstructured) (bool, error) {
	if !revision.Idle(target) && !c.TargetsService() {
		return true, nil
	}
	primary := &metav1.PartialObjectMetadata{}
	primary.SetGroupVersionKind(target.GroupVersionKind())
	key := types.NamespacedName{Namespace: c.Namespace, Name: c.PrimaryName()}
	switch err := b.snapshots.live.Get(ctx, key, primary); {
	case apierrors.IsNotFound(err):
		return true, nil
	case err != nil:
		return true, fmt.Errorf("look for %s %s: %w", target.GetKind(), key.Name, err)
	}
	return false, nil
}

// trackConfigs labels the configs that the target references. One that does not exist is labelled when it appears.
func (b baseline) trackConfigs(ctx context.Context, target *unstructured.Unstructured) error {
	if revision.TrackingDisabled(target.GetAnnotations()) {
		return nil
	}
	template, err := revision.TemplateOf(target)
	if err != nil {
		return err
	}
	refs, err := revision.ConfigRefs(template)
	if err != nil {
		return err
	}
	patch, err := metadataPatch("labels", map[string]string{v1beta1.LabelTracked: v1beta1.TrackedConfig})
	if err != nil {
		return err
	}
	for _, ref := range refs {
		object := &metav1.PartialObjectMetadata{}
		object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(string(ref.Kind)))
		err := b.snapshots.live.Get(ctx, types.NamespacedName{Namespace: target.GetNamespace(), Name: ref.Name}, object)
		if err == nil && object.Labels[v1beta1.LabelTracked] == "" {
			err = b.write.Patch(ctx, object, patch)
		}
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("label %s %s: %w", ref.Kind, ref.Name, err)
		}
	}
	return nil
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
