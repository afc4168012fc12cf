//go:build integration

package webhook

import (
	"encoding/base64"
	"errors"
	"fmt"
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

// reader creates a Deployment that reads the ConfigMap and the Secret "settings", which exist, and its Canary, and brings the Canary to the status
// that the reconciler would give it: idle without a stage, in the middle of a rollout otherwise.
func reader(t *testing.T, ns, name string, stage v1beta1.Stage) *v1beta1.Canary {
	t.Helper()
	d := deployment(ns, name, "podinfo:1")
	named := corev1.LocalObjectReference{Name: "settings"}
	d.Spec.Template.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{
		{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: named}},
		{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: named}},
	}
	must(t, world.admin.Create(t.Context(), d))
	c := canary(ns, name)
	must(t, world.admin.Create(t.Context(), c))
	baseline := snapshotsOf(t, ns, name)[0]
	c.Status = v1beta1.CanaryStatus{Phase: v1beta1.PhaseSucceeded, TrackedConfigs: baseline.ConfigDigests()}
	c.Status.CurrentRevision = baseline.Digest
	if stage != "" {
		c.Status.Phase = v1beta1.PhaseProgressing
		c.Status.Rollout = &v1beta1.RolloutStatus{ID: "r", Revision: baseline.Digest, Stage: stage, StageSince: metav1.NowMicro()}
	}
	tell(t, c)
	eventually(t, func() error {
		return world.cache.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: baseline.Name}, &appsv1.ControllerRevision{})
	})
	world.warnings.take()
	return c
}

// tell writes the status of a Canary and waits until the webhook has it.
func tell(t *testing.T, c *v1beta1.Canary) {
	t.Helper()
	must(t, world.sluice.Status().Update(t.Context(), c))
	eventually(t, func() error {
		var seen v1beta1.Canary
		if err := world.cache.Get(t.Context(), client.ObjectKeyFromObject(c), &seen); err != nil {
			return err
		}
		if seen.ResourceVersion != c.ResourceVersion {
			return errors.New("the status is not in the webhook's cache")
		}
		return nil
	})
}

// settings creates the configs that a reader reads.
func settings(t *testing.T, ns string) {
	t.Helper()
	readsConfigs(t, ns)
}

// configManifest is a config as a person has it in a file, with one key in one of its fields.
func configManifest(ns, kind, field, value string) *unstructured.Unstructured {
	key := "key"
	if field == "binaryData" {
		// The other one may be in the stored object.
		key = "binary"
	}
	u := &unstructured.Unstructured{Object: map[string]any{field: map[string]any{key: value}}}
	u.SetAPIVersion("v1")
	u.SetKind(kind)
	u.SetNamespace(ns)
	u.SetName("settings")
	return u
}

// storedConfig reads a config as the API server has it.
func storedConfig(t *testing.T, ns, kind string) *unstructured.Unstructured {
	t.Helper()
	u := configManifest(ns, kind, "data", "")
	must(t, world.admin.Get(t.Context(), client.ObjectKeyFromObject(u), u))
	return u
}

// contentDigest is the digest of a stored config.
func contentDigest(t *testing.T, u *unstructured.Unstructured) string {
	t.Helper()
	c, err := readConfig(u.GetKind(), rawOf(t, u))
	must(t, err)
	return c.Content.Digest
}

func rawOf(t *testing.T, u *unstructured.Unstructured) runtime.RawExtension {
	t.Helper()
	raw, err := u.MarshalJSON()
	must(t, err)
	return runtime.RawExtension{Raw: raw}
}

// expectTracked holds that a config carries the label, and the stamp of its last change.
func expectTracked(t *testing.T, u *unstructured.Unstructured, by string) {
	t.Helper()
	if got := u.GetLabels()[v1beta1.LabelTracked]; got != v1beta1.TrackedConfig {
		t.Errorf("labels %v, want those of a tracked config", u.GetLabels())
	}
	if got, want := u.GetAnnotations()[v1beta1.AnnotationAdmitted], (v1beta1.Admitted{By: by, Digest: contentDigest(t, u)}).String(); got != want {
		t.Errorf("stamp %s, want %s", got, want)
	}
}

// expectWarned holds that the warnings since the last time are these, in part and in order.
func expectWarned(t *testing.T, want ...string) {
	t.Helper()
	if got := world.warnings.take(); !slices.EqualFunc(got, want, strings.Contains) {
		t.Errorf("warnings %q, want %q", got, want)
	}
}

func base64Of(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// configWays are the ways in which people change a config. Each leaves out what Sluice added, as far as the way allows.
var configWays = map[string]func(*testing.T, *unstructured.Unstructured) error{
	"replace":         func(t *testing.T, u *unstructured.Unstructured) error { return world.admin.Update(t.Context(), u) },
	"kubectl apply":   func(t *testing.T, u *unstructured.Unstructured) error { return kubectl(t, u, "apply") },
	"kubectl replace": func(t *testing.T, u *unstructured.Unstructured) error { return kubectl(t, u, "replace") },
	"kubectl server-side": func(t *testing.T, u *unstructured.Unstructured) error {
		return kubectl(t, u, "apply", "--server-side", "--force-conflicts")
	},
	"Argo CD": func(t *testing.T, u *unstructured.Unstructured) error { return applyAs(t, u, "argocd-controller") },
	"Flux":    func(t *testing.T, u *unstructured.Unstructured) error { return applyAs(t, u, "kustomize-controller") },
	"patch": func(t *testing.T, u *unstructured.Unstructured) error {
		return world.admin.Patch(t.Context(), u.DeepCopy(), client.RawPatch(types.MergePatchType, rawOf(t, u).Raw))
	},
}

func applyAs(t *testing.T, u *unstructured.Unstructured, manager string) error {
	return world.admin.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(u.DeepCopy()), client.FieldOwner(manager), client.ForceOwnership)
}

// copyOf reads what the copy of a config holds in a snapshot of a target.
func copyOf(t *testing.T, ns string, s revision.Stored, key string) map[string]string {
	t.Helper()
	for _, c := range s.Configs {
		if c.Key() != key {
			continue
		}
		if c.Kind == revision.Secret {
			var o corev1.Secret
			must(t, world.admin.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: c.Copy}, &o))
			out := map[string]string{}
			for k, v := range o.Data {
				out[k] = string(v)
			}
			return out
		}
		var o corev1.ConfigMap
		must(t, world.admin.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: c.Copy}, &o))
		return o.Data
	}
	t.Fatal(fmt.Errorf("snapshot %s has no %s", s.Name, key))
	return nil
}
