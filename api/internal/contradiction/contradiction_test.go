package contradiction

import (
	"os"
	"strings"
	"testing"
)

// The document lists each contradiction, with its field, under the layer that refuses it, and no other.
func TestDocumentListsTheContradictions(t *testing.T) {
	all, err := Read("../../testdata/contradictions.yaml")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("../../../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(data), "## What is refused")
	section, _, end := strings.Cut(section, "\n## ")
	schema, admission, two := strings.Cut(section, "By admission")
	if !ok || !end || !two {
		t.Fatal("docs/compatibility.md: the section on what is refused is missing or has no two parts")
	}
	documented := map[string]map[string]string{Schema: rows(schema), Admission: rows(admission)}
	for _, c := range all {
		part, known := documented[c.Layer]
		if !known {
			t.Errorf("%s: layer %q; want %s or %s", c.Name, c.Layer, Schema, Admission)
			continue
		}
		if field, ok := part[c.Name]; !ok {
			t.Errorf("docs/compatibility.md does not list %q as refused by %s", c.Name, c.Layer)
		} else if field != c.Field {
			t.Errorf("docs/compatibility.md: %q is about field %s; want %s", c.Name, field, c.Field)
		}
		delete(part, c.Name)
	}
	for layer, part := range documented {
		for name := range part {
			t.Errorf("docs/compatibility.md lists %q as refused by %s; testdata/contradictions.yaml does not", name, layer)
		}
	}
}

// rows reads a table: first column to second.
func rows(section string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || strings.TrimSpace(cells[1]) == "what" || strings.HasPrefix(cells[1], "---") {
			continue
		}
		out[strings.TrimSpace(cells[1])] = strings.Trim(cells[2], " `")
	}
	return out
}

func TestMerge(t *testing.T) {
	o := map[string]any{"a": map[string]any{"b": 1, "c": 2}, "d": 3, "e": []any{1}}
	got := Merge(o, map[string]any{"a": map[string]any{"b": nil, "x": 5}, "d": map[string]any{"y": 6}, "e": []any{}})
	a, d := got["a"].(map[string]any), got["d"].(map[string]any)
	if _, kept := a["b"]; kept || a["c"] != 2 || a["x"] != 5 || d["y"] != 6 || len(got["e"].([]any)) != 0 {
		t.Errorf("Merge() = %v", got)
	}
	if o["d"] != 3 || o["a"].(map[string]any)["b"] != 1 {
		t.Errorf("the original changed: %v", o)
	}
}
