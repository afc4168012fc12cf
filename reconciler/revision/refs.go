package revision

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Kind is the kind of a config.
type Kind string

// The kinds of configs.
const (
	ConfigMap Kind = "ConfigMap"
	Secret    Kind = "Secret"
)

// ConfigRef names a config that a pod template references.
type ConfigRef struct {
	Kind Kind
	Name string
	// Optional tells that every reference to it is optional, so that pods start without it.
	Optional bool
}

// Key is "configmap/<name>" or "secret/<name>", as in status.trackedConfigs.
func (r ConfigRef) Key() string { return key(r.Kind, r.Name) }

func key(k Kind, name string) string { return strings.ToLower(string(k)) + "/" + name }

// ConfigRefs returns the configs that a raw pod template references in volumes, projected volumes and the environment of containers and
// init containers, each once, sorted by kind and name. Image pull secrets are none: they hold nothing that a container reads.
func ConfigRefs(template []byte) ([]ConfigRef, error) {
	t, err := decodeTemplate(template)
	if err != nil {
		return nil, err
	}
	found := map[string]ConfigRef{}
	eachRef(t, func(s site) {
		r := ConfigRef{Kind: s.kind, Name: s.name(), Optional: s.optional()}
		if r.Name == "" {
			return
		}
		if before, ok := found[r.Key()]; ok {
			r.Optional = r.Optional && before.Optional
		}
		found[r.Key()] = r
	})
	refs := make([]ConfigRef, 0, len(found))
	for _, r := range found {
		refs = append(refs, r)
	}
	slices.SortFunc(refs, func(a, b ConfigRef) int { return cmp.Compare(a.Key(), b.Key()) })
	return refs, nil
}

func decodeTemplate(template []byte) (map[string]any, error) {
	v, err := decode(template)
	if err != nil {
		return nil, fmt.Errorf("pod template: %w", err)
	}
	t, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("pod template: want an object, got %T", v)
	}
	return t, nil
}

// site is one place in a template that names a config.
type site struct {
	kind  Kind
	at    map[string]any
	field string
}

func (s site) name() string {
	n, _ := s.at[s.field].(string)
	return n
}

func (s site) rename(name string) { s.at[s.field] = name }

func (s site) optional() bool {
	o, _ := s.at["optional"].(bool)
	return o
}

// eachRef visits every place in a pod template that names a config. It is the only list of such places: what is found is what is rewritten.
func eachRef(template map[string]any, visit func(site)) {
	spec := object(template, "spec")
	for _, field := range []string{"initContainers", "containers"} {
		for _, c := range objects(spec, field) {
			eachEnvRef(c, visit)
		}
	}
	at := func(kind Kind, m map[string]any, field string) {
		if m != nil {
			visit(site{kind: kind, at: m, field: field})
		}
	}
	for _, v := range objects(spec, "volumes") {
		at(ConfigMap, object(v, "configMap"), "name")
		at(Secret, object(v, "secret"), "secretName")
		for _, s := range objects(object(v, "projected"), "sources") {
			at(ConfigMap, object(s, "configMap"), "name")
			at(Secret, object(s, "secret"), "name")
		}
	}
}

func eachEnvRef(container map[string]any, visit func(site)) {
	at := func(kind Kind, m map[string]any) {
		if m != nil {
			visit(site{kind: kind, at: m, field: "name"})
		}
	}
	for _, e := range objects(container, "env") {
		from := object(e, "valueFrom")
		at(ConfigMap, object(from, "configMapKeyRef"))
		at(Secret, object(from, "secretKeyRef"))
	}
	for _, e := range objects(container, "envFrom") {
		at(ConfigMap, object(e, "configMapRef"))
		at(Secret, object(e, "secretRef"))
	}
}

// object returns the object in a field, nil where there is none.
func object(m map[string]any, field string) map[string]any {
	o, _ := m[field].(map[string]any)
	return o
}

// objects returns the objects in a list field.
func objects(m map[string]any, field string) []map[string]any {
	list, _ := m[field].([]any)
	var out []map[string]any
	for _, v := range list {
		if o, ok := v.(map[string]any); ok {
			out = append(out, o)
		}
	}
	return out
}
