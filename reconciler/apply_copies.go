package reconciler

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// This file writes what there is of a target that is a Service.

// applyCopies makes the copies lead to the revisions that the plan names. Both are made from snapshots, never from the target as it is: a change of it
// reaches nobody by them before its turn.
func (r *Reconciler) applyCopies(ctx context.Context, w *world, plan core.Plan) error {
	if plan.Services == nil || plan.Services.Apex == core.SideTarget {
		return nil
	}
	primary := pinOf(w.primaryService)
	if plan.Primary != nil {
		primary = plan.Primary.Revision
	}
	canary := plan.Services.Pin
	if canary == "" {
		// Between rollouts a route may know it, and leads nobody there.
		canary = primary
	}
	for _, c := range []struct {
		role   role
		at     **corev1.Service
		digest string
	}{{rolePrimary, &w.primaryService, primary}, {roleCanary, &w.canaryService, canary}} {
		if c.digest == "" {
			continue
		}
		var err error
		if *c.at, err = r.ensureCopy(ctx, w, c.role, *c.at, c.digest); err != nil {
			return err
		}
	}
	return nil
}

// ensureCopy makes one copy lead to a revision. It returns the copy as it is then.
func (r *Reconciler) ensureCopy(ctx context.Context, w *world, role role, have *corev1.Service, digest string) (*corev1.Service, error) {
	s := revision.ByDigest(w.snapshots, digest)
	switch {
	case s == nil && have != nil && pinOf(have) == digest:
		// The snapshot was deleted; what leads to its revision goes on doing so.
		return have, nil
	case s == nil:
		return have, fmt.Errorf("the snapshot of revision %s is not stored", digest)
	}
	want, err := w.copyFor(role, have, s)
	if err != nil {
		return have, err
	}
	return r.ensureService(ctx, have, want)
}

// copyFor returns the primary's or the canary's copy as it ought to be: existing led to the revision of a snapshot, or a new one when existing is nil.
func (w *world) copyFor(r role, existing *corev1.Service, s *revision.Stored) (*corev1.Service, error) {
	out := existing.DeepCopy()
	if out == nil {
		out = w.newService(r)
	}
	w.ownMetadata(r, out)
	setOrDrop(out.Labels, labelPinned, s.Digest)
	ref := *metav1.NewControllerRef(w.canary, v1beta1.GroupVersion.WithKind(v1beta1.CanaryKind))
	out.OwnerReferences = owned(out.OwnerReferences, ref)
	if err := revision.LeadTo(s.Template, &out.Spec); err != nil {
		return nil, err
	}
	if t := w.canary.Spec.Service.TrafficDistribution; t != "" {
		out.Spec.TrafficDistribution = &t
	}
	return out, nil
}

// patchTarget writes the target as next has it, at the version that was read.
func (r *Reconciler) patchTarget(ctx context.Context, w *world, next *unstructured.Unstructured) error {
	if w.targetService == nil {
		_, err := r.patch(ctx, w.target, next)
		w.target = next
		return err
	}
	s := &corev1.Service{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(next.Object, s); err != nil {
		return fmt.Errorf("read Service %s: %w", next.GetName(), err)
	}
	// The one that was read may not name its kind.
	s.TypeMeta = w.targetService.TypeMeta
	if _, err := r.patch(ctx, w.targetService, s); err != nil {
		return err
	}
	w.targetService = s
	var err error
	w.target, err = untyped(s)
	return err
}

// restoreService makes the target lead where a stored revision did.
func restoreService(target *unstructured.Unstructured, s *revision.Stored) error {
	typed := &corev1.Service{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(target.Object, typed); err != nil {
		return fmt.Errorf("read Service %s: %w", target.GetName(), err)
	}
	if err := revision.RestoreService(s.Snapshot, &typed.Spec); err != nil {
		return err
	}
	spec, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&typed.Spec)
	if err != nil {
		return fmt.Errorf("read Service %s: %w", target.GetName(), err)
	}
	target.Object["spec"] = spec
	return nil
}
