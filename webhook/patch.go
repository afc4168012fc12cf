package webhook

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Operation is one step of a JSON patch (RFC 6902). A "remove" has no value.
type Operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// patch collects the operations that bring an object to what is wanted. What is already so costs no operation, which keeps handlers
// idempotent and leaves everything else in the object untouched.
type patch struct {
	object     *unstructured.Unstructured
	operations []Operation
	// made holds the maps that an earlier operation creates.
	made map[string]bool
}

func newPatch(object *unstructured.Unstructured) *patch {
	return &patch{object: object, made: map[string]bool{}}
}

// label sets a label.
func (p *patch) label(key, value string) { p.entry("labels", key, value) }

// annotation sets an annotation.
func (p *patch) annotation(key, value string) { p.entry("annotations", key, value) }

// dropLabel removes a label.
func (p *patch) dropLabel(key string) { p.drop("labels", key) }

// dropAnnotation removes an annotation.
func (p *patch) dropAnnotation(key string) { p.drop("annotations", key) }

// entry sets a key of one of metadata's maps, which is created when it is absent or null.
func (p *patch) entry(field, key, value string) {
	entries, exists := p.entries(field)
	if have, ok := entries[key].(string); ok && have == value {
		return
	}
	if !exists && !p.made[field] {
		p.made[field] = true
		p.add("/metadata/"+field, map[string]any{key: value})
		return
	}
	p.add("/metadata/"+field+"/"+escape(key), value)
}

func (p *patch) drop(field, key string) {
	entries, _ := p.entries(field)
	if _, ok := entries[key]; ok {
		p.operations = append(p.operations, Operation{Op: "remove", Path: "/metadata/" + field + "/" + escape(key)})
	}
}

func (p *patch) entries(field string) (entries map[string]any, exists bool) {
	metadata, _ := p.object.Object["metadata"].(map[string]any)
	entries, exists = metadata[field].(map[string]any)
	return entries, exists
}

// value sets a field, given what it counts as now. Objects on the way that are absent are created.
func (p *patch) value(path []string, have, want any) {
	if have != want {
		p.member(path[:len(path)-1], path[len(path)-1], want)
	}
}

// member sets a key of the object in a field, creating what is absent on the way.
func (p *patch) member(path []string, key string, value any) {
	at, pointer := p.object.Object, ""
	for i, step := range path {
		pointer += "/" + escape(step)
		next, ok := at[step].(map[string]any)
		if !ok {
			for _, missing := range slices.Backward(path[i+1:]) {
				key, value = missing, map[string]any{key: value}
			}
			p.add(pointer, map[string]any{key: value})
			return
		}
		at = next
	}
	p.add(pointer+"/"+escape(key), value)
}

// add also replaces, by the definition of JSON patch.
func (p *patch) add(path string, value any) {
	p.operations = append(p.operations, Operation{Op: "add", Path: path, Value: value})
}

// escape writes a map key as a token of a JSON pointer.
func escape(key string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(key) }
