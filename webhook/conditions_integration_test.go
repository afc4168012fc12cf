//go:build integration

package webhook

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	admissionregv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/testserver"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

// shipped reads the mutating configuration from its file, and gives calls the time that they have here.
func shipped(t *testing.T) *admissionregv1.MutatingWebhookConfiguration {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "manifests", "base", "webhook", "mutating.yaml"))
	must(t, err)
	var c admissionregv1.MutatingWebhookConfiguration
	must(t, yaml.UnmarshalStrict(raw, &c))
	for i := range c.Webhooks {
		c.Webhooks[i].TimeoutSeconds = new(testserver.WebhookTimeout)
	}
	return &c
}

func mergePatch(format string, args ...any) client.Patch {
	return client.RawPatch(types.MergePatchType, fmt.Appendf(nil, format, args...))
}

// Requests that cannot matter are answered within the API server.
func TestIrrelevantRequestsAreNotAsked(t *testing.T) {
	ns := namespace(t)
	d := tracked(t, ns, "podinfo", true)
	patched := func(format string, args ...any) func() error {
		return func() error { return world.admin.Patch(t.Context(), d.DeepCopy(), mergePatch(format, args...)) }
	}
	untrackedOne := deployment(ns, "other", "podinfo:1")
	must(t, world.admin.Create(t.Context(), untrackedOne))
	steps := []struct {
		name string
		do   func() error
	}{
		{"replicas", patched(`{"spec":{"replicas":7}}`)},
		{"scale", func() error {
			scale := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: 3}}
			return world.admin.SubResource("scale").Update(t.Context(), d.DeepCopy(), client.WithSubResourceBody(scale))
		}},
		{"a label of the user's", patched(`{"metadata":{"labels":{"team":"b"}}}`)},
		{"the revision that the Deployment controller notes", patched(`{"metadata":{"annotations":{"deployment.kubernetes.io/revision":"4"}}}`)},
		{"a pause without a hold", patched(`{"spec":{"paused":true}}`)},
		{"strategy", patched(`{"spec":{"strategy":{"type":"Recreate","rollingUpdate":null},"paused":false}}`)},
		{"a finalizer", patched(`{"metadata":{"finalizers":["example.org/wait"]}}`)},
		{"status", func() error {
			current := &appsv1.Deployment{}
			if err := world.admin.Get(t.Context(), client.ObjectKeyFromObject(d), current); err != nil {
				return err
			}
			current.Status.ObservedGeneration = current.Generation
			return world.admin.Status().Update(t.Context(), current)
		}},
		{"no change at all", patched(`{}`)},
		{"a Deployment without the label", func() error { return ways["json patch"](t, untrackedOne, "podinfo:2") }},
		{"a new Deployment where no Canary is", func() error { return world.admin.Create(t.Context(), deployment(namespace(t), "new", "podinfo:1")) }},
	}
	for _, s := range steps {
		before := calls(t, PathWorkloads)
		must(t, s.do())
		if n := calls(t, PathWorkloads) - before; n != 0 {
			t.Errorf("%s: %v calls, want none", s.name, n)
		}
	}
	// The deletion is asked about, but once the object is on its way out nothing is: neither a change nor the end of its finalizer.
	must(t, world.admin.Delete(t.Context(), d))
	before := calls(t, PathWorkloads)
	must(t, ways["json patch"](t, d, "podinfo:9"))
	must(t, world.admin.Patch(t.Context(), d.DeepCopy(), mergePatch(`{"metadata":{"finalizers":null}}`)))
	if n := calls(t, PathWorkloads) - before; n != 0 {
		t.Errorf("an object that is being deleted: %v calls, want none", n)
	}
}

// Each difference that matters makes a call.
func TestRelevantRequestsAreAsked(t *testing.T) {
	ns := namespace(t)
	d := tracked(t, ns, "podinfo", true)
	held := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}},"spec":{"paused":true}}`, v1beta1.AnnotationHold, heldByB)
	must(t, world.sluice.Patch(t.Context(), d.DeepCopy(), mergePatch("%s", held)))
	for _, patch := range []string{
		`{"spec":{"template":{"metadata":{"annotations":{"a":"b"}}}}}`,
		`{"spec":{"paused":false}}`,
		`{"metadata":{"labels":{"sluice.dev/tracked":null}}}`,
		`{"metadata":{"labels":{"sluice.dev/canary":"other"}}}`,
		`{"metadata":{"labels":null}}`,
		`{"metadata":{"annotations":{"sluice.dev/hold":null}}}`,
		`{"metadata":{"annotations":null}}`,
	} {
		before := calls(t, PathWorkloads)
		must(t, world.admin.Patch(t.Context(), d.DeepCopy(), mergePatch("%s", patch)))
		if n := calls(t, PathWorkloads) - before; n == 0 {
			t.Errorf("%s: no call", patch)
		}
		expectHeld(t, d, "podinfo:1")
	}
}

// A condition that costs too much counts as false, so the largest objects must be affordable.
func TestConditionsAffordLargeTemplates(t *testing.T) {
	ns := namespace(t)
	large := func(d *appsv1.Deployment) {
		d.Spec.Template.Annotations = map[string]string{"blob": strings.Repeat("x", 250<<10)}
		for i := range 4000 {
			env := corev1.EnvVar{Name: fmt.Sprintf("VARIABLE_%d", i), Value: strings.Repeat("v", 100)}
			d.Spec.Template.Spec.Containers[0].Env = append(d.Spec.Template.Spec.Containers[0].Env, env)
		}
	}
	d := tracked(t, ns, "podinfo", true, large)
	// The first difference is in the last field that is compared. A busy machine may need more than the time of one call for an object of this
	// size, so there is more than one.
	attempt := 0
	eventually(t, func() error {
		attempt++
		must(t, world.admin.Patch(t.Context(), d.DeepCopy(), client.RawPatch(types.JSONPatchType,
			fmt.Appendf(nil, `[{"op":"replace","path":"/spec/template/spec/containers/0/env/3999/value","value":"attempt %d"}]`, attempt))))
		if holdOf(stored(t, d)) == nil {
			return fmt.Errorf("change %d is not held", attempt)
		}
		return nil
	})
}

// Under dry run the answer is the same, and nothing is written anywhere.
func TestDryRunWritesNothing(t *testing.T) {
	ns := namespace(t)
	d := tracked(t, ns, "podinfo", true, readsConfigs(t, ns))
	fresh := deployment(ns, "fresh", "podinfo:1")
	must(t, world.admin.Create(t.Context(), fresh))
	must(t, world.admin.DeleteAllOf(t.Context(), &appsv1.ControllerRevision{}, client.InNamespace(ns)))
	before := everything(t, ns)

	tried := d.DeepCopy()
	must(t, world.admin.Patch(t.Context(), tried, mergePatch(`{"spec":{"template":{"metadata":{"annotations":{"a":"b"}}}}}`), client.DryRunAll))
	if !tried.Spec.Paused || tried.Annotations[v1beta1.AnnotationHold] == "" {
		t.Error("the dry run does not show the hold")
	}
	if w := world.warnings.take(); len(w) != 1 || !strings.Contains(w[0], "held until") {
		t.Errorf("warnings %q, want one about the hold", w)
	}
	must(t, world.admin.Create(t.Context(), canary(ns, "fresh"), client.DryRunAll))
	must(t, world.admin.Delete(t.Context(), d.DeepCopy(), client.DryRunAll))
	if w := world.warnings.take(); len(w) == 0 || !strings.Contains(strings.Join(w, "\n"), "the last revision is kept") {
		t.Errorf("warnings %q, want one about the deletion", w)
	}
	if now := everything(t, ns); !maps.Equal(before, now) {
		t.Errorf("objects differ:\nbefore %v\nafter  %v", before, now)
	}
}

// everything maps the objects of a namespace, of all kinds that can be listed, to their resource versions.
func everything(t *testing.T, ns string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, gvk := range [][3]string{
		{"", "v1", "ConfigMap"}, {"", "v1", "Secret"}, {"", "v1", "Service"}, {"", "v1", "Event"}, {"apps", "v1", "Deployment"},
		{"apps", "v1", "ControllerRevision"}, {"flagger.app", "v1beta1", "Canary"},
	} {
		list := &unstructured.UnstructuredList{}
		list.SetAPIVersion(strings.TrimPrefix(gvk[0]+"/"+gvk[1], "/"))
		list.SetKind(gvk[2])
		must(t, world.admin.List(t.Context(), list, client.InNamespace(ns)))
		for _, o := range list.Items {
			out[o.GetKind()+"/"+o.GetName()] = o.GetResourceVersion()
		}
	}
	return out
}

// A defect in a handler lets the request through.
func TestPanicLetsThrough(t *testing.T) {
	ns := namespace(t)
	broken := shipped(t)
	broken.Name = "broken"
	broken.Webhooks = broken.Webhooks[:1]
	var live admissionregv1.MutatingWebhookConfiguration
	must(t, world.admin.Get(t.Context(), types.NamespacedName{Name: "sluice"}, &live))
	url := strings.Replace(*live.Webhooks[0].ClientConfig.URL, PathWorkloads, "/panic", 1)
	broken.Webhooks[0].ClientConfig = admissionregv1.WebhookClientConfig{URL: &url, CABundle: live.Webhooks[0].ClientConfig.CABundle}
	broken.Webhooks[0].ObjectSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"panic": "true"}}
	// Even where the configuration would refuse a failed call.
	broken.Webhooks[0].FailurePolicy = ptr.To(admissionregv1.Fail)
	must(t, world.admin.Create(t.Context(), broken))
	t.Cleanup(func() { must(t, world.admin.Delete(context.Background(), broken)) })
	d := deployment(ns, "podinfo", "podinfo:1")
	d.Labels = map[string]string{"panic": "true"}
	must(t, world.admin.Create(t.Context(), d))
	eventually(t, func() error {
		must(t, world.admin.Patch(t.Context(), d.DeepCopy(), mergePatch(`{"spec":{"template":{"metadata":{"annotations":{"n":%q}}}}}`, fmt.Sprint(calls(t, "/panic")))))
		must(t, world.admin.Patch(t.Context(), d.DeepCopy(), mergePatch(`{"spec":{"template":{"metadata":{"annotations":{"n":null}}}}}`)))
		if w := world.warnings.take(); len(w) != 2 || !strings.Contains(w[0], "it is allowed") {
			return fmt.Errorf("warnings %q, want one for each request", w)
		}
		return nil
	})
}

// A new Deployment is labelled where its Canary is waiting for it. The webhook reaches the namespaces that hold Canaries, also after the
// configuration was applied anew, and no others.
func TestNewTargetIsLabelled(t *testing.T) {
	ns := namespace(t)
	c := canary(ns, "podinfo")
	must(t, world.admin.Create(t.Context(), c))
	if w := world.warnings.take(); !slices.ContainsFunc(w, func(l string) bool {
		return strings.Contains(l, "Deployment/podinfo") && strings.Contains(l, "does not exist")
	}) {
		t.Errorf("warnings %q, want one about the missing target", w)
	}
	setStatus(t, c, false)
	eventually(t, func() error {
		d := deployment(ns, "podinfo", "podinfo:1")
		must(t, world.admin.Create(t.Context(), d))
		if d.Labels[v1beta1.LabelTracked] != v1beta1.TrackedTarget || d.Labels[v1beta1.LabelCanary] != "podinfo" {
			must(t, world.admin.Delete(t.Context(), d))
			return fmt.Errorf("labels %v, want those of a target", d.Labels)
		}
		return nil
	})
	other := deployment(ns, "other", "podinfo:1")
	must(t, world.admin.Create(t.Context(), other))
	if len(other.Labels) > 0 {
		t.Errorf("labels %v on a Deployment that no Canary names", other.Labels)
	}

	must(t, world.admin.Patch(t.Context(), shipped(t), client.RawPatch(types.JSONPatchType,
		[]byte(`[{"op":"replace","path":"/webhooks/1/namespaceSelector/matchExpressions/1/values","value":["no_namespace"]}]`))))
	eventually(t, func() error { return expectReach(t, ns, true) })
	must(t, world.admin.Delete(t.Context(), c))
	eventually(t, func() error { return expectReach(t, ns, false) })
}

// awaitReach waits until new Deployments of a namespace are asked about: the API server learns of a changed configuration a moment after it is stored.
func awaitReach(t *testing.T, ns string) {
	t.Helper()
	eventually(t, func() error { return newTargetsAsked(t.Context(), t, ns) })
}

// newTargetsAsked tells whether new Deployments of a namespace are asked about.
func newTargetsAsked(ctx context.Context, t *testing.T, ns string) error {
	t.Helper()
	before := calls(t, PathWorkloads)
	probe := deployment(ns, "probe", "podinfo:1")
	if err := world.admin.Create(ctx, probe, client.DryRunAll); err != nil {
		return err
	}
	world.warnings.take()
	if calls(t, PathWorkloads) == before {
		return fmt.Errorf("new Deployments in %s are not asked about", ns)
	}
	return nil
}

// expectReach tells whether the webhook for new Deployments reaches a namespace.
func expectReach(t *testing.T, ns string, want bool) error {
	t.Helper()
	var live admissionregv1.MutatingWebhookConfiguration
	must(t, world.admin.Get(t.Context(), types.NamespacedName{Name: "sluice"}, &live))
	names := live.Webhooks[1].NamespaceSelector.MatchExpressions[1].Values
	if slices.Contains(names, ns) != want {
		return fmt.Errorf("the webhook reaches %q; want %s: %v", names, ns, want)
	}
	return nil
}
