package reconciler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// applySnapshots stores the live revision and moves the marks. Where only copies of a stored revision are missing, and the live configs still
// hold their content, they are made again without being asked for.
func (r *Reconciler) applySnapshots(ctx context.Context, w *world, plan core.Plan) error {
	stored, err := r.storeLive(ctx, w, plan.Store)
	if err != nil {
		return err
	}
	if plan.Inherit {
		if err := r.inherit(ctx, w); err != nil {
			return err
		}
		stored = true
	}
	for _, m := range []struct{ annotation, digest string }{
		{v1beta1.AnnotationBaseline, plan.MarkBaseline},
		{v1beta1.AnnotationPromoted, plan.MarkPromoted},
	} {
		marked, err := r.mark(ctx, w, m.annotation, m.digest)
		if err != nil {
			return err
		}
		stored = stored || marked
	}
	if !stored {
		return nil
	}
	return r.sweep(ctx, w)
}

// storeLive stores the live revision where that is asked for, or what is missing of it where it was stored before.
func (r *Reconciler) storeLive(ctx context.Context, w *world, asked bool) (bool, error) {
	if w.live == nil || w.observed.Stored[w.observed.Live.Digest] {
		return false, nil
	}
	if known := revision.ByDigest(w.snapshots, w.observed.Live.Digest) != nil; !asked && !known {
		return false, nil
	}
	return true, r.store(ctx, w)
}

// store writes the copies of all configs and then, because its existence says that they are there, the manifest.
func (r *Reconciler) store(ctx context.Context, w *world) error {
	for _, c := range w.live.Configs {
		if err := r.storeCopy(ctx, w.canary.Namespace, c); err != nil {
			return err
		}
	}
	if revision.ByDigest(w.snapshots, w.observed.Live.Digest) != nil {
		return nil
	}
	taken := revision.Taken{At: r.Clock.Now()}
	if promoted := w.observed.Promoted; promoted != nil {
		taken.By = core.Authors(core.Changes(w.observed.Live, promoted))
	}
	o, err := revision.Encode(w.canary.Namespace, *w.live, taken)
	if err != nil {
		return err
	}
	err = r.create(ctx, o)
	if apierrors.IsAlreadyExists(err) {
		// Admission stored it a moment ago, or what has the name holds something else.
		return r.confirmSnapshot(ctx, w, o.Name, w.observed.Live.Digest)
	}
	if err != nil {
		return err
	}
	return w.addSnapshot(o)
}

// confirmSnapshot reads a snapshot of a revision that exists although the cache does not show it.
func (r *Reconciler) confirmSnapshot(ctx context.Context, w *world, name, digest string) error {
	o := &appsv1.ControllerRevision{}
	if err := r.Live.Get(ctx, client.ObjectKey{Namespace: w.canary.Namespace, Name: name}, o); err != nil {
		return fmt.Errorf("read snapshot %s: %w", name, err)
	}
	s, err := revision.Decode(o)
	if err == nil && s.Digest != digest {
		err = fmt.Errorf("ControllerRevision %s exists but holds revision %s, not %s; delete it", name, s.Digest, digest)
	}
	if err != nil {
		return err
	}
	r.written.wrote(o)
	return w.addSnapshot(o)
}

func (w *world) addSnapshot(o *appsv1.ControllerRevision) error {
	s, err := revision.Decode(o)
	if err != nil {
		return err
	}
	w.snapshots = append(w.snapshots, s)
	return nil
}

// storeCopy makes the copy of a config unless it is there. The content comes from the API server; if it is not what was decided on any more,
// that is a conflict, and the newer content is decided on next.
func (r *Reconciler) storeCopy(ctx context.Context, namespace string, c revision.Config) error {
	original := emptyConfig(c.Kind)
	if err := r.Live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: c.Name}, original); err != nil {
		return fmt.Errorf("read %s: %w", c.Key(), err)
	}
	content, err := contentOf(original)
	if err != nil {
		return err
	}
	if content.Digest != c.Digest {
		resource := schema.GroupResource{Resource: strings.ToLower(string(c.Kind)) + "s"}
		return apierrors.NewConflict(resource, c.Name, errors.New("its content has changed meanwhile"))
	}
	var o client.Object = content.SecretCopy(namespace)
	if c.Kind == revision.ConfigMap {
		o = content.ConfigMapCopy(namespace)
	}
	err = r.create(ctx, o)
	if apierrors.IsAlreadyExists(err) {
		return r.confirmCopy(ctx, namespace, c)
	}
	return err
}

// confirmCopy looks at a copy that exists although the cache does not show it: it is new, or has lost its labels.
func (r *Reconciler) confirmCopy(ctx context.Context, namespace string, c revision.Config) error {
	o := emptyConfig(c.Kind)
	if err := r.Live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: c.Copy}, o); err != nil {
		return fmt.Errorf("read the copy %s: %w", c.Copy, err)
	}
	content, err := contentOf(o)
	if err != nil {
		return err
	}
	if content.Digest != c.Digest {
		return fmt.Errorf("%s %s has the name of a copy of %s but holds something else; delete it", c.Kind, c.Copy, c.Name)
	}
	next := o.DeepCopyObject().(client.Object)
	label(next, v1beta1.TrackedCopy)
	_, err = r.patch(ctx, o, next)
	r.written.wrote(next)
	return err
}

// mark moves a mark to the snapshot with the given digest, unless it is there or digest is empty. It is set on the new one first: in between
// two are marked, and the newest counts.
func (r *Reconciler) mark(ctx context.Context, w *world, annotation, digest string) (bool, error) {
	if digest == "" {
		return false, nil
	}
	holder := newestMark(w.snapshots, annotation)
	next := revision.ByDigest(w.snapshots, digest)
	if next == nil {
		return false, fmt.Errorf("the snapshot of revision %s is not stored", digest)
	}
	changed := false
	if holder == nil || holder.Digest != digest {
		// Later than any mark there is, even if another replica's clock runs ahead.
		at := r.Clock.Now()
		if holder != nil && !at.After(markOf(*holder, annotation)) {
			at = markOf(*holder, annotation).Add(time.Microsecond)
		}
		if err := r.annotateSnapshot(ctx, w, next, annotation, revision.Stamp(at)); err != nil {
			return false, err
		}
		changed = true
	}
	cleared, err := r.clearMarks(ctx, w, annotation, next.Name)
	return changed || cleared, err
}

// clearMarks takes a mark off all snapshots but the one named.
func (r *Reconciler) clearMarks(ctx context.Context, w *world, annotation, except string) (bool, error) {
	changed := false
	for i := range w.snapshots {
		s := &w.snapshots[i]
		if s.Name == except || markOf(*s, annotation).IsZero() {
			continue
		}
		if err := r.annotateSnapshot(ctx, w, s, annotation, ""); err != nil {
			return changed, err
		}
		changed = true
	}
	return changed, nil
}

func markOf(s revision.Stored, annotation string) time.Time {
	if annotation == v1beta1.AnnotationPromoted {
		return s.Promoted
	}
	return s.Baseline
}

func newestMark(snapshots []revision.Stored, annotation string) *revision.Stored {
	if annotation == v1beta1.AnnotationPromoted {
		return revision.Promoted(snapshots)
	}
	return revision.Baseline(snapshots)
}

// annotateSnapshot sets or, with an empty value, removes an annotation of a stored snapshot.
func (r *Reconciler) annotateSnapshot(ctx context.Context, w *world, s *revision.Stored, annotation, value string) error {
	o, err := find(ctx, r, client.ObjectKey{Namespace: w.canary.Namespace, Name: s.Name}, &appsv1.ControllerRevision{})
	if err != nil {
		return err
	}
	if o == nil {
		return fmt.Errorf("the snapshot %s was deleted", s.Name)
	}
	next := o.DeepCopy()
	next.Annotations = maps.Clone(next.Annotations)
	if next.Annotations == nil {
		next.Annotations = map[string]string{}
	}
	if value == "" {
		delete(next.Annotations, annotation)
	} else {
		next.Annotations[annotation] = value
	}
	if _, err := r.patch(ctx, o, next); err != nil {
		return err
	}
	fresh, err := revision.Decode(next)
	if err != nil {
		return err
	}
	*s = fresh
	return nil
}
