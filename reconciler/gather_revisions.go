package reconciler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// targetOf identifies the target as snapshots do.
func targetOf(c *v1beta1.Canary) revision.Target {
	return revision.Target{Kind: c.Spec.TargetRef.Kind, Name: c.Spec.TargetRef.Name}
}

// gatherSnapshots reads what is stored of the target's revisions.
func (r *Reconciler) gatherSnapshots(ctx context.Context, w *world) error {
	stored, err := r.snapshotsOf(ctx, w.canary.Namespace, targetOf(w.canary))
	if err != nil {
		return err
	}
	w.snapshots = stored
	promoted, baseline := revision.Promoted(stored), revision.Baseline(stored)
	w.observed.Promoted = revisionOf(promoted)
	if baseline != nil && (promoted == nil || baseline.Baseline.After(promoted.Promoted)) {
		w.observed.Baseline = revisionOf(baseline)
	}
	w.observed.Stored = map[string]bool{}
	for _, s := range stored {
		if w.observed.Stored[s.Digest], err = r.copiesExist(ctx, w.canary.Namespace, s.Configs); err != nil {
			return err
		}
	}
	if p := revision.Promoted(stored); p != nil && w.target == nil && !w.canary.TargetsService() {
		// The target is gone; what serves must go on serving, so the label comes from the last good revision.
		w.label, err = revision.FindSelectorLabel(p.Workload, r.SelectorLabels)
	}
	return err
}

// snapshotsOf reads the snapshots of a target. One that cannot be decoded, such as one edited by hand, is as good as absent.
func (r *Reconciler) snapshotsOf(ctx context.Context, namespace string, t revision.Target) ([]revision.Stored, error) {
	objects, err := r.snapshotObjects(ctx, namespace, revision.Selector(t))
	if err != nil {
		return nil, err
	}
	var stored []revision.Stored
	for _, o := range objects {
		s, err := revision.Decode(o)
		if err != nil {
			logr.FromContextOrDiscard(ctx).Error(err, "a stored snapshot is unusable and is passed over", "name", o.Name)
			continue
		}
		if s.Target == t {
			stored = append(stored, s)
		}
	}
	return stored, nil
}

// snapshotObjects reads the objects of snapshots with the given labels.
func (r *Reconciler) snapshotObjects(ctx context.Context, namespace string, selector map[string]string) ([]*appsv1.ControllerRevision, error) {
	list := &appsv1.ControllerRevisionList{}
	if err := r.Client.List(ctx, list, client.InNamespace(namespace), client.MatchingLabels(selector)); err != nil {
		return nil, fmt.Errorf("list snapshots in namespace %s: %w", namespace, err)
	}
	objects := make([]*appsv1.ControllerRevision, 0, len(list.Items))
	for i := range list.Items {
		objects = append(objects, &list.Items[i])
	}
	return latestList(r.written, objects, func(o *appsv1.ControllerRevision) bool {
		return o.Namespace == namespace && hasLabels(o.Labels, selector)
	}), nil
}

func hasLabels(labels, want map[string]string) bool {
	for k, v := range want {
		if labels[k] != v {
			return false
		}
	}
	return true
}

func revisionOf(s *revision.Stored) *core.Revision {
	if s == nil {
		return nil
	}
	return &core.Revision{Digest: s.Digest, Template: s.TemplateDigest, Replicas: s.Replicas, Configs: s.ConfigDigests()}
}

// gatherLive finds out which revision the target is now.
func (r *Reconciler) gatherLive(ctx context.Context, w *world) error {
	if err := r.noteRefs(w); err != nil || w.target == nil {
		return err
	}
	template, err := revision.TemplateOf(w.target)
	if err != nil {
		return err
	}
	refs, err := revision.ConfigRefs(template)
	if err != nil {
		return err
	}
	lookup := func(ref revision.ConfigRef) (*revision.Content, error) {
		found := r.lookup(ctx, w, ref)
		return found.content, found.err
	}
	if r.IgnoreConfigs || revision.TrackingDisabled(w.target.GetAnnotations()) {
		lookup, refs = nil, nil
	}
	r.awaited(ctx, w, refs)
	live, _, err := revision.Take(w.target, lookup)
	var missing *revision.MissingConfigError
	switch {
	case errors.As(err, &missing):
		w.problem(false, "ConfigNotFound", "%v", err)
		w.recheck = missingRetry
		return nil
	case err != nil:
		// What cannot be read is no change; it is read again soon.
		w.problem(false, "ConfigUnreadable", "%v", err)
		w.recheck = missingRetry
		return nil
	}
	settle(&live, w)
	digest, err := live.Digest()
	if err != nil {
		return err
	}
	templateDigest, err := live.TemplateDigest()
	if err != nil {
		return err
	}
	w.live = &live
	w.observed.Live = &core.Revision{
		Digest: digest, Template: templateDigest, Replicas: live.Replicas, Configs: live.ConfigDigests(), Admitted: w.admitted(),
	}
	w.observed.Target.Template = templateDigest
	return nil
}

// settle keeps an upgrade of Kubernetes from looking like a change. A newer API server may show a stored object with defaults that did not exist
// when its snapshot was taken; the same object at the same generation has the same template, whatever it looks like.
func settle(live *revision.Snapshot, w *world) {
	st := w.canary.Status
	// Objects such as Services are of no generation, which says nothing.
	if live.Generation == 0 || st.TargetGeneration != live.Generation {
		return
	}
	if s := revision.ByDigest(w.snapshots, st.CurrentRevision); s != nil && s.UID == live.UID {
		live.Template = s.Template
	}
}

// copiesExist tells whether the copies of all configs are there and hold what they should. It asks the cache only: a copy that is too new
// for it, and not made by this process, is at worst created again, which finds it.
func (r *Reconciler) copiesExist(ctx context.Context, namespace string, configs []revision.Config) (bool, error) {
	for _, c := range configs {
		o := emptyConfig(c.Kind)
		err := r.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: c.Copy}, o)
		if apierrors.IsNotFound(err) {
			o.SetNamespace(namespace)
			o.SetName(c.Copy)
			if o = r.written.created(o); o == nil {
				return false, nil
			}
			err = nil
		}
		if err != nil {
			return false, fmt.Errorf("read the copy %s of %s: %w", c.Copy, c.Key(), err)
		}
		if content, err := contentOf(latest(r.written, o)); err != nil || content.Digest != c.Digest {
			return false, err
		}
	}
	return true, nil
}

func emptyConfig(k revision.Kind) client.Object {
	if k == revision.ConfigMap {
		return &corev1.ConfigMap{}
	}
	return &corev1.Secret{}
}

// taken orders snapshots by age.
func taken(s revision.Stored) time.Time {
	latest := s.Taken
	for _, t := range []time.Time{s.Promoted, s.Baseline} {
		if t.After(latest) {
			latest = t
		}
	}
	return latest
}
