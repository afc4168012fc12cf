package v1beta1_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// document is one object of the corpus: as written, and where.
type document struct {
	name string
	raw  []byte
	kind string
}

// corpus reads the manifests of testdata. Together they use every field.
func corpus(t *testing.T) []document {
	t.Helper()
	files, err := filepath.Glob("testdata/manifests/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no manifests in testdata/manifests: %v", err)
	}
	var docs []document
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for raw := range bytes.SplitSeq(data, []byte("\n---\n")) {
			o := generic(t, raw)
			meta, _ := o["metadata"].(map[string]any)
			name, _ := meta["name"].(string)
			kind, _ := o["kind"].(string)
			docs = append(docs, document{filepath.Base(f) + "/" + name, raw, kind})
		}
	}
	return docs
}

func generic(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	var o map[string]any
	if err := yaml.Unmarshal(raw, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// crds reads the generated CRDs by kind.
func crds(t *testing.T) map[string]*apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	files, err := filepath.Glob("../../manifests/base/crds/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*apiextensionsv1.CustomResourceDefinition{}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.Unmarshal(data, crd); err != nil {
			t.Fatal(err)
		}
		if crd.Kind == "CustomResourceDefinition" {
			out[crd.Spec.Names.Kind] = crd
		}
	}
	return out
}

func schemaOf(t *testing.T, kind string) apiextensionsv1.JSONSchemaProps {
	t.Helper()
	crd, ok := crds(t)[kind]
	if !ok {
		t.Fatalf("no CRD of kind %s", kind)
	}
	return *crd.Spec.Versions[0].Schema.OpenAPIV3Schema
}

// paths flattens a schema: a.b for properties, a[] for items, a{} for map values. Values are types.
func paths(prefix string, s apiextensionsv1.JSONSchemaProps, out map[string]string) {
	out[prefix] = s.Type
	if s.XIntOrString {
		out[prefix] = "int-or-string"
	}
	for name, p := range s.Properties {
		paths(prefix+"."+name, p, out)
	}
	if s.Items != nil && s.Items.Schema != nil {
		paths(prefix+"[]", *s.Items.Schema, out)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		paths(prefix+"{}", *s.AdditionalProperties.Schema, out)
	}
}

// used marks the paths of a schema that a value fills.
func used(prefix string, s apiextensionsv1.JSONSchemaProps, v any, out map[string]bool) {
	out[prefix] = true
	switch v := v.(type) {
	case map[string]any:
		for key, child := range v {
			if p, ok := s.Properties[key]; ok {
				used(prefix+"."+key, p, child, out)
			} else if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
				used(prefix+"{}", *s.AdditionalProperties.Schema, child, out)
			}
		}
	case []any:
		for _, child := range v {
			if s.Items != nil && s.Items.Schema != nil {
				used(prefix+"[]", *s.Items.Schema, child, out)
			}
		}
	}
}

// flaggerFields reads the fields of Flagger's CRDs: path to type.
func flaggerFields(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile("testdata/flagger-fields.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(data)) {
		path, typ, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			t.Fatalf("testdata/flagger-fields.txt: %q is not a path and a type", line)
		}
		out[path] = typ
	}
	return out
}
