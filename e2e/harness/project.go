package harness

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/e2e/image"
	"github.com/sluice-dev/sluice/e2e/tools"
)

// Deployments of the shipped manifests.
const (
	sluiceDeployment     = "sluice"
	loadTesterDeployment = "loadtester"
)

// imageAnnotation on a pod template holds the digest of the binary in its
// image. References do not change from one build to the next, so this is what
// makes pods of an older build go.
const imageAnnotation = "sluice.dev/e2e-binary"

// progressEvery is how often a running build says that it is still at work.
const progressEvery = 15 * time.Second

// program of the project that runs on the cluster.
type program struct {
	// name of the Deployment and of its container.
	name, namespace string
	// pkg and overlay are the main package and the manifests, from the root of
	// the checkout.
	pkg, overlay string
	args         []string
}

func (h *Harness) sluice() program {
	return program{name: sluiceDeployment, namespace: SluiceNamespace, pkg: "./cmd/sluice", overlay: "manifests/base", args: h.args}
}

// InstallSluice installs Sluice from the checkout, again where it was removed.
// All its requests are counted, from the first on.
func (h *Harness) InstallSluice(ctx context.Context) error {
	if err := h.Apply(ctx, flowSchemas); err != nil {
		return err
	}
	return h.install(ctx, h.sluice())
}

// ShippedManifests are those that a user installs, and deletes.
func (h *Harness) ShippedManifests(ctx context.Context) (string, error) {
	source, err := tools.SourceDir()
	if err != nil {
		return "", err
	}
	return h.render(ctx, filepath.Dir(source), h.sluice().overlay)
}

// ExitFromOutside runs the emergency exit on this machine, as an operator does
// where no pod of Sluice's runs any more. It returns what the exit prints.
func (h *Harness) ExitFromOutside(ctx context.Context) (string, error) {
	source, err := tools.SourceDir()
	if err != nil {
		return "", err
	}
	binary, _, err := h.compile(ctx, filepath.Dir(source), h.sluice())
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, binary, "exit", "-kubeconfig="+h.Cluster.KubeconfigPath(), "-log-level=error").CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("emergency exit: %w: %s", err, bytes.TrimSpace(out))
	}
	return string(out), nil
}

func (h *Harness) installLoadTester(ctx context.Context) error {
	namespace := fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: %s\n", TestNamespace)
	if err := h.Cluster.Apply(ctx, namespace); err != nil {
		return err
	}
	return h.install(ctx, program{
		name: loadTesterDeployment, namespace: TestNamespace, pkg: "./cmd/loadtester", overlay: "manifests/loadtester",
	})
}

// install builds a program, loads its image under the reference that its
// manifests name, applies them and waits until it runs from this very binary.
func (h *Harness) install(ctx context.Context, p program) error {
	source, err := tools.SourceDir()
	if err != nil {
		return err
	}
	root := filepath.Dir(source)
	shipped, err := h.render(ctx, root, p.overlay)
	if err != nil {
		return err
	}
	binary, digest, err := h.compile(ctx, root, p)
	if err != nil {
		return err
	}
	manifests, reference, err := h.adapt(shipped, p, digest)
	if err != nil {
		return fmt.Errorf("%s: %w", p.overlay, err)
	}
	if !h.runs(ctx, p, digest) {
		if err := h.Cluster.LoadProgram(ctx, reference, binary); err != nil {
			return err
		}
	}
	if err := h.Cluster.Apply(ctx, manifests); err != nil {
		return err
	}
	return h.RolledOut(ctx, p.namespace, p.name)
}

// adapt makes the few changes that this cluster needs to the shipped manifests:
// which binary the pods run, further arguments, and for an existing cluster
// where the image is. It also returns the reference that the manifests name.
func (h *Harness) adapt(manifests string, p program, digest string) (adapted, reference string, err error) {
	documents := strings.Split(manifests, "\n---\n")
	for i, document := range documents {
		var deployment appsv1.Deployment
		if err := yaml.Unmarshal([]byte(document), &deployment); err != nil {
			return "", "", fmt.Errorf("document %d: %w", i+1, err)
		}
		if deployment.Kind != "Deployment" || deployment.Name != p.name {
			continue
		}
		template := &deployment.Spec.Template
		if template.Annotations == nil {
			template.Annotations = map[string]string{}
		}
		template.Annotations[imageAnnotation] = digest
		for j := range template.Spec.Containers {
			if c := &template.Spec.Containers[j]; c.Name == p.name {
				reference = c.Image
				c.Image = h.Cluster.Image(c.Image)
				c.Args = append(c.Args, p.args...)
			}
		}
		data, err := yaml.Marshal(deployment)
		if err != nil {
			return "", "", fmt.Errorf("document %d: %w", i+1, err)
		}
		documents[i] = string(data)
	}
	if reference == "" {
		return "", "", fmt.Errorf("no Deployment %s with a container of that name", p.name)
	}
	return strings.Join(documents, "\n---\n"), reference, nil
}

// render builds an overlay as make manifests does.
func (h *Harness) render(ctx context.Context, root, overlay string) (string, error) {
	defer h.progress("rendering " + overlay)()
	cmd := exec.CommandContext(ctx, "go", "tool", "-modfile=e2e/tools/kustomize/go.mod", "kustomize", "build", overlay)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("render %s: %w: %s", overlay, err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

// compile builds a program into a file that the next build of this checkout
// finds again, so that nothing is linked when nothing changed.
func (h *Harness) compile(ctx context.Context, root string, p program) (binary, digest string, err error) {
	cache, err := tools.CacheDir()
	if err != nil {
		return "", "", err
	}
	checkout := sha256.Sum256([]byte(root))
	dir := filepath.Join(cache, "checkouts", hex.EncodeToString(checkout[:])[:16])
	unlock, err := tools.Lock(ctx, dir+".lock", func() {})
	if err != nil {
		return "", "", err
	}
	defer unlock()
	binary = filepath.Join(dir, p.name)
	defer h.progress("compiling " + p.pkg)()
	if err := image.Compile(ctx, root, p.pkg, binary); err != nil {
		return "", "", err
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		return "", "", fmt.Errorf("built %s: %w", p.name, err)
	}
	sum := sha256.Sum256(content)
	return binary, hex.EncodeToString(sum[:])[:16], nil
}

// runs tells whether the cluster runs this very binary already.
func (h *Harness) runs(ctx context.Context, p program, digest string) bool {
	var deployment appsv1.Deployment
	err := h.Client.Get(ctx, types.NamespacedName{Namespace: p.namespace, Name: p.name}, &deployment)
	return err == nil && deployment.Spec.Template.Annotations[imageAnnotation] == digest
}

// progress says now and then that something long is still under way, until the
// returned function is called.
func (h *Harness) progress(what string) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	start := time.Now()
	go func() {
		defer close(ended)
		ticker := time.NewTicker(progressEvery)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				h.logf("%s: %s", what, time.Since(start).Round(time.Second))
			}
		}
	}()
	return func() { close(done); <-ended }
}
