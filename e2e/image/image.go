package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// UserID is the user and group that images run as.
const UserID = 65532

// hostCertificates is where Debian, Alpine and most others keep the bundle of
// public certificate authorities, on the host as in the image.
const hostCertificates = "/etc/ssl/certs/ca-certificates.crt"

// Spec says what goes into an image.
type Spec struct {
	// Reference is the image's name, such as "ghcr.io/sluice-dev/sluice:v0.1.0".
	Reference string
	// Binary is the path of a static executable on the host.
	Binary string
	// Entrypoint is the binary's path in the image; the default is
	// "/usr/local/bin/" and the binary's file name.
	Entrypoint string
	// Files are further files: path in the image to content.
	Files map[string][]byte
	// Labels are the image's labels, such as org.opencontainers.image.version.
	Labels map[string]string
	// Certificates adds the host's public certificate authorities, so that the
	// program can reach servers outside of the cluster. A host without them
	// gives an image without them.
	Certificates bool
}

// Write makes the image, writes it to the file out as a docker-archive and
// returns its digest ("sha256:…"). The file appears complete or not at all.
func Write(spec Spec, out string) (digest string, err error) {
	tag, err := name.NewTag(spec.Reference)
	if err != nil {
		return "", fmt.Errorf("image reference %q is not name:tag: %w", spec.Reference, err)
	}
	img, err := build(spec)
	if err != nil {
		return "", err
	}
	hash, err := img.Digest()
	if err != nil {
		return "", fmt.Errorf("digest of %s: %w", spec.Reference, err)
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return "", fmt.Errorf("write image %s: %w", spec.Reference, err)
	}
	temp, err := os.CreateTemp(filepath.Dir(out), ".image-")
	if err != nil {
		return "", fmt.Errorf("write image %s: %w", spec.Reference, err)
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	err = tarball.Write(tag, img, temp)
	if closeErr := temp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Chmod(temp.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(temp.Name(), out)
	}
	if err != nil {
		return "", fmt.Errorf("write image %s: %w", spec.Reference, err)
	}
	return hash.String(), nil
}

func build(spec Spec) (v1.Image, error) {
	if spec.Entrypoint == "" {
		spec.Entrypoint = path.Join("/usr/local/bin", filepath.Base(spec.Binary))
	}
	content, err := layerContent(spec)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}, tarball.WithCompressionLevel(gzip.BestSpeed))
	if err != nil {
		return nil, fmt.Errorf("layer of %s: %w", spec.Reference, err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", spec.Reference, err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("configuration of %s: %w", spec.Reference, err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Config = v1.Config{
		Entrypoint: []string{spec.Entrypoint},
		User:       fmt.Sprintf("%d:%d", UserID, UserID),
		Env:        []string{"PATH=/usr/local/bin", "SSL_CERT_FILE=" + hostCertificates},
		WorkingDir: "/home/nonroot",
		Labels:     spec.Labels,
	}
	img, err = mutate.ConfigFile(img, file)
	if err != nil {
		return nil, fmt.Errorf("configuration of %s: %w", spec.Reference, err)
	}
	return img, nil
}

// layerContent is the layer's tar: folders, the user database, certificates,
// further files, and the binary last.
func layerContent(spec Spec) ([]byte, error) {
	files := map[string]entry{
		"/etc/passwd": {mode: 0o644, data: fmt.Appendf(nil,
			"root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:%d:%d:nonroot:/home/nonroot:/sbin/nologin\n", UserID, UserID)},
		"/etc/group":         {mode: 0o644, data: fmt.Appendf(nil, "root:x:0:\nnonroot:x:%d:\n", UserID)},
		"/etc/nsswitch.conf": {mode: 0o644, data: []byte("hosts: files dns\n")},
	}
	if spec.Certificates {
		if data, err := os.ReadFile(hostCertificates); err == nil {
			files[hostCertificates] = entry{mode: 0o644, data: data}
		}
	}
	for path, data := range spec.Files {
		files[path] = entry{mode: 0o644, data: data}
	}
	binary, err := os.ReadFile(spec.Binary)
	if err != nil {
		return nil, fmt.Errorf("binary of image %s: %w", spec.Reference, err)
	}
	files[spec.Entrypoint] = entry{mode: 0o755, data: binary}
	return writeTar(files)
}

type entry struct {
	mode int64
	data []byte
}

func writeTar(files map[string]entry) ([]byte, error) {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, dir := range folders(files) {
		header := &tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(dir, "/") + "/", Mode: 0o755}
		switch dir {
		case "/tmp":
			header.Mode = 0o1777
		case "/home/nonroot":
			header.Uid, header.Gid = UserID, UserID
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("layer folder %s: %w", dir, err)
		}
	}
	for _, name := range sortedKeys(files) {
		file := files[name]
		header := &tar.Header{Typeflag: tar.TypeReg, Name: strings.TrimPrefix(name, "/"), Mode: file.mode, Size: int64(len(file.data))}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("layer file %s: %w", name, err)
		}
		if _, err := w.Write(file.data); err != nil {
			return nil, fmt.Errorf("layer file %s: %w", name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("layer: %w", err)
	}
	return buffer.Bytes(), nil
}

// folders lists every folder that the files need, parents first, besides the
// two that programs expect to be able to write.
func folders(files map[string]entry) []string {
	set := map[string]entry{"/tmp": {}, "/home": {}, "/home/nonroot": {}}
	for name := range files {
		for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
			set[dir] = entry{}
		}
	}
	return sortedKeys(set)
}

func sortedKeys(m map[string]entry) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Compile builds a Go main package statically into the file out. dir is a
// folder of the module that the package belongs to; pkg is an import path or a
// relative one such as "./cmd/sluice"; linkerFlags are added to "-s -w".
func Compile(ctx context.Context, dir, pkg, out string, linkerFlags ...string) error {
	flags := strings.Join(append([]string{"-s", "-w"}, linkerFlags...), " ")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", out, pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s in %s: %w\n%s", pkg, dir, err, bytes.TrimSpace(output))
	}
	return nil
}
