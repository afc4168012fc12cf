// Package contradiction reads the list of what Flagger's CRDs accept and Sluice refuses. It serves the tests of the
// packages that refuse; nothing else may import it.
package contradiction

import (
	"fmt"
	"maps"
	"os"

	"sigs.k8s.io/yaml"
)

// Layers that refuse.
const (
	Schema    = "schema"
	Admission = "admission"
)

// Contradiction is one thing that is refused.
type Contradiction struct {
	// Name as in docs/compatibility.md.
	Name string `json:"name"`
	// Layer that refuses it: Schema or Admission.
	Layer string `json:"layer"`
	// Kind of the object; Canary when empty.
	Kind string `json:"kind"`
	// Patch is a merge patch that turns a good object into a refused one.
	Patch map[string]any `json:"patch"`
	// Field and Says are parts of the refusal.
	Field string `json:"field"`
	Says  string `json:"says"`
}

// goods are accepted objects, by kind.
var goods = map[string]string{
	"Canary": `
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: good, namespace: default}
spec:
  provider: gatewayapi:v1
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: good}
  service: {port: 80, gatewayRefs: [{name: public}]}
  analysis: {interval: 30s, threshold: 5, stepWeight: 10}
`,
	"MetricTemplate": `
apiVersion: flagger.app/v1beta1
kind: MetricTemplate
metadata: {name: good, namespace: default}
spec: {provider: {type: prometheus, address: "http://prometheus:9090"}, query: "1"}
`,
	"AlertProvider": `
apiVersion: flagger.app/v1beta1
kind: AlertProvider
metadata: {name: good, namespace: default}
spec: {type: slack, address: "http://hooks.example.com"}
`,
}

// Read returns the list in the file at path.
func Read(path string) ([]Contradiction, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []Contradiction
	if err := yaml.UnmarshalStrict(data, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}

// Good is an accepted object of the contradiction's kind.
func (c Contradiction) Good() (map[string]any, error) {
	kind := c.Kind
	if kind == "" {
		kind = "Canary"
	}
	var o map[string]any
	if err := yaml.Unmarshal([]byte(goods[kind]), &o); err != nil {
		return nil, fmt.Errorf("good %s: %w", kind, err)
	}
	return o, nil
}

// Object is the good object with the patch applied.
func (c Contradiction) Object() (map[string]any, error) {
	o, err := c.Good()
	if err != nil {
		return nil, err
	}
	return Merge(o, c.Patch), nil
}

// Merge applies a JSON merge patch: nil removes, maps merge, all else replaces.
func Merge(o, patch map[string]any) map[string]any {
	out := make(map[string]any, len(o))
	maps.Copy(out, o)
	for k, v := range patch {
		switch v := v.(type) {
		case nil:
			delete(out, k)
		case map[string]any:
			inner, _ := out[k].(map[string]any)
			out[k] = Merge(inner, v)
		default:
			out[k] = v
		}
	}
	return out
}
