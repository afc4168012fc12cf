package reconciler

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// applyTarget scales the target, puts a template back and takes the hold off, in one write at the version that was decided on.
func (r *Reconciler) applyTarget(ctx context.Context, w *world, plan core.Plan) error {
	intent := plan.Target
	if intent == nil || w.target == nil {
		return nil
	}
	next, err := w.intendedTarget(intent)
	if err != nil {
		return err
	}
	return r.patchTarget(ctx, w, next)
}

// intendedTarget is the target as the plan wants it, with all else as it was read.
func (w *world) intendedTarget(intent *core.TargetIntent) (*unstructured.Unstructured, error) {
	next := w.target.DeepCopy()
	if intent.Restore != "" && w.observed.Target.Template != restored(w.snapshots, intent.Restore) {
		if err := restoreTemplate(next, w.snapshots, intent.Restore); err != nil {
			return nil, err
		}
	}
	if intent.Replicas != nil {
		// After the template, which may be what scales.
		if err := w.kind.scale(next, *intent.Replicas); err != nil {
			return nil, err
		}
	}
	if err := w.holdOrRelease(next, intent); err != nil {
		return nil, err
	}
	return next, nil
}

// holdOrRelease puts a hold on a target or takes it off, as the plan says. A Service cannot be held, so there is nothing to take off.
func (w *world) holdOrRelease(target *unstructured.Unstructured, intent *core.TargetIntent) error {
	if intent.Hold {
		if err := hold(target); err != nil {
			return err
		}
	}
	if intent.Release && w.targetService == nil {
		return revision.Release(target)
	}
	return nil
}

// hold keeps a target from rolling its stored template out, for a change that admission has not held.
func hold(target *unstructured.Unstructured) error {
	template, err := revision.TemplateOf(target)
	if err != nil {
		return err
	}
	return revision.PutHold(target, revision.CanonicalBareDigest(template))
}

// restored returns the digest of the template of a stored revision; "" when it is not stored.
func restored(snapshots []revision.Stored, digest string) string {
	if s := revision.ByDigest(snapshots, digest); s != nil {
		return s.TemplateDigest
	}
	return ""
}

// restoreTemplate puts the template of a stored revision back.
func restoreTemplate(target *unstructured.Unstructured, snapshots []revision.Stored, digest string) error {
	s := revision.ByDigest(snapshots, digest)
	if s == nil {
		return fmt.Errorf("the snapshot of revision %s is not stored", digest)
	}
	if s.Target.Kind == revision.Service {
		return restoreService(target, s)
	}
	template := map[string]any{}
	if err := utiljson.Unmarshal(s.Template, &template); err != nil {
		return fmt.Errorf("snapshot %s: %w", s.Name, err)
	}
	if err := unstructured.SetNestedMap(target.Object, template, "spec", "template"); err != nil {
		return fmt.Errorf("spec.template: %w", err)
	}
	return nil
}
