package sluice

import (
	"bytes"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The register of hazards is worth as much as the tests that it names.
func TestHazardsNameTestsThatExist(t *testing.T) {
	page, err := os.ReadFile("docs/hazards.md")
	if err != nil {
		t.Fatal(err)
	}
	defined := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err = fs.WalkDir(os.DirFS("."), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range function.FindAllSubmatch(text, -1) {
			defined[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test\\w+)`").FindAllSubmatch(page, -1)
	if len(named) == 0 {
		t.Fatal("the page names no test")
	}
	for _, m := range named {
		if !defined[string(m[1])] {
			t.Errorf("docs/hazards.md names %s, which does not exist", m[1])
		}
	}
	for i, line := range bytes.Split(page, []byte("\n")) {
		row := bytes.HasPrefix(line, []byte("| H"))
		if row && !bytes.Contains(line, []byte("`Test")) && !bytes.Contains(line, []byte("cannot arise")) && !bytes.Contains(line, []byte("not yet")) {
			t.Errorf("docs/hazards.md:%d names neither a test nor why there is none: %s", i+1, line)
		}
	}
}
