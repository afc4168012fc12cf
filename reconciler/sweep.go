package reconciler

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

const (
	// keepSnapshots is how many revisions of a target stay stored.
	keepSnapshots = 10
	// copyGrace keeps young copies: their manifest may be about to be written.
	copyGrace = 10 * time.Minute
)

// sweep deletes the oldest snapshots of the target above keepSnapshots, and copies that no snapshot refers to any more. Whatever a way back
// or a running rollout may need is kept. It runs after something was stored, so that it costs nothing while nothing changes.
func (r *Reconciler) sweep(ctx context.Context, w *world) error {
	dropped := map[string]bool{}
	for _, s := range w.outdated() {
		o, err := find(ctx, r, client.ObjectKey{Namespace: w.canary.Namespace, Name: s.Name}, &appsv1.ControllerRevision{})
		if err != nil {
			return err
		}
		if o == nil {
			continue
		}
		if err := r.remove(ctx, o); err != nil {
			return err
		}
		dropped[s.Name] = true
	}
	if len(dropped) == 0 {
		return nil
	}
	w.snapshots = slices.DeleteFunc(w.snapshots, func(x revision.Stored) bool { return dropped[x.Name] })
	return r.sweepCopies(ctx, w.canary.Namespace, dropped)
}

// outdated returns the oldest snapshots above keepSnapshots.
func (w *world) outdated() []revision.Stored {
	needed := map[string]bool{w.canary.Status.CurrentRevision: true, w.canary.Status.PromotedRevision: true}
	if ro := w.canary.Status.Rollout; ro != nil {
		needed[ro.Revision] = true
		// That of a Service, which may be another one while a newer revision is analysed in the primary.
		needed[ro.PodHash] = true
	}
	if r := w.canary.Status.Restore; r != nil {
		needed[r.Revision] = true
	}
	if w.observed.Live != nil {
		needed[w.observed.Live.Digest] = true
	}
	if w.primary != nil {
		needed[w.primary.GetAnnotations()[revision.AnnotationRevision]] = true
	}
	var old []revision.Stored
	for _, s := range w.snapshots {
		if s.Promoted.IsZero() && s.Baseline.IsZero() && !needed[s.Digest] {
			old = append(old, s)
		}
	}
	slices.SortFunc(old, func(a, b revision.Stored) int { return taken(b).Compare(taken(a)) })
	room := max(0, keepSnapshots-(len(w.snapshots)-len(old)))
	return old[min(room, len(old)):]
}

// sweepCopies deletes the copies in a namespace that no snapshot of any target refers to. Those of dropped snapshots go at once, others after a
// while: their snapshot may be about to be stored.
func (r *Reconciler) sweepCopies(ctx context.Context, namespace string, dropped map[string]bool) error {
	used, unused, err := r.referenced(ctx, namespace, dropped)
	if err != nil {
		return err
	}
	copies, err := r.copies(ctx, namespace)
	if err != nil {
		return err
	}
	for _, o := range copies {
		name := kindOf(o) + "/" + o.GetName()
		young := r.Clock.Since(o.GetCreationTimestamp().Time) < copyGrace
		if used[name] || (young && !unused[name]) {
			continue
		}
		if err := r.remove(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// referenced returns the copies, as kind/name, that snapshots in a namespace refer to, and those that only dropped snapshots do.
func (r *Reconciler) referenced(ctx context.Context, namespace string, dropped map[string]bool) (used, unused map[string]bool, err error) {
	objects, err := r.snapshotObjects(ctx, namespace, map[string]string{v1beta1.LabelSnapshot: "true"})
	if err != nil {
		return nil, nil, err
	}
	used, unused = map[string]bool{}, map[string]bool{}
	for _, o := range objects {
		by := used
		if dropped[o.Name] {
			by = unused
		}
		s, err := revision.Decode(o)
		if err != nil {
			// Nobody can tell what it refers to, and nobody can run it either.
			logr.FromContextOrDiscard(ctx).Error(err, "a stored snapshot is unusable, its config copies are not kept", "name", o.Name)
			continue
		}
		for _, c := range s.Configs {
			by[string(c.Kind)+"/"+c.Copy] = true
		}
	}
	return used, unused, nil
}

// copies lists the copies of configs in a namespace.
func (r *Reconciler) copies(ctx context.Context, namespace string) ([]client.Object, error) {
	return r.configsLabelled(ctx, namespace, v1beta1.TrackedCopy)
}

// configsLabelled lists the ConfigMaps and Secrets in a namespace that are the given thing to Sluice. Of their content the cache knows the digest.
func (r *Reconciler) configsLabelled(ctx context.Context, namespace, tracked string) ([]client.Object, error) {
	only := []client.ListOption{client.InNamespace(namespace), client.MatchingLabels{v1beta1.LabelTracked: tracked}}
	maps, secrets := &corev1.ConfigMapList{}, &corev1.SecretList{}
	for _, list := range []client.ObjectList{maps, secrets} {
		if err := r.Client.List(ctx, list, only...); err != nil {
			return nil, fmt.Errorf("list configs in namespace %s: %w", namespace, err)
		}
	}
	var out []client.Object
	for i := range maps.Items {
		out = append(out, &maps.Items[i])
	}
	for i := range secrets.Items {
		out = append(out, &secrets.Items[i])
	}
	return out, nil
}
