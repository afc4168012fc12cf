package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// configs answers requests on ConfigMaps and Secrets that targets reference, and on new ones that they wait for.
type configs struct {
	canaries  canaries
	snapshots snapshots
	fences    fences
	previews  previews
	// needsFence tells whether users must be off a canary before a config changes, while it is as it is.
	needsFence func(*v1beta1.Canary) bool
	// ignore leaves all of them alone.
	ignore bool
}

func (h configs) handle(ctx context.Context, req admission.Request) (answer, error) {
	if h.ignore {
		return answer{}, nil
	}
	facts, ref, err := h.gather(ctx, req)
	if facts.Old == nil && facts.New == nil {
		return answer{}, err
	}
	out := DecideConfig(facts)
	a := answer{patches: out.Patches, warnings: out.Warnings}
	if dryRun(req) {
		if lines, foretold := h.previews.ofConfig(ctx, facts); foretold {
			a.warnings = lines
		}
		return a, err
	}
	if len(out.Patches)+len(out.Fence)+len(out.Snapshot) > 0 {
		logf.FromContext(ctx).Info("a request on a config is acted on", "rule", out.Rule, "operation", req.Operation, "config", ref.Key(),
			"patches", len(out.Patches), "fences", len(out.Fence), "snapshots", len(out.Snapshot))
	}
	// Users come first.
	a.warnings = h.fences.fence(ctx, ref.Key(), out.Fence, a.warnings)
	return a, errors.Join(err, h.keep(ctx, ref, facts.Old, out.Snapshot))
}

// keep stores the revisions with the old content of a config.
func (h configs) keep(ctx context.Context, ref revision.ConfigRef, old *Config, of []*v1beta1.Canary) error {
	var content *revision.Content
	by := ""
	if old != nil {
		content, by = &old.Content, madeBy(old.Metadata.GetAnnotations(), old.Content.Digest)
	}
	var problems error
	for _, c := range of {
		if err := h.snapshots.keepBefore(ctx, c, ref, content, by); err != nil {
			problems = errors.Join(problems, fmt.Errorf("the revision of canary %s before this change is not stored: %w", c.Name, err))
		}
	}
	return problems
}

// gather decodes the request and finds the Canaries that it concerns. Facts without objects need no answer.
func (h configs) gather(ctx context.Context, req admission.Request) (ConfigFacts, revision.ConfigRef, error) {
	before, err := readConfig(req.Kind.Kind, req.OldObject)
	if err != nil {
		return ConfigFacts{}, revision.ConfigRef{}, fmt.Errorf("old object: %w", err)
	}
	after, err := readConfig(req.Kind.Kind, req.Object)
	if err != nil {
		return ConfigFacts{}, revision.ConfigRef{}, fmt.Errorf("object: %w", err)
	}
	f := ConfigFacts{Operation: req.Operation, Old: before, New: after, User: req.UserInfo.Username}
	one := after
	if one == nil {
		one = before
	}
	if one == nil || before.beingDeleted() || after.beingDeleted() {
		return f, revision.ConfigRef{}, nil
	}
	ref := one.Content.Ref()
	found, err := h.canaries.ofConfig(ctx, req.Namespace, ref, req.Operation != admissionv1.Create)
	f.Unsure = err != nil
	for _, c := range found {
		f.Users = append(f.Users, ConfigUser{Canary: c, Fence: h.needsFence(c)})
	}
	return f, ref, err
}

// readConfig decodes a ConfigMap or Secret. It returns nil for an absent object.
func readConfig(kind string, raw runtime.RawExtension) (*Config, error) {
	if len(raw.Raw) == 0 {
		return nil, nil
	}
	switch revision.Kind(kind) {
	case revision.ConfigMap:
		var o corev1.ConfigMap
		if err := json.Unmarshal(raw.Raw, &o); err != nil {
			return nil, err
		}
		content, err := revision.ConfigMapContent(&o)
		return newConfig(&o.ObjectMeta, content, o.Immutable), err
	case revision.Secret:
		var o corev1.Secret
		if json.Unmarshal(raw.Raw, &o) != nil {
			// The decoder's own words may quote what the Secret holds.
			return nil, errors.New("the Secret cannot be read")
		}
		content, err := revision.SecretContent(&o)
		return newConfig(&o.ObjectMeta, content, o.Immutable), err
	default:
		return nil, fmt.Errorf("kind %q is neither ConfigMap nor Secret", kind)
	}
}

func newConfig(meta *metav1.ObjectMeta, content revision.Content, immutable *bool) *Config {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetAPIVersion("v1")
	u.SetKind(string(content.Kind))
	u.SetName(meta.Name)
	u.SetDeletionTimestamp(meta.DeletionTimestamp)
	// An empty map that is there is not the same as none to a patch.
	for field, entries := range map[string]map[string]string{"labels": meta.Labels, "annotations": meta.Annotations} {
		if entries == nil {
			continue
		}
		values := make(map[string]any, len(entries))
		for k, v := range entries {
			values[k] = v
		}
		u.Object["metadata"].(map[string]any)[field] = values
	}
	return &Config{Metadata: u, Content: content, Immutable: immutable != nil && *immutable}
}
