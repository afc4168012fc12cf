//go:build integration

package webhook

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	admissionregv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Requests on configs that cannot matter are answered within the API server.
func TestIrrelevantConfigRequestsAreNotAsked(t *testing.T) {
	ns := namespace(t)
	settings(t, ns)
	reader(t, ns, "podinfo", v1beta1.StageAnalysing)
	other := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "other"}, Data: map[string]string{"key": "a"}}
	copied := other.DeepCopy()
	copied.Name, copied.Labels = "settings-primary-12345678", map[string]string{v1beta1.LabelTracked: v1beta1.TrackedCopy}
	patched := func(u client.Object, format string, args ...any) func() error {
		return func() error { return world.admin.Patch(t.Context(), u, mergePatch(format, args...)) }
	}
	config := func(kind string) *unstructured.Unstructured { return configManifest(ns, kind, "data", "") }
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"a new config that nobody waits for", func() error { return world.admin.Create(t.Context(), other) }},
		{"a change of it", patched(other.DeepCopy(), `{"data":{"key":"b"}}`)},
		{"its deletion", func() error { return world.admin.Delete(t.Context(), other) }},
		{"a new copy", func() error { return world.admin.Create(t.Context(), copied) }},
		{"the deletion of a copy", func() error { return world.admin.Delete(t.Context(), copied) }},
		{"a label of the user's", patched(config("ConfigMap"), `{"metadata":{"labels":{"team":"b"}}}`)},
		{"an annotation of the user's", patched(config("Secret"), `{"metadata":{"annotations":{"note":"b"}}}`)},
		{"a finalizer", patched(config("Secret"), `{"metadata":{"finalizers":["example.org/wait"]}}`)},
		{"immutability", patched(config("ConfigMap"), `{"immutable":true}`)},
		{"no change at all", patched(config("ConfigMap"), `{}`)},
		{"the same content", patched(config("ConfigMap"), `{"data":{"key":"value"}}`)},
		{"a Secret's same content", patched(config("Secret"), `{"stringData":{"key":"value"}}`)},
		{"Sluice's own change", func() error {
			return world.sluice.Patch(t.Context(), config("Secret"), mergePatch(`{"stringData":{"key":"other"},"metadata":{"labels":null}}`))
		}},
	} {
		before := calls(t, PathConfigs) + calls(t, PathVerifyConfigs)
		must(t, step.do())
		if n := calls(t, PathConfigs) + calls(t, PathVerifyConfigs) - before; n != 0 {
			t.Errorf("%s: %v calls, want none", step.name, n)
		}
	}
}

// What is on its way out is nobody's business any more.
func TestConfigBeingDeletedIsNotAsked(t *testing.T) {
	ns := namespace(t)
	settings(t, ns)
	reader(t, ns, "podinfo", v1beta1.StageAnalysing)
	u := configManifest(ns, "Secret", "data", "")
	must(t, world.admin.Patch(t.Context(), u, mergePatch(`{"metadata":{"finalizers":["example.org/wait"]}}`)))
	must(t, world.admin.Delete(t.Context(), u))
	// The API server first tries a patch on what its cache holds, which may be the Secret from before its deletion for a moment.
	eventually(t, func() error {
		secret, cached := &corev1.Secret{}, &client.GetOptions{Raw: &metav1.GetOptions{ResourceVersion: "0"}}
		if err := world.admin.Get(t.Context(), client.ObjectKeyFromObject(u), secret, cached); err != nil {
			return err
		}
		if secret.DeletionTimestamp == nil {
			return errors.New("the cache of the API server does not know the deletion yet")
		}
		return nil
	})
	before := calls(t, PathConfigs) + calls(t, PathVerifyConfigs)
	must(t, world.admin.Patch(t.Context(), u, mergePatch(`{"stringData":{"key":"b"}}`)))
	must(t, world.admin.Patch(t.Context(), u, mergePatch(`{"metadata":{"finalizers":null}}`)))
	if n := calls(t, PathConfigs) + calls(t, PathVerifyConfigs) - before; n != 0 {
		t.Errorf("%v calls, want none", n)
	}
}

// Each difference that matters makes a call.
func TestRelevantConfigRequestsAreAsked(t *testing.T) {
	ns := namespace(t)
	settings(t, ns)
	reader(t, ns, "podinfo", "")
	for _, kind := range []string{"ConfigMap", "Secret"} {
		for _, patch := range []string{
			`{"data":{"key":"Yg=="}}`, `{"data":{"more":"Yg=="}}`, `{"data":{"key":null}}`, `{"data":null}`,
			`{"metadata":{"labels":null}}`, `{"metadata":{"labels":{"sluice.dev/tracked":"copy"}}}`,
			`{"metadata":{"annotations":{"flagger.app/config-tracking":"disabled"}}}`, `{"metadata":{"annotations":{"sluice.dev/rotation":"direct"}}}`,
			`{"metadata":{"annotations":null}}`,
		} {
			before := calls(t, PathConfigs)
			must(t, world.admin.Patch(t.Context(), configManifest(ns, kind, "data", ""), mergePatch("%s", patch)))
			if n := calls(t, PathConfigs) - before; n == 0 {
				t.Errorf("%s %s: no call", kind, patch)
			}
			if l := storedConfig(t, ns, kind).GetLabels(); l[v1beta1.LabelTracked] != v1beta1.TrackedConfig {
				t.Errorf("%s %s: labels %v, want the config tracked", kind, patch, l)
			}
		}
	}
}

// A config that a Canary waits for is tracked and fenced from its first moment; no other new config is asked about, also none of the same name
// elsewhere.
func TestAwaitedConfig(t *testing.T) {
	ns, elsewhere := namespace(t), namespace(t)
	settings(t, ns)
	c := reader(t, ns, "podinfo", v1beta1.StageAnalysing)
	reader(t, elsewhereWithSettings(t, elsewhere), "podinfo", "")
	c.Status.AwaitedConfigs = []string{"configmap/flags", "secret/token"}
	tell(t, c)
	eventually(t, func() error { return expectAwaited(t, true, "configmaps/"+ns+"/flags", "secrets/"+ns+"/token") })
	for _, kind := range []string{"ConfigMap", "Secret"} {
		name := map[string]string{"ConfigMap": "flags", "Secret": "token"}[kind]
		fresh := func(ns, kind, name string) *unstructured.Unstructured {
			u := configManifest(ns, kind, "data", "Yg==")
			u.SetName(name)
			return u
		}
		var u *unstructured.Unstructured
		// The API server learns of a changed configuration a moment after it is stored.
		eventually(t, func() error {
			u = fresh(ns, kind, name)
			must(t, world.admin.Create(t.Context(), u))
			if u.GetLabels()[v1beta1.LabelTracked] == "" {
				must(t, world.admin.Delete(t.Context(), u))
				return fmt.Errorf("%s %s is not labelled", kind, name)
			}
			return nil
		})
		expectTracked(t, u, "admin")
		if got := world.fencer.of(ns, "podinfo"); !slices.Contains(got, strings.ToLower(kind)+"/"+name) {
			t.Errorf("fences %q, want one for %s %s", got, kind, name)
		}
		expectWarned(t, "users leave the canary of podinfo")
		before := calls(t, PathConfigs)
		must(t, world.admin.Create(t.Context(), fresh(elsewhere, kind, name)))
		must(t, world.admin.Create(t.Context(), fresh(ns, kind, name+"-not")))
		generated := fresh(ns, kind, "")
		generated.SetGenerateName(name)
		must(t, world.admin.Create(t.Context(), generated))
		if n := calls(t, PathConfigs) - before; n != 0 {
			t.Errorf("%v calls about what nobody waits for", n)
		}
	}
	c.Status.AwaitedConfigs = nil
	tell(t, c)
	eventually(t, func() error { return expectAwaited(t, false, "configmaps/"+ns+"/flags") })
}

func elsewhereWithSettings(t *testing.T, ns string) string {
	t.Helper()
	settings(t, ns)
	return ns
}

// expectAwaited tells whether the condition for new configs names objects, and its selector their namespace.
func expectAwaited(t *testing.T, want bool, names ...string) error {
	t.Helper()
	var live admissionregv1.MutatingWebhookConfiguration
	must(t, world.admin.Get(t.Context(), types.NamespacedName{Name: "sluice"}, &live))
	i := slices.IndexFunc(live.Webhooks, func(w admissionregv1.MutatingWebhook) bool { return w.Name == newConfigsWebhook })
	w := live.Webhooks[i]
	condition, namespaces := w.MatchConditions[len(w.MatchConditions)-1].Expression, w.NamespaceSelector.MatchExpressions[1].Values
	for _, n := range names {
		ns := strings.Split(n, "/")[1]
		if strings.Contains(condition, n) != want || slices.Contains(namespaces, ns) != want {
			return fmt.Errorf("the webhook asks about %s in %q; want %s: %v", condition, namespaces, n, want)
		}
	}
	return nil
}

// The API server takes the longest condition that is ever written, and what it costs is affordable.
func TestLongestCondition(t *testing.T) {
	var many []string
	for i := range maxAwaited {
		many = append(many, fmt.Sprintf("configmaps/%s/%s-%03d", strings.Repeat("n", 63), strings.Repeat("c", 249), i))
	}
	ns := namespace(t)
	last := "configmaps/" + ns + "/zzz"
	many[0] = last
	config := shipped(t)
	config.Name = "longest"
	i := slices.IndexFunc(config.Webhooks, func(w admissionregv1.MutatingWebhook) bool { return w.Name == newConfigsWebhook })
	config.Webhooks = config.Webhooks[i : i+1]
	w := &config.Webhooks[0]
	var live admissionregv1.MutatingWebhookConfiguration
	must(t, world.admin.Get(t.Context(), types.NamespacedName{Name: "sluice"}, &live))
	w.ClientConfig = live.Webhooks[i].ClientConfig
	narrow(config, map[string]webhookReach{newConfigsWebhook: {namespaces: []string{ns}, awaited: many}})
	must(t, world.admin.Create(t.Context(), config))
	defer func() { must(t, world.admin.Delete(t.Context(), config)) }()
	eventually(t, func() error {
		before := calls(t, PathConfigs)
		u := configManifest(ns, "ConfigMap", "data", "a")
		u.SetName("zzz")
		must(t, world.admin.Create(t.Context(), u))
		must(t, world.admin.Delete(t.Context(), u))
		if calls(t, PathConfigs) == before {
			return fmt.Errorf("%s is not asked about", last)
		}
		return nil
	})
	before := calls(t, PathConfigs)
	must(t, world.admin.Create(t.Context(), configManifest(ns, "ConfigMap", "data", "a")))
	if calls(t, PathConfigs) != before {
		t.Error("a config that is not in the condition is asked about")
	}
}
