package harness

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/e2e/cluster/addons"
	"github.com/sluice-dev/sluice/e2e/image"
	"github.com/sluice-dev/sluice/e2e/tools"
	"github.com/sluice-dev/sluice/e2e/traffic"
)

// appImage holds podinfo; all versions of applications run from it.
const appImage = "local/podinfo:v6"

// versionLabel on a pod template names the version.
const versionLabel = "version"

//go:embed manifests/app.yaml
var appManifest string

// App is a version of an application: podinfo with a page of its own. Versions
// differ in the pod template alone, and each answer tells which it came from.
type App struct {
	// Kind of the workload, Deployment or DaemonSet; "" means Deployment.
	Kind string
	// Namespace and Name of the workload; the default namespace is
	// TestNamespace.
	Namespace, Name string
	// Version is made of letters, digits, dots and dashes, such as "v2".
	Version string
	// Broken makes the version answer HTTP 500 to every user, though its probes
	// succeed: it looks for its page in a folder that is not there.
	Broken bool
	// Replicas of a Deployment; 0 means 2.
	Replicas int
	// Image is a reference that LoadApp has loaded; "" means one that all
	// applications share.
	Image string
	// Scaled leaves the replicas of a Deployment to an autoscaler.
	Scaled bool
	// Immutable makes its page one that cannot be changed.
	Immutable bool
}

// Key names the workload, and a Canary of the same name.
func (a App) Key() types.NamespacedName {
	a = a.withDefaults()
	return types.NamespacedName{Namespace: a.Namespace, Name: a.Name}
}

// Host is the host name by which users ask for the application.
func (a App) Host() string { return a.Name + ".example.com" }

func (a App) withDefaults() App {
	if a.Kind == "" {
		a.Kind = "Deployment"
	}
	if a.Namespace == "" {
		a.Namespace = TestNamespace
	}
	if a.Replicas == 0 {
		a.Replicas = 2
	}
	if a.Image == "" {
		a.Image = appImage
	}
	return a
}

// Manifests of the application: its namespace, page and workload.
func (a App) Manifests(h *Harness) (string, error) {
	a = a.withDefaults()
	return Render("app.yaml", appManifest, struct {
		App
		Image string
	}{a, h.Cluster.Image(a.Image)})
}

// LoadApp makes an image of podinfo available to pods under a reference. Images
// with different marks differ; loading another one moves the reference to it.
func (h *Harness) LoadApp(ctx context.Context, reference, mark string) error {
	built, err := tools.Build(ctx, h.log, "podinfo")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sluice-image-")
	if err != nil {
		return fmt.Errorf("load %s: %w", reference, err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	archive := filepath.Join(dir, "app.tar")
	spec := image.Spec{Reference: reference, Binary: filepath.Join(built["podinfo"], "podinfo"), Files: map[string][]byte{"/etc/mark": []byte(mark)}}
	if _, err := image.Write(spec, archive); err != nil {
		return err
	}
	return h.Cluster.LoadImage(ctx, archive)
}

// Render fills in a template of manifests.
func Render(name, text string, values any) (string, error) {
	parsed, err := template.New(name).Option("missingkey=error").Parse(text)
	if err != nil {
		return "", fmt.Errorf("manifests %s: %w", name, err)
	}
	var out strings.Builder
	if err := parsed.Execute(&out, values); err != nil {
		return "", fmt.Errorf("manifests %s: %w", name, err)
	}
	return out.String(), nil
}

// Deploy applies the application, as a user does for each new version.
func (h *Harness) Deploy(ctx context.Context, a App) error {
	manifests, err := a.Manifests(h)
	if err != nil {
		return err
	}
	if err := h.Apply(ctx, manifests); err != nil {
		return fmt.Errorf("deploy %s of %s: %w", a.Version, a.Key(), err)
	}
	return nil
}

// DeployedVersion returns the version that the template of a Deployment or
// DaemonSet names; "" if there is none. A primary's is that of "<name>-primary".
func (h *Harness) DeployedVersion(ctx context.Context, key types.NamespacedName) (string, error) {
	var deployments appsv1.DeploymentList
	if err := h.Client.List(ctx, &deployments, inNamespace(key.Namespace)); err != nil {
		return "", fmt.Errorf("read Deployment %s: %w", key, err)
	}
	for _, d := range deployments.Items {
		if d.Name == key.Name {
			return d.Spec.Template.Labels[versionLabel], nil
		}
	}
	var daemonSets appsv1.DaemonSetList
	if err := h.Client.List(ctx, &daemonSets, inNamespace(key.Namespace)); err != nil {
		return "", fmt.Errorf("read DaemonSet %s: %w", key, err)
	}
	for _, d := range daemonSets.Items {
		if d.Name == key.Name {
			return d.Spec.Template.Labels[versionLabel], nil
		}
	}
	return "", nil
}

// marker is how an answer names its version: in the page, or in the error
// about the page that is missing.
var marker = regexp.MustCompile(`release:([A-Za-z0-9.-]+)`)

// VersionOf tells which version of an App gave an answer; "" if it does not
// show.
func VersionOf(_ int, _ http.Header, body []byte) string {
	found := marker.FindSubmatch(body)
	if found == nil {
		return ""
	}
	return string(found[1])
}

// Users is traffic of the application's users through the gateway. The caller
// may change it before it starts.
func (h *Harness) Users(a App) traffic.Config {
	return traffic.Config{
		Dial: h.Cluster.DialContext,
		URL:  "http://" + addons.TraefikAddress + "/",
		Host: a.Host(),
		// Only to browsers podinfo shows its page.
		Header:  http.Header{"User-Agent": {"Mozilla/5.0"}},
		Version: VersionOf,
	}
}
