package tools

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// certManagerVersion is also named in docs/operations.md.
const certManagerVersion = "v1.21.2"

func TestEveryGroupHasItsModule(t *testing.T) {
	for _, g := range Groups() {
		data, err := os.ReadFile(filepath.Join(g.Name, "go.mod"))
		if err != nil {
			t.Errorf("group %s: %v", g.Name, err)
			continue
		}
		for _, b := range g.Binaries {
			if !strings.Contains(string(data), b.Package+"\n") {
				t.Errorf("group %s: go.mod has no tool %s", g.Name, b.Package)
			}
		}
	}
}

func TestKubernetesSaysTheVersionItIsBuiltFrom(t *testing.T) {
	data, err := os.ReadFile("kubernetes/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if want := "k8s.io/kubernetes " + kubernetesVersion; !strings.Contains(string(data), want) {
		t.Errorf("kubernetes/go.mod does not require %s", want)
	}
}

// The controllers in the tests have to be those whose types the project uses.
func TestCertManagerIsTheOneThatTheProjectUses(t *testing.T) {
	for _, path := range []string{"certmanager/go.mod", "../../go.mod"} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if want := "github.com/cert-manager/cert-manager " + certManagerVersion; !strings.Contains(string(data), want+"\n") {
			t.Errorf("%s does not require %s", path, want)
		}
	}
}

func TestLookupNamesTheChoices(t *testing.T) {
	_, err := Lookup("nonsense")
	if err == nil || !strings.Contains(err.Error(), "containerd") || !strings.Contains(err.Error(), `"nonsense"`) {
		t.Errorf("error %v names neither the value nor the choices", err)
	}
}

func TestKeyFollowsWhatIsBuilt(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	key := func(g Group) string {
		t.Helper()
		k, err := g.key(dir)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	g := Group{Name: "x", Binaries: []Binary{{"x", "example.com/x"}}}
	write("go.mod", "module x")
	first := key(g)
	if key(g) != first {
		t.Error("the same inputs give two keys")
	}
	tagged := g
	tagged.Tags = []string{"small"}
	if key(tagged) == first {
		t.Error("a build tag does not change the key")
	}
	write("go.sum", "a")
	second := key(g)
	if second == first {
		t.Error("a new file does not change the key")
	}
	write("go.sum", "b")
	if key(g) == second {
		t.Error("a changed file does not change the key")
	}
}

// module writes a module with one program that prints nothing.
func module(t *testing.T, source string) (dir string, g Group) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range map[string]string{"go.mod": "module example.com/m\n\ngo 1.26\n", "main.go": source} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, Group{Name: "m", Binaries: []Binary{{"program", "example.com/m"}}}
}

func TestCompileNamesBinariesAsWanted(t *testing.T) {
	dir, g := module(t, "package main\n\nfunc main() {}\n")
	out := t.TempDir()
	if err := g.compile(t.Context(), io.Discard, dir, out, "m"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(out, "program"))
	if err != nil || info.Mode()&0o111 == 0 {
		t.Errorf("no executable: %v, %v", info, err)
	}
}

func TestFailedCompileShowsTheCompilersWords(t *testing.T) {
	dir, g := module(t, "package main\n\nfunc main() { undefinedThing() }\n")
	err := g.compile(t.Context(), io.Discard, dir, t.TempDir(), "m")
	if err == nil || !strings.Contains(err.Error(), "undefinedThing") {
		t.Errorf("error %v does not say what the compiler said", err)
	}
}

func TestCountPackages(t *testing.T) {
	var count atomic.Int64
	last := countPackages(strings.NewReader("a/b\n# a/b\nfile.go:1: bad thing\nc\n"), &count)
	if count.Load() != 2 || len(last) != 2 {
		t.Errorf("counted %d packages and kept %q, want 2 and the two other lines", count.Load(), last)
	}
}

func TestLockIsExclusive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "lock")
	unlock, err := Lock(t.Context(), path, func() { t.Error("a free lock was waited for") })
	if err != nil {
		t.Fatal(err)
	}
	waited := false
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Lock(short, path, func() { waited = true }); err == nil || !waited {
		t.Errorf("a held lock was given out again: error %v, waited %t", err, waited)
	}
	unlock()
	again, err := Lock(t.Context(), path, func() {})
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestSourceDirFromAnywhere(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	want := filepath.Dir(here)
	for _, from := range []string{here, want, filepath.Dir(want), filepath.Join(here, "traefik", "ext")} {
		t.Chdir(from)
		if got, err := SourceDir(); err != nil || got != want {
			t.Errorf("from %s: %s, %v; want %s", from, got, err, want)
		}
	}
	t.Chdir(t.TempDir())
	if got, err := SourceDir(); err == nil {
		t.Errorf("outside of a checkout: %s, want an error", got)
	}
}

func TestCacheDirCanBeChosen(t *testing.T) {
	t.Setenv("SLUICE_CACHE", "/somewhere/else")
	if got, err := CacheDir(); err != nil || got != "/somewhere/else" {
		t.Errorf("CacheDir is %s, %v", got, err)
	}
}
