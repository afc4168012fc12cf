package revision

import (
	"encoding/json"
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Target names the workload that a snapshot was taken of, in the snapshot's namespace.
type Target struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// Config is one config of a revision.
type Config struct {
	Kind   Kind   `json:"kind"`
	Name   string `json:"name"`
	Digest string `json:"digest"`
	// Copy names the immutable copy of the content.
	Copy string `json:"copy"`
}

// Key is "configmap/<name>" or "secret/<name>".
func (c Config) Key() string { return key(c.Kind, c.Name) }

// Snapshot is one revision of a workload with all that is needed to run it again.
type Snapshot struct {
	Target Target `json:"target"`
	// Template is the pod template as the API server stored it; of a Service, where it leads to.
	Template json.RawMessage `json:"template"`
	// Configs are the referenced configs that are part of the revision, sorted by key. An optional one that did not exist is left out.
	Configs []Config `json:"configs,omitempty"`
	// Absent are the keys of optional configs that did not exist, sorted. No part of the identity: it follows from the template and Configs.
	Absent []string `json:"absent,omitempty"`
	// Replicas is what the workload asked for, 0 for a DaemonSet.
	Replicas int32 `json:"replicas"`
	// Workload is the rest of the workload's spec: selector, strategy, deadlines; of a Service its type. It is no part of the revision's identity.
	Workload json.RawMessage `json:"workload"`
	// Labels are those of the workload itself; no part of the identity either.
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations are those of the workload itself that are not the tools' that manage it; like its labels.
	Annotations map[string]string `json:"annotations,omitempty"`
	// UID and Generation say which stored object was read.
	UID        string `json:"uid,omitempty"`
	Generation int64  `json:"generation,omitempty"`
}

// MissingConfigError tells that a template cannot start pods because a config that it needs does not exist.
type MissingConfigError struct{ Ref ConfigRef }

func (e *MissingConfigError) Error() string {
	return fmt.Sprintf("the pod template references %s %s, which does not exist; create it or mark the reference optional", e.Ref.Kind, e.Ref.Name)
}

// Lookup returns the content of a config, or nil when it does not exist. An error means that it could not be read, which is never taken
// for a change.
type Lookup func(ConfigRef) (*Content, error)

// Take returns the snapshot of a Deployment, DaemonSet or Service, and the contents that must be stored as copies before it. A nil lookup leaves all
// configs out of the revision. It fails with a *MissingConfigError where a needed config does not exist, and with the lookup's error where
// one could not be read.
func Take(workload *unstructured.Unstructured, lookup Lookup) (Snapshot, []Content, error) {
	s, err := fromWorkload(workload)
	if err != nil {
		return Snapshot{}, nil, err
	}
	if lookup == nil || s.Target.Kind == Service || TrackingDisabled(workload.GetAnnotations()) {
		return s, nil, nil
	}
	contents, err := s.takeConfigs(lookup)
	if err != nil {
		return Snapshot{}, nil, err
	}
	return s, contents, nil
}

// takeConfigs adds the configs that the template references, and returns what they hold.
func (s *Snapshot) takeConfigs(lookup Lookup) ([]Content, error) {
	refs, err := ConfigRefs(s.Template)
	if err != nil {
		return nil, err
	}
	var contents []Content
	for _, r := range refs {
		c, err := lookup(r)
		switch {
		case err != nil:
			return nil, fmt.Errorf("read %s %s: %w", r.Kind, r.Name, err)
		case c == nil && !r.Optional:
			return nil, &MissingConfigError{Ref: r}
		case c == nil:
			s.Absent = append(s.Absent, r.Key())
			continue
		case c.Shared:
			continue
		}
		contents = append(contents, *c)
		s.Configs = append(s.Configs, Config{Kind: c.Kind, Name: c.Name, Digest: c.Digest, Copy: CopyName(c.Name, c.Digest)})
	}
	return contents, nil
}

func fromWorkload(w *unstructured.Unstructured) (Snapshot, error) {
	s := Snapshot{
		Target:      Target{Kind: w.GetKind(), Name: w.GetName()},
		Labels:      maps.Clone(w.GetLabels()),
		Annotations: ownAnnotations(w.GetAnnotations()),
		UID:         string(w.GetUID()),
		Generation:  w.GetGeneration(),
	}
	template, err := TemplateOf(w)
	if err != nil {
		return Snapshot{}, err
	}
	s.Template = template
	if HoldOf(w) != nil {
		// What a hold sets is none of the workload's own.
		w = w.DeepCopy()
		if err := Release(w); err != nil {
			return Snapshot{}, err
		}
	}
	spec := object(w.Object, "spec")
	rest := maps.Clone(spec)
	if s.Target.Kind == Service {
		rest = map[string]any{"type": spec["type"]}
	}
	for _, field := range []string{"template", "replicas", "paused"} {
		delete(rest, field)
	}
	if s.Workload, err = canonicalValue(rest); err != nil {
		return Snapshot{}, fmt.Errorf("%s %s: %w", s.Target.Kind, s.Target.Name, err)
	}
	if n, ok := spec["replicas"].(int64); ok {
		s.Replicas = int32(n)
	}
	return s, nil
}

// TemplateOf returns the pod template of a workload as canonical JSON, without what merely scales a DaemonSet; of a Service, where it leads to.
func TemplateOf(w *unstructured.Unstructured) (json.RawMessage, error) {
	if w.GetKind() == Service {
		raw, err := canonicalValue(serviceTemplate(object(w.Object, "spec")))
		if err != nil {
			return nil, fmt.Errorf("read Service %s: spec: %w", w.GetName(), err)
		}
		return raw, nil
	}
	t := object(object(w.Object, "spec"), "template")
	if t == nil {
		return nil, fmt.Errorf("%s %s has no spec.template", w.GetKind(), w.GetName())
	}
	if w.GetKind() == DaemonSet {
		t = withoutScale(t)
	}
	raw, err := canonicalValue(t)
	if err != nil {
		return nil, fmt.Errorf("%s %s: spec.template: %w", w.GetKind(), w.GetName(), err)
	}
	return raw, nil
}

// Digest identifies the revision: the template and the content of its configs. Replicas, strategy and labels of the workload do not count.
func (s Snapshot) Digest() (string, error) {
	template, err := decodeTemplate(s.Template)
	if err != nil {
		return "", err
	}
	configs := map[string]any{}
	for k, v := range s.ConfigDigests() {
		configs[k] = v
	}
	return digest(map[string]any{"template": template, "configs": configs})
}

// TemplateDigest identifies the template alone.
func (s Snapshot) TemplateDigest() (string, error) {
	template, err := decodeTemplate(s.Template)
	if err != nil {
		return "", err
	}
	return digest(template)
}

// ConfigDigests returns the digests of the configs by key.
func (s Snapshot) ConfigDigests() map[string]string {
	out := make(map[string]string, len(s.Configs))
	for _, c := range s.Configs {
		out[c.Key()] = c.Digest
	}
	return out
}
