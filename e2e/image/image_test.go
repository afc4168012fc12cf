package image

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func writeBinary(t *testing.T, dir, content string) string {
	t.Helper()
	path := filepath.Join(dir, "program")
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, path string) v1.Image {
	t.Helper()
	img, err := tarball.ImageFromPath(path, nil)
	if err != nil {
		t.Fatalf("read the archive back: %v", err)
	}
	return img
}

func TestSameInputsGiveSameDigest(t *testing.T) {
	spec := func(dir, content string) Spec {
		return Spec{
			Reference: "local/program:1",
			Binary:    writeBinary(t, dir, content),
			Files:     map[string][]byte{"/b": []byte("b"), "/a/c": []byte("c"), "/a/b": []byte("b")},
		}
	}
	digestOf := func(s Spec) string {
		digest, err := Write(s, filepath.Join(t.TempDir(), "image.tar"))
		if err != nil {
			t.Fatal(err)
		}
		return digest
	}
	first := spec(t.TempDir(), "one")
	old := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	again := spec(t.TempDir(), "one")
	if err := os.Chtimes(again.Binary, old, old); err != nil {
		t.Fatal(err)
	}
	if a, b := digestOf(first), digestOf(again); a != b {
		t.Errorf("same inputs, digests %s and %s", a, b)
	}
	if a, b := digestOf(first), digestOf(spec(t.TempDir(), "two")); a == b {
		t.Errorf("different binaries, same digest %s", a)
	}
}

func TestImageRunsAsUnprivilegedUser(t *testing.T) {
	out := filepath.Join(t.TempDir(), "folder", "image.tar")
	if _, err := Write(Spec{Reference: "local/program:1", Binary: writeBinary(t, t.TempDir(), "x")}, out); err != nil {
		t.Fatal(err)
	}
	config, err := load(t, out).ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := config.Config.User, "65532:65532"; got != want {
		t.Errorf("user %q, want %q", got, want)
	}
	if got, want := config.Config.Entrypoint, "/usr/local/bin/program"; len(got) != 1 || got[0] != want {
		t.Errorf("entrypoint %q, want %q", got, want)
	}
}

func TestLayerHoldsFilesWithParents(t *testing.T) {
	out := filepath.Join(t.TempDir(), "image.tar")
	spec := Spec{
		Reference:  "local/program:1",
		Binary:     writeBinary(t, t.TempDir(), "the program"),
		Entrypoint: "/opt/app/run",
		Files:      map[string][]byte{"/data/page.html": []byte("hello")},
	}
	if _, err := Write(spec, out); err != nil {
		t.Fatal(err)
	}
	reader := tar.NewReader(mutate.Extract(load(t, out)))
	content, modes, order := map[string]string{}, map[string]int64{}, map[string]int{}
	for i := 0; ; i++ {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		content[filepath.Clean(header.Name)], modes[filepath.Clean(header.Name)] = string(data), header.Mode
		order[filepath.Clean(header.Name)] = i
	}
	if content["opt/app/run"] != "the program" || modes["opt/app/run"] != 0o755 {
		t.Errorf("binary %q with mode %o, want the program, executable", content["opt/app/run"], modes["opt/app/run"])
	}
	if content["data/page.html"] != "hello" {
		t.Errorf("further file is %q, want hello", content["data/page.html"])
	}
	if order["opt"] > order["opt/app"] || order["opt/app"] > order["opt/app/run"] {
		t.Errorf("a folder stands after what is in it: %v", order)
	}
	if modes["tmp"] != 0o1777 {
		t.Errorf("/tmp has mode %o, want 1777", modes["tmp"])
	}
}

func TestBadInputIsNamed(t *testing.T) {
	if _, err := Write(Spec{Reference: "NOT/a/Reference", Binary: "x"}, filepath.Join(t.TempDir(), "o")); err == nil {
		t.Error("an unusable reference was accepted")
	}
	out := filepath.Join(t.TempDir(), "o")
	if _, err := Write(Spec{Reference: "local/program:1", Binary: "/does/not/exist"}, out); err == nil {
		t.Error("a missing binary was accepted")
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a failed write left a file")
	}
}
