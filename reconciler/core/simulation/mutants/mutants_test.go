package main

import (
	"path/filepath"
	"testing"
)

// TestMutantsMatchTheSource: the text of each mutant is in the source exactly once, so that `make mutants` breaks what it says. A change of the core that
// touches such a text is to be followed in the table.
func TestMutantsMatchTheSource(t *testing.T) {
	root, err := filepath.Abs("../../../..")
	if err != nil {
		t.Fatal(err)
	}
	names, promises := map[string]bool{}, map[string]int{}
	for _, m := range table() {
		if _, source, err := mutate(root, m); err != nil {
			t.Errorf("%s: %v", m.name, err)
		} else if len(source) == 0 {
			t.Errorf("%s: nothing is left of %s", m.name, m.file)
		}
		if names[m.name] || m.text == m.instead {
			t.Errorf("%s is there twice, or changes nothing", m.name)
		}
		names[m.name] = true
		promises[m.promise]++
	}
	for _, p := range []string{"P1", "P2", "P3", "P4", "P5", "P7"} {
		if promises[p] == 0 {
			t.Errorf("no mutant breaks %s", p)
		}
	}
}
