package reconciler

import (
	"context"
	"errors"
	"maps"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// This file takes over what Flagger made. It reads more than other decisions do, from the API server, but only until the first snapshot is marked.

// inheritance is the revision that a primary of Flagger's runs.
type inheritance struct {
	digest   string
	snapshot revision.Snapshot
	contents []revision.Content
}

// gatherInherited finds out what the primary runs where nothing was promoted here yet and the primary was not rendered here either.
func (r *Reconciler) gatherInherited(ctx context.Context, w *world) error {
	if w.canary.TargetsService() {
		return r.gatherInheritedService(ctx, w)
	}
	if !w.mayInherit() {
		return nil
	}
	lookup := func(ref revision.ConfigRef) (*revision.Content, error) {
		found := r.lookup(ctx, w, ref)
		return found.content, found.err
	}
	if r.IgnoreConfigs {
		lookup = nil
	}
	copies := func(ref revision.ConfigRef) (*revision.Content, error) { return r.flaggersCopy(ctx, w, ref) }
	s, contents, err := revision.Inherit(w.primary, w.target, r.SelectorLabels, copies, lookup)
	if _, missing := errors.AsType[*revision.MissingConfigError](err); missing {
		w.problem(true, "ConfigNotFound", "taking over %s %s: %v", w.primary.GetKind(), w.primary.GetName(), err)
		return nil
	}
	if err != nil {
		return err
	}
	digest, err := s.Digest()
	if err != nil {
		return err
	}
	template, err := s.TemplateDigest()
	if err != nil {
		return err
	}
	w.inherited = &inheritance{digest: digest, snapshot: s, contents: contents}
	w.observed.Inherited = &core.Revision{Digest: digest, Template: template, Replicas: s.Replicas, Configs: s.ConfigDigests()}
	return nil
}

// mayInherit tells whether the primary may be one of Flagger's.
func (w *world) mayInherit() bool {
	return core.NeedsInheritance(w.canary) && w.observed.Promoted == nil && w.primary != nil && w.target != nil && w.label.Key != ""
}

// flaggersCopy reads a copy that Flagger made for this Canary. An object of such a name that is none is nil.
func (r *Reconciler) flaggersCopy(ctx context.Context, w *world, ref revision.ConfigRef) (*revision.Content, error) {
	o, err := find(ctx, r, client.ObjectKey{Namespace: w.canary.Namespace, Name: ref.Name}, emptyConfig(ref.Kind))
	if err != nil || o == nil {
		return nil, err
	}
	if owner := metav1.GetControllerOf(o); owner == nil || !isCanary(*owner) {
		return nil, nil
	}
	content, err := contentOf(o)
	return &content, err
}

// inherit stores the inherited revision, and marks the primary as one that runs it without having been rendered from it.
func (r *Reconciler) inherit(ctx context.Context, w *world) error {
	if w.inherited == nil {
		return errors.New("there is nothing to take over")
	}
	for _, c := range w.inherited.contents {
		if err := r.inheritCopy(ctx, w.canary.Namespace, c); err != nil {
			return err
		}
	}
	if err := r.storeInherited(ctx, w); err != nil {
		return err
	}
	if w.targetService != nil {
		return r.inheritService(ctx, w)
	}
	template, err := revision.TemplateOf(w.primary)
	if err != nil {
		return err
	}
	marked := revision.ByDigest(w.snapshots, w.inherited.digest)
	if err := r.annotateSnapshot(ctx, w, marked, revision.AnnotationInherited, revision.CanonicalTemplateDigest(template)); err != nil {
		return err
	}
	// Its pods stay; that it runs the revision is what decisions go by.
	next := w.primary.DeepCopy()
	next.SetAnnotations(with(next.GetAnnotations(), map[string]string{revision.AnnotationRevision: w.inherited.digest}))
	if _, err := r.patch(ctx, w.primary, next); err != nil {
		return err
	}
	w.primary = next
	return nil
}

// storeInherited stores the snapshot of the inherited revision.
func (r *Reconciler) storeInherited(ctx context.Context, w *world) error {
	o, err := revision.Encode(w.canary.Namespace, w.inherited.snapshot, revision.Taken{At: r.Clock.Now()})
	if err != nil {
		return err
	}
	err = r.create(ctx, o)
	if apierrors.IsAlreadyExists(err) {
		return r.confirmSnapshot(ctx, w, o.Name, w.inherited.digest)
	}
	if err != nil {
		return err
	}
	return w.addSnapshot(o)
}

// inheritCopy stores what a config held when the primary was promoted, which may no longer be what it holds now.
func (r *Reconciler) inheritCopy(ctx context.Context, namespace string, c revision.Content) error {
	var o client.Object = c.SecretCopy(namespace)
	if c.Kind == revision.ConfigMap {
		o = c.ConfigMapCopy(namespace)
	}
	err := r.create(ctx, o)
	if apierrors.IsAlreadyExists(err) {
		return r.confirmCopy(ctx, namespace, revision.Config{Kind: c.Kind, Name: c.Name, Digest: c.Digest, Copy: o.GetName()})
	}
	return err
}

// stillInherited tells whether a primary is as Flagger made it of the revision of a snapshot, and no rotated config that its pods read has changed since.
// Rendering it anew would replace its pods for names of copies and an annotation.
func stillInherited(primary *unstructured.Unstructured, s *revision.Stored, rotated map[string]string) bool {
	template, err := revision.TemplateOf(primary)
	if err != nil || s.Inherited == "" || s.Inherited != revision.CanonicalTemplateDigest(template) {
		return false
	}
	read := revision.RotatedIn(primary)
	return len(read) == 0 || maps.Equal(read, rotated)
}

// keepInherited leaves of what is wanted of a primary only what concerns the object as a whole.
func keepInherited(want *unstructured.Unstructured) {
	spec := map[string]any{}
	if n, found, err := unstructured.NestedInt64(want.Object, "spec", "replicas"); found && err == nil {
		spec["replicas"] = n
	}
	want.Object["spec"] = spec
}
