package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// snapshots stores revisions of targets. Reads of snapshots come from the cache, reads of configs from the API server: only their metadata is
// ever cached.
type snapshots struct {
	cache client.Reader
	live  client.Reader
	write client.Writer
	now   func() time.Time
	// ignoreConfigs leaves configs out of revisions.
	ignoreConfigs bool
}

// keep stores the revision that a workload is at, unless that is known to be stored. In the steady state it asks the API server nothing.
func (s snapshots) keep(ctx context.Context, c *v1beta1.Canary, workload *unstructured.Unstructured) error {
	template, err := revision.TemplateOf(workload)
	if err != nil {
		return err
	}
	if known, err := s.known(ctx, c, workload, template); err != nil || known {
		return err
	}
	taken := revision.Taken{By: madeBy(workload.GetAnnotations(), revision.CanonicalTemplateDigest(template)), At: s.now()}
	_, _, err = s.store(ctx, workload, s.lookup(ctx, workload.GetNamespace()), taken)
	return ignoreTerminating(err)
}

// keepBefore stores the revision that a Canary's target is at with the old content of a config, which is about to change, unless that is known
// to be stored. Content is nil for a config that does not exist yet.
func (s snapshots) keepBefore(ctx context.Context, c *v1beta1.Canary, ref revision.ConfigRef, content *revision.Content, by string) error {
	if s.knownWith(ctx, c, ref, content) {
		return nil
	}
	target, err := liveTarget(ctx, s.live, c)
	if target == nil || err != nil {
		return err
	}
	others := s.lookup(ctx, c.Namespace)
	_, _, err = s.store(ctx, target, func(r revision.ConfigRef) (*revision.Content, error) {
		if r.Key() == ref.Key() {
			return content, nil
		}
		return others(r)
	}, revision.Taken{By: by, At: s.now()})
	if _, missing := errors.AsType[*revision.MissingConfigError](err); missing {
		// Nothing can have run without it, so there is nothing to restore.
		return nil
	}
	return ignoreTerminating(err)
}

// ignoreTerminating: in a namespace that is going away there is nobody left to restore anything for.
func ignoreTerminating(err error) error {
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return nil
	}
	return err
}

// liveTarget reads a Canary's target from the API server; nil where there is none.
func liveTarget(ctx context.Context, live client.Reader, c *v1beta1.Canary) (*unstructured.Unstructured, error) {
	target := targetOf(c)
	err := live.Get(ctx, client.ObjectKeyFromObject(target), target)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", target.GetKind(), target.GetName(), err)
	}
	return target, nil
}

// known tells whether the revision is stored. The content of configs is not read for that: the reconciler watches them and says in the
// Canary's status which revision they make up with the template.
func (s snapshots) known(ctx context.Context, c *v1beta1.Canary, workload *unstructured.Unstructured, template []byte) (bool, error) {
	digest := c.Status.CurrentRevision
	if refs, err := revision.ConfigRefs(template); err != nil {
		return false, err
	} else if len(refs) == 0 {
		digest = revision.CanonicalBareDigest(template)
	}
	if digest == "" {
		return false, nil
	}
	key := types.NamespacedName{Namespace: workload.GetNamespace(), Name: revision.SnapshotName(workload.GetName(), digest)}
	return s.holds(ctx, key, revision.Target{Kind: workload.GetKind(), Name: workload.GetName()}, template), nil
}

// knownWith tells whether the revision that the status names is stored and holds this content of a config.
func (s snapshots) knownWith(ctx context.Context, c *v1beta1.Canary, ref revision.ConfigRef, content *revision.Content) bool {
	if c.Status.CurrentRevision == "" {
		return false
	}
	target := revision.Target{Kind: c.Spec.TargetRef.Kind, Name: c.Spec.TargetRef.Name}
	key := types.NamespacedName{Namespace: c.Namespace, Name: revision.SnapshotName(target.Name, c.Status.CurrentRevision)}
	var object appsv1.ControllerRevision
	if s.cache.Get(ctx, key, &object) != nil {
		return false
	}
	stored, err := revision.Decode(&object)
	if err != nil || stored.Target != target || stored.Digest != c.Status.CurrentRevision {
		return false
	}
	want := ""
	if content != nil && !content.Shared {
		want = content.Digest
	}
	return stored.ConfigDigests()[ref.Key()] == want
}

// holds tells whether the cache has a snapshot of a target's template. One that cannot be read counts as missing: storing it again settles which.
func (s snapshots) holds(ctx context.Context, key types.NamespacedName, target revision.Target, template []byte) bool {
	var object appsv1.ControllerRevision
	if s.cache.Get(ctx, key, &object) != nil {
		return false
	}
	stored, err := revision.Decode(&object)
	if err != nil || stored.Target != target {
		return false
	}
	have, err := revision.Canonical(stored.Template)
	return err == nil && bytes.Equal(have, template)
}

// store writes the copies of the configs and, last of all, the snapshot that refers to them. What exists already is left as it is; created
// tells that the snapshot did not.
func (s snapshots) store(
	ctx context.Context, workload *unstructured.Unstructured, configs revision.Lookup, taken revision.Taken,
) (object *appsv1.ControllerRevision, created bool, err error) {
	namespace := workload.GetNamespace()
	if s.ignoreConfigs {
		configs = nil
	}
	snapshot, contents, err := revision.Take(workload, configs)
	if err != nil {
		return nil, false, err
	}
	object, err = revision.Encode(namespace, snapshot, taken)
	if err != nil {
		return nil, false, err
	}
	for _, content := range contents {
		if err := s.storeCopy(ctx, namespace, content); err != nil {
			return nil, false, err
		}
	}
	err = s.write.Create(ctx, object)
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, false, fmt.Errorf("store snapshot %s: %w", object.Name, err)
	}
	return object, err == nil, nil
}

// lookup reads configs from the API server.
func (s snapshots) lookup(ctx context.Context, namespace string) revision.Lookup {
	return func(ref revision.ConfigRef) (*revision.Content, error) {
		content, err := s.content(ctx, ref.Kind, types.NamespacedName{Namespace: namespace, Name: ref.Name})
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return content, err
	}
}

func (s snapshots) content(ctx context.Context, kind revision.Kind, key types.NamespacedName) (*revision.Content, error) {
	var content revision.Content
	var err error
	switch kind {
	case revision.ConfigMap:
		var config corev1.ConfigMap
		if err = s.live.Get(ctx, key, &config); err == nil {
			content, err = revision.ConfigMapContent(&config)
		}
	case revision.Secret:
		var secret corev1.Secret
		if err = s.live.Get(ctx, key, &secret); err == nil {
			content, err = revision.SecretContent(&secret)
		}
	default:
		err = fmt.Errorf("config kind %q is not known", kind)
	}
	if err != nil {
		return nil, err
	}
	return &content, nil
}

// errForeignCopy tells that the name of a copy is taken by an object with other content.
var errForeignCopy = errors.New("an object of that name with other content exists; rename it")

// storeCopy writes the immutable copy of a config. The name holds only a part of the digest, so an existing object is compared.
func (s snapshots) storeCopy(ctx context.Context, namespace string, content revision.Content) error {
	var object client.Object = content.ConfigMapCopy(namespace)
	if content.Kind == revision.Secret {
		object = content.SecretCopy(namespace)
	}
	err := s.write.Create(ctx, object)
	if apierrors.IsAlreadyExists(err) {
		var have *revision.Content
		have, err = s.content(ctx, content.Kind, client.ObjectKeyFromObject(object))
		if err == nil && have.Digest != content.Digest {
			err = errForeignCopy
		}
	}
	if err != nil {
		return fmt.Errorf("store %s copy %s: %w", content.Kind, object.GetName(), err)
	}
	return nil
}
