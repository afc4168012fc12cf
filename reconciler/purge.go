package reconciler

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// applyPurge deletes what is kept of earlier contents of the configs that ask for it. What something still runs with is left until a promotion has
// replaced it; each reconcile up to then looks again.
func (r *Reconciler) applyPurge(ctx context.Context, w *world, _ core.Plan) error {
	for _, key := range slices.Sorted(maps.Keys(w.configs)) {
		found := w.configs[key]
		if found.content == nil || found.object.GetAnnotations()[v1beta1.AnnotationPurge] != "true" {
			continue
		}
		if err := r.purge(ctx, w, key, found); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// purge deletes the copies of a config that hold anything else than it does now, and the snapshots that cannot be restored without them.
func (r *Reconciler) purge(ctx context.Context, w *world, key string, found foundConfig) error {
	free, busy, err := r.earlier(ctx, w.canary.Namespace, *found.content)
	if err != nil {
		return err
	}
	snapshots := 0
	if len(free) > 0 {
		if snapshots, err = r.removeSnapshotsOf(ctx, w, free); err != nil {
			return err
		}
	}
	for _, o := range free {
		if err := r.remove(ctx, o); err != nil {
			return err
		}
	}
	if len(free) > 0 || busy == 0 {
		r.note(ctx, w, "Normal", "Purged", fmt.Sprintf("%s: deleted %d copies of earlier contents and %d snapshots that needed them", key, len(free), snapshots))
	}
	if busy > 0 {
		if r.purging.first(w.canary.Namespace+"/"+key, busy) {
			r.note(ctx, w, "Warning", "PurgeWaiting", fmt.Sprintf(
				"%s: %d earlier contents are still in use; they are deleted once a newer revision is promoted", key, busy))
		}
		return nil
	}
	r.purging.forget(w.canary.Namespace + "/" + key)
	next := found.object.DeepCopyObject().(client.Object)
	annotations := maps.Clone(next.GetAnnotations())
	delete(annotations, v1beta1.AnnotationPurge)
	next.SetAnnotations(annotations)
	_, err = r.patch(ctx, found.object, next)
	return client.IgnoreNotFound(err)
}

// note records an event that follows from a write and not from a plan.
func (r *Reconciler) note(ctx context.Context, w *world, typ, reason, message string) {
	logr.FromContextOrDiscard(ctx).Info(message, "reason", reason, "canary", w.canary.Name+"."+w.canary.Namespace)
	r.record(w.canary, typ, reason, reason, message)
}

// earlier returns the copies of a config with another content than the present one that nothing uses, and how many something does use.
func (r *Reconciler) earlier(ctx context.Context, namespace string, now revision.Content) (free []client.Object, busy int, err error) {
	used, err := r.inUse(ctx, namespace)
	if err != nil {
		return nil, 0, err
	}
	copies, err := r.copies(ctx, namespace)
	if err != nil {
		return nil, 0, err
	}
	for _, o := range copies {
		content, err := contentOf(o)
		if err != nil {
			return nil, 0, err
		}
		switch {
		case content.Kind != now.Kind || !revision.IsCopyOf(o.GetName(), now.Name) || content.Digest == now.Digest:
		case used[copyKey(content.Kind, o.GetName())]:
			busy++
		default:
			free = append(free, o)
		}
	}
	return free, busy, nil
}

func copyKey(kind revision.Kind, name string) string { return string(kind) + "/" + name }

// inUse returns the copies, as kind/name, that a primary in the namespace reads, or that belong to a revision which is promoted, rolled out, live, or
// the one to begin with.
func (r *Reconciler) inUse(ctx context.Context, namespace string) (map[string]bool, error) {
	used, digests, err := r.readByPrimaries(ctx, namespace)
	if err != nil {
		return nil, err
	}
	list := &v1beta1.CanaryList{}
	if err := r.Client.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("list the Canaries of namespace %s: %w", namespace, err)
	}
	for i := range list.Items {
		st := latest(r.written, &list.Items[i]).Status
		digests[st.PromotedRevision], digests[st.CurrentRevision] = true, true
		if st.Rollout != nil {
			digests[st.Rollout.Revision] = true
		}
	}
	stored, err := r.decodedSnapshots(ctx, namespace)
	if err != nil {
		return nil, err
	}
	needMarked(stored, digests)
	for _, s := range stored {
		for _, c := range s.Configs {
			used[copyKey(c.Kind, c.Copy)] = used[copyKey(c.Kind, c.Copy)] || digests[s.Digest]
		}
	}
	return used, nil
}

// needMarked adds the revisions that the marks on snapshots keep: of each target the last good one, and the one to begin with unless a promotion came
// later.
func needMarked(stored []revision.Stored, digests map[string]bool) {
	byTarget := map[revision.Target][]revision.Stored{}
	for _, s := range stored {
		byTarget[s.Target] = append(byTarget[s.Target], s)
	}
	for _, of := range byTarget {
		promoted, baseline := revision.Promoted(of), revision.Baseline(of)
		if promoted != nil {
			digests[promoted.Digest] = true
		}
		if baseline != nil && (promoted == nil || baseline.Baseline.After(promoted.Promoted)) {
			digests[baseline.Digest] = true
		}
	}
}

// readByPrimaries returns the configs that the templates of the primaries in a namespace name, and the revisions that these are made of.
func (r *Reconciler) readByPrimaries(ctx context.Context, namespace string) (used, digests map[string]bool, err error) {
	used, digests = map[string]bool{}, map[string]bool{}
	for _, k := range []adapter{deployments{}, daemonSets{}} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(empty(k).GroupVersionKind())
		only := client.MatchingLabels{v1beta1.LabelTracked: v1beta1.TrackedPrimary}
		if err := r.Client.List(ctx, list, client.InNamespace(namespace), only); err != nil {
			return nil, nil, fmt.Errorf("list the primaries of namespace %s: %w", namespace, err)
		}
		for i := range list.Items {
			primary := latest(r.written, &list.Items[i])
			digests[primary.GetAnnotations()[revision.AnnotationRevision]] = true
			template, err := revision.TemplateOf(primary)
			if err != nil {
				return nil, nil, err
			}
			refs, err := revision.ConfigRefs(template)
			if err != nil {
				return nil, nil, err
			}
			for _, ref := range refs {
				used[copyKey(ref.Kind, ref.Name)] = true
			}
		}
	}
	return used, digests, nil
}

// decodedSnapshots reads the snapshots of all targets in a namespace. An unusable one is passed over: nobody can run it.
func (r *Reconciler) decodedSnapshots(ctx context.Context, namespace string) ([]revision.Stored, error) {
	objects, err := r.snapshotObjects(ctx, namespace, map[string]string{v1beta1.LabelSnapshot: "true"})
	if err != nil {
		return nil, err
	}
	var out []revision.Stored
	for _, o := range objects {
		if s, err := revision.Decode(o); err == nil {
			out = append(out, s)
		}
	}
	return out, nil
}

// removeSnapshotsOf deletes the snapshots in a namespace that refer to any of the copies, and tells how many.
func (r *Reconciler) removeSnapshotsOf(ctx context.Context, w *world, copies []client.Object) (int, error) {
	gone := map[string]bool{}
	for _, o := range copies {
		gone[copyKey(revision.Kind(kindOf(o)), o.GetName())] = true
	}
	objects, err := r.snapshotObjects(ctx, w.canary.Namespace, map[string]string{v1beta1.LabelSnapshot: "true"})
	if err != nil {
		return 0, err
	}
	n := 0
	for _, o := range objects {
		s, err := revision.Decode(o)
		if err != nil || !slices.ContainsFunc(s.Configs, func(c revision.Config) bool { return gone[copyKey(c.Kind, c.Copy)] }) {
			continue
		}
		if err := r.remove(ctx, o); err != nil {
			return n, err
		}
		n++
		w.snapshots = slices.DeleteFunc(w.snapshots, func(x revision.Stored) bool { return x.Name == s.Name })
	}
	return n, nil
}

// purging remembers for which configs it was told that earlier contents are still in use, so that this is told once. The zero value is empty.
type purging struct {
	mu   sync.Mutex
	told map[string]int
}

// first tells whether it has yet to be told that a number of contents is in use.
func (p *purging) first(config string, busy int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.told[config] == busy {
		return false
	}
	if p.told == nil {
		p.told = map[string]int{}
	}
	p.told[config] = busy
	return true
}

func (p *purging) forget(config string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.told, config)
}
