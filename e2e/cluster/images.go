package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/sluice-dev/sluice/e2e/image"
	"github.com/sluice-dev/sluice/e2e/tools"
)

// Images that every cluster has.
const (
	pauseImage   = "local/pause:1"
	coreDNSImage = "local/coredns:v1"
)

// LoadImage makes the images of an archive (docker-archive or OCI) available
// to pods under the references that the archive names. Pods must not pull:
// use imagePullPolicy IfNotPresent or Never. For an existing cluster nothing
// can be loaded: it is an error, unless E2E_IMAGE_PREFIX says that the images
// are in a registry already.
func (c *Cluster) LoadImage(ctx context.Context, archive string) error {
	if c.External() {
		if os.Getenv(EnvImagePrefix) != "" {
			return nil
		}
		return fmt.Errorf("load %s: the cluster of %s takes no images from here: "+
			"push them to a registry that it reaches and set %s to the registry and path, such as registry.example.com/tests",
			archive, EnvKubeconfig, EnvImagePrefix)
	}
	absolute, err := filepath.Abs(archive)
	if err != nil {
		return fmt.Errorf("load image %s: %w", archive, err)
	}
	ctr, err := c.Bin("ctr")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, ctr, "--address", c.dir.ContainerdSocket(), "--namespace", "k8s.io",
		"images", "import", "--snapshotter", c.spec.Snapshotter, absolute)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("load image %s: %w: %s", archive, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Image returns the reference under which pods of this cluster find an image:
// as it is, or for an existing cluster its last part below E2E_IMAGE_PREFIX.
func (c *Cluster) Image(reference string) string {
	prefix := os.Getenv(EnvImagePrefix)
	if !c.External() || prefix == "" {
		return reference
	}
	return strings.TrimSuffix(prefix, "/") + "/" + path.Base(reference)
}

// LoadProgram makes an image with one static binary and loads it. Images of
// the same binary are kept in the cache folder.
func (c *Cluster) LoadProgram(ctx context.Context, reference, binary string) error {
	if c.External() {
		return c.LoadImage(ctx, reference)
	}
	archive, err := cachedImage(reference, binary)
	if err != nil {
		return err
	}
	return c.LoadImage(ctx, archive)
}

// LoadTool builds a tool group if need be and loads one of its programs under
// the given reference. Progress goes to log.
func (c *Cluster) LoadTool(ctx context.Context, log io.Writer, group, program, reference string) error {
	if c.External() {
		return c.LoadImage(ctx, reference)
	}
	dir, err := toolDir(ctx, log, group)
	if err != nil {
		return err
	}
	return c.LoadProgram(ctx, reference, filepath.Join(dir, program))
}

// cachedImage returns the archive of an image with one binary.
func cachedImage(reference, binary string) (string, error) {
	cache, err := tools.CacheDir()
	if err != nil {
		return "", err
	}
	file, err := os.Open(binary)
	if err != nil {
		return "", fmt.Errorf("image %s: %w", reference, err)
	}
	defer func() { _ = file.Close() }()
	hash := sha256.New()
	fmt.Fprintf(hash, "%s %s\n", reference, filepath.Base(binary))
	if _, err := io.Copy(hash, file); err != nil {
		return "", fmt.Errorf("image %s: %w", reference, err)
	}
	archive := filepath.Join(cache, "images", hex.EncodeToString(hash.Sum(nil))[:16]+".tar")
	if _, err := os.Stat(archive); err == nil {
		return archive, nil
	}
	_, err = image.Write(image.Spec{Reference: reference, Binary: binary, Certificates: true}, archive)
	return archive, err
}
