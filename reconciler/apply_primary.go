package reconciler

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// applyPrimary makes the primary run the revision that the plan names, from its stored snapshot.
func (r *Reconciler) applyPrimary(ctx context.Context, w *world, plan core.Plan) error {
	if plan.DropPrimary {
		return r.dropPrimary(ctx, w)
	}
	if plan.Primary == nil || w.canary.TargetsService() {
		// The primary of a Service is a Service.
		return nil
	}
	s := revision.ByDigest(w.snapshots, plan.Primary.Revision)
	if s == nil {
		return fmt.Errorf("the snapshot of revision %s is not stored", plan.Primary.Revision)
	}
	rotated, err := r.rotated(ctx, w, s)
	if err != nil {
		return err
	}
	want, err := revision.PrimaryObject(s.Snapshot, revision.PrimaryOptions{
		SelectorLabels:       r.SelectorLabels,
		IncludeLabelPrefixes: r.IncludeLabelPrefixes,
		Canary:               w.canary,
		Replicas:             plan.Primary.Replicas,
		Rotated:              rotated,
	})
	if err != nil {
		return err
	}
	if w.primary == nil {
		w.primary = want
		return r.create(ctx, want)
	}
	if stillInherited(w.primary, s, rotated) {
		keepInherited(want)
	}
	return r.updatePrimary(ctx, w, mergePrimary(w.primary, want, plan.Primary), want, rotated)
}

// updatePrimary makes the primary what it is to be next, unless it is as close to that as the API server lets it come. It remembers what was rendered with
// what became of it, and tells which rotated configs the pods are replaced for.
func (r *Reconciler) updatePrimary(ctx context.Context, w *world, next, rendered *unstructured.Unstructured, rotated map[string]string) error {
	if r.settled.is(w.primary, next) {
		return nil
	}
	changed, err := r.patch(ctx, w.primary, next)
	if err != nil {
		return err
	}
	if changed {
		r.settled.note(rendered, next)
		r.tellRotated(ctx, w, revision.RotatedIn(w.primary), rotated)
	}
	w.primary = next
	return nil
}

// dropPrimary removes a primary that is no longer needed, after what scales it.
func (r *Reconciler) dropPrimary(ctx context.Context, w *world) error {
	if w.scalers.primary != nil {
		if err := r.removeOurs(ctx, w, w.scalers.primary); err != nil {
			return err
		}
	}
	if w.primary == nil {
		return nil
	}
	return r.removeOurs(ctx, w, w.primary)
}

// mergePrimary returns the existing primary with what Sluice owns as it ought to be. The selector cannot be changed and stays; so do the
// metadata of others and, unless the plan enforces them, the replicas.
func mergePrimary(existing, want *unstructured.Unstructured, intent *core.PrimaryIntent) *unstructured.Unstructured {
	next := existing.DeepCopy()
	spec, _ := next.Object["spec"].(map[string]any)
	wanted, _ := want.DeepCopy().Object["spec"].(map[string]any)
	for field, value := range wanted {
		if field == "selector" || (field == "replicas" && !intent.Enforce) {
			continue
		}
		spec[field] = value
	}
	delete(spec, "paused")
	next.SetLabels(with(next.GetLabels(), want.GetLabels()))
	annotations := with(next.GetAnnotations(), want.GetAnnotations())
	if _, rotated := want.GetAnnotations()[revision.AnnotationRotated]; !rotated {
		delete(annotations, revision.AnnotationRotated)
	}
	next.SetAnnotations(annotations)
	own(next, want.GetOwnerReferences()[0])
	return next
}

// own sets the controlling owner reference, in place of one to the same Canary before it was restored from a backup.
func own(o *unstructured.Unstructured, ref metav1.OwnerReference) {
	o.SetOwnerReferences(owned(o.GetOwnerReferences(), ref))
}

func owned(refs []metav1.OwnerReference, ref metav1.OwnerReference) []metav1.OwnerReference {
	refs = slices.Clone(refs)
	if i := slices.IndexFunc(refs, isCanary); i >= 0 {
		refs[i] = ref
		return refs
	}
	return append(refs, ref)
}

func with(base, more map[string]string) map[string]string {
	out := maps.Clone(base)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, more)
	return out
}

// settled remembers, for each primary, that what the API server made of a write is as close to what was wanted as it gets: a default of a newer
// Kubernetes, or a mutating webhook of others, may add to the template each time. Without it each reconcile would write again. The zero value is
// empty; a restart costs one write that changes nothing.
type settled struct {
	mu   sync.Mutex
	last map[types.UID]outcome
}

// outcome is what was asked for and what became of it.
type outcome struct{ want, got any }

// note stores the outcome of a write.
func (s *settled) note(want, got *unstructured.Unstructured) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		s.last = map[types.UID]outcome{}
	}
	s.last[got.GetUID()] = outcome{want: templateOf(want), got: templateOf(got)}
}

// is tells whether existing differs from next only by what the last write of the same template came to.
func (s *settled) is(existing, next *unstructured.Unstructured) bool {
	s.mu.Lock()
	o, ok := s.last[existing.GetUID()]
	s.mu.Unlock()
	if !ok || !equality.Semantic.DeepEqual(o.want, templateOf(next)) || !equality.Semantic.DeepEqual(o.got, templateOf(existing)) {
		return false
	}
	same := next.DeepCopy()
	if err := unstructured.SetNestedField(same.Object, o.got, "spec", "template"); err != nil {
		return false
	}
	return equality.Semantic.DeepEqual(existing.Object, same.Object)
}

func templateOf(u *unstructured.Unstructured) any {
	t, _, _ := unstructured.NestedFieldCopy(u.Object, "spec", "template")
	return t
}
