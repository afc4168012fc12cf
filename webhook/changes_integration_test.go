//go:build integration

package webhook

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// tracked creates a Deployment that runs podinfo:1 and its Canary, and brings the Canary to a status that asks for holds or does not.
func tracked(t *testing.T, ns, name string, holds bool, adjust ...func(*appsv1.Deployment)) *appsv1.Deployment {
	t.Helper()
	d := deployment(ns, name, "podinfo:1")
	for _, a := range adjust {
		a(d)
	}
	must(t, world.admin.Create(t.Context(), d))
	c := canary(ns, name)
	must(t, world.admin.Create(t.Context(), c))
	setStatus(t, c, holds)
	must(t, world.admin.Get(t.Context(), client.ObjectKeyFromObject(d), d))
	world.warnings.take()
	return d
}

// setStatus writes the status of an idle Canary, or of one with an open route, and waits until the webhook has it.
func setStatus(t *testing.T, c *v1beta1.Canary, holds bool) {
	t.Helper()
	c.Status = v1beta1.CanaryStatus{Phase: v1beta1.PhaseSucceeded}
	if holds {
		c.Status.Phase = v1beta1.PhaseProgressing
		c.Status.Rollout = &v1beta1.RolloutStatus{ID: "r", Revision: "a", Stage: v1beta1.StageAnalysing, StageSince: metav1.NowMicro()}
	}
	must(t, world.sluice.Status().Update(t.Context(), c))
	eventually(t, func() error {
		var seen v1beta1.Canary
		if err := world.cache.Get(t.Context(), client.ObjectKeyFromObject(c), &seen); err != nil {
			return err
		}
		if seen.Status.Phase != c.Status.Phase {
			return fmt.Errorf("the webhook's cache holds phase %q, want %q", seen.Status.Phase, c.Status.Phase)
		}
		return nil
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// stored reads the Deployment as the API server has it.
func stored(t *testing.T, d client.Object) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("apps/v1")
	u.SetKind("Deployment")
	must(t, world.admin.Get(t.Context(), client.ObjectKeyFromObject(d), u))
	return u
}

// snapshotsOf lists the stored revisions of a target.
func snapshotsOf(t *testing.T, ns, name string) []revision.Stored {
	t.Helper()
	return snapshotsOfTarget(t, ns, revision.Target{Kind: "Deployment", Name: name})
}

func snapshotsOfTarget(t *testing.T, ns string, of revision.Target) []revision.Stored {
	t.Helper()
	var list appsv1.ControllerRevisionList
	selector := revision.Selector(of)
	must(t, world.admin.List(t.Context(), &list, client.InNamespace(ns), client.MatchingLabels(selector)))
	var out []revision.Stored
	for i := range list.Items {
		s, err := revision.Decode(&list.Items[i])
		must(t, err)
		out = append(out, s)
	}
	return out
}

// images lists what the snapshots of a target run, sorted.
func images(t *testing.T, ns, name string) []string {
	t.Helper()
	var out []string
	for _, s := range snapshotsOf(t, ns, name) {
		before, _, _ := strings.Cut(string(s.Template[strings.Index(string(s.Template), `"image":"`)+9:]), `"`)
		out = append(out, before)
	}
	slices.Sort(out)
	return out
}

// manifest is what a person has in a file: no status, no server-set metadata, none of Sluice's additions.
func manifest(ns, name, image string) *unstructured.Unstructured {
	raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(deployment(ns, name, image))
	if err != nil {
		panic(err)
	}
	u := &unstructured.Unstructured{Object: raw}
	without("status")(u)
	without("metadata", "creationTimestamp")(u)
	without("spec", "template", "metadata", "creationTimestamp")(u)
	without("spec", "strategy")(u)
	return u
}

// ways in which people change an image. Each leaves out what Sluice added, as far as the way allows.
var ways = map[string]func(*testing.T, *appsv1.Deployment, string) error{
	"update": func(t *testing.T, d *appsv1.Deployment, image string) error {
		must(t, world.admin.Get(t.Context(), client.ObjectKeyFromObject(d), d))
		d.Spec.Template.Spec.Containers[0].Image = image
		return world.admin.Update(t.Context(), d)
	},
	"replace": func(t *testing.T, d *appsv1.Deployment, image string) error {
		return world.admin.Update(t.Context(), manifest(d.Namespace, d.Name, image))
	},
	"json patch": func(t *testing.T, d *appsv1.Deployment, image string) error {
		raw := fmt.Sprintf(`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":%q}]`, image)
		return world.admin.Patch(t.Context(), d.DeepCopy(), client.RawPatch(types.JSONPatchType, []byte(raw)))
	},
	"strategic merge patch": func(t *testing.T, d *appsv1.Deployment, image string) error {
		raw := fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"app","image":%q}]}}}}`, image)
		return world.admin.Patch(t.Context(), d.DeepCopy(), client.RawPatch(types.StrategicMergePatchType, []byte(raw)))
	},
	"kubectl apply": func(t *testing.T, d *appsv1.Deployment, image string) error {
		return kubectl(t, manifest(d.Namespace, d.Name, image), "apply")
	},
	"kubectl replace": func(t *testing.T, d *appsv1.Deployment, image string) error {
		return kubectl(t, manifest(d.Namespace, d.Name, image), "replace")
	},
	"kubectl apply --server-side": func(t *testing.T, d *appsv1.Deployment, image string) error {
		return kubectl(t, manifest(d.Namespace, d.Name, image), "apply", "--server-side", "--force-conflicts")
	},
	"server-side apply": func(t *testing.T, d *appsv1.Deployment, image string) error {
		return world.admin.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(manifest(d.Namespace, d.Name, image)),
			client.FieldOwner("person"), client.ForceOwnership)
	},
}

// kubectl runs the real command line tool on a manifest, and hands its warnings to the recorder.
func kubectl(t *testing.T, manifest *unstructured.Unstructured, args ...string) error {
	t.Helper()
	raw, err := manifest.MarshalJSON()
	must(t, err)
	tool := filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl")
	cmd := exec.CommandContext(t.Context(), tool, append(args, "--kubeconfig", world.kubeconfig, "-f", "-")...)
	cmd.Stdin = bytes.NewReader(raw)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err = cmd.Run()
	for line := range strings.Lines(stderr.String()) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "Warning: "); ok && strings.HasPrefix(text, warningPrefix) {
			world.warnings.HandleWarningHeader(299, "", text)
		}
	}
	if err != nil {
		return fmt.Errorf("kubectl %q: %w: %s", args, err, &stderr)
	}
	return nil
}

// expectHeld returns the revision that the hold names.
func expectHeld(t *testing.T, d *appsv1.Deployment, image string) string {
	t.Helper()
	u := stored(t, d)
	h := holdOf(u)
	if h == nil || !isPaused(u) || h.Paused {
		t.Fatalf("hold %v, paused %v; want a hold of a Deployment that was not paused", h, isPaused(u))
	}
	if l := u.GetLabels(); l[v1beta1.LabelTracked] != v1beta1.TrackedTarget || l[v1beta1.LabelCanary] != d.Name {
		t.Fatalf("labels %v, want those of a target", l)
	}
	if !strings.Contains(mustJSON(t, u.Object["spec"]), image) {
		t.Fatalf("the change to %s is not stored", image)
	}
	return h.Revision
}

// readsConfigs makes a Deployment reference a ConfigMap and a Secret, which it creates.
func readsConfigs(t *testing.T, ns string) func(*appsv1.Deployment) {
	t.Helper()
	meta := metav1.ObjectMeta{Namespace: ns, Name: "settings"}
	must(t, world.admin.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"key": "value"}}))
	must(t, world.admin.Create(t.Context(), &corev1.Secret{ObjectMeta: meta, StringData: map[string]string{"key": "value"}}))
	named := corev1.LocalObjectReference{Name: "settings"}
	return func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{
			{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: named}},
			{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: named}},
		}
	}
}
