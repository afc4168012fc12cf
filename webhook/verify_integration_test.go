//go:build integration

package webhook

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	admissionregv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// stripped sets somebody else's webhook up in a namespace: it comes after Sluice's and takes off what that has done, also the second time.
func stripped(t *testing.T, ns string) {
	t.Helper()
	var live admissionregv1.MutatingWebhookConfiguration
	must(t, world.admin.Get(t.Context(), types.NamespacedName{Name: "sluice"}, &live))
	url := strings.Replace(*live.Webhooks[0].ClientConfig.URL, PathWorkloads, "/strip", 1)
	c := &admissionregv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "zz-" + ns},
		Webhooks: []admissionregv1.MutatingWebhook{{
			Name:                    "strip.example.org",
			ClientConfig:            admissionregv1.WebhookClientConfig{URL: &url, CABundle: live.Webhooks[0].ClientConfig.CABundle},
			AdmissionReviewVersions: []string{"v1"},
			SideEffects:             ptr.To(admissionregv1.SideEffectClassNone),
			ReinvocationPolicy:      ptr.To(admissionregv1.IfNeededReinvocationPolicy),
			NamespaceSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: ns}},
			Rules: []admissionregv1.RuleWithOperations{
				{Operations: []admissionregv1.OperationType{admissionregv1.Update},
					Rule: admissionregv1.Rule{APIGroups: []string{"apps", ""}, APIVersions: []string{"v1"}, Resources: []string{"deployments", "daemonsets", "configmaps", "secrets"}}},
			},
		}},
	}
	must(t, world.admin.Create(t.Context(), c))
	t.Cleanup(func() { must(t, world.admin.Delete(context.Background(), c)) })
	// It is in force once it takes an annotation off.
	probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "probe"}}
	must(t, world.admin.Create(t.Context(), probe))
	eventually(t, func() error {
		must(t, world.admin.Patch(t.Context(), probe, mergePatch(`{"metadata":{"annotations":{%q:"x"}}}`, v1beta1.AnnotationHold)))
		if probe.Annotations[v1beta1.AnnotationHold] != "" {
			return errors.New("the other webhook is not in force yet")
		}
		return nil
	})
	world.warnings.take()
}

// unheld is how many changes of a kind were seen only in the validating phase.
func unheld(t *testing.T, kind string) (n float64) {
	t.Helper()
	families, err := world.metrics.Gather()
	must(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "sluice_admission_unheld_total" && m.GetLabel()[0].GetValue() == kind {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// Where another webhook takes the hold off, users are taken off the canary instead, and the change is let through.
func TestStrippedTargetIsFenced(t *testing.T) {
	for _, kind := range []string{revision.Deployment, revision.DaemonSet} {
		t.Run(kind, func(t *testing.T) {
			ns := namespace(t)
			u := manifest(ns, "podinfo", "podinfo:1")
			u.SetKind(kind)
			if kind == revision.DaemonSet {
				without("spec", "replicas")(u)
			}
			must(t, world.admin.Create(t.Context(), u.DeepCopy()))
			c := canary(ns, "podinfo")
			c.Spec.TargetRef.Kind = kind
			must(t, world.admin.Create(t.Context(), c))
			setStatus(t, c, true)
			stripped(t, ns)
			now := func() *unstructured.Unstructured {
				have := u.DeepCopy()
				must(t, world.admin.Get(t.Context(), client.ObjectKeyFromObject(u), have))
				return have
			}
			before, counted, atFence := now().GetResourceVersion(), unheld(t, kind), ""
			world.fencer.do(func(context.Context, *v1beta1.Canary, v1beta1.Fence) error {
				atFence = now().GetResourceVersion()
				return nil
			})
			defer world.fencer.do(nil)
			image("2")(u)
			must(t, world.admin.Update(t.Context(), u.DeepCopy()))
			if isHeld(now()) {
				t.Fatal("the change is held: the other webhook does nothing")
			}
			if got := world.fencer.of(ns, "podinfo"); len(got) != 1 || got[0] != strings.ToLower(kind)+"/podinfo" || atFence != before {
				t.Errorf("fences %q at version %s; want one for the %s while it was at %s", got, atFence, kind, before)
			}
			if w := world.warnings.take(); !strings.Contains(strings.Join(w, "\n"), "this change could not be held") {
				t.Errorf("warnings %q, want one that says so", w)
			}
			if n := unheld(t, kind) - counted; n != 1 {
				t.Errorf("%v changes counted, want one", n)
			}
		})
	}
}

// The same for a config, also a large one; and nothing of it under dry run.
func TestStrippedConfigIsFenced(t *testing.T) {
	ns := namespace(t)
	settings(t, ns)
	reader(t, ns, "podinfo", v1beta1.StageAnalysing)
	stripped(t, ns)
	for _, tt := range []struct{ kind, field, value string }{
		{"ConfigMap", "data", "b"}, {"ConfigMap", "binaryData", base64Of("b")}, {"Secret", "stringData", "b"},
		{"Secret", "data", base64Of(strings.Repeat("x", 900<<10))},
	} {
		counted, asked := unheld(t, tt.kind), calls(t, PathVerifyConfigs)
		changed := configManifest(ns, tt.kind, tt.field, tt.value)
		// A busy machine may need more than the time of one call for the largest object.
		eventually(t, func() error {
			must(t, world.admin.Update(t.Context(), changed.DeepCopy(), client.DryRunAll))
			if n := calls(t, PathVerifyConfigs) - asked; n == 0 {
				return errors.New("the validating phase was not asked")
			}
			return nil
		})
		if n := unheld(t, tt.kind) - counted; n != 0 {
			t.Errorf("%s: %v changes counted under dry run", tt.kind, n)
		}
		must(t, world.admin.Update(t.Context(), changed))
		if n := unheld(t, tt.kind) - counted; n != 1 {
			t.Errorf("%s %s: %v changes counted, want one", tt.kind, tt.field, n)
		}
		if w := world.warnings.take(); !strings.Contains(strings.Join(w, "\n"), "this change could not be held") {
			t.Errorf("warnings %q, want one that says so", w)
		}
	}
}

// Where the mutating phase never comes, the validating one stores what is replaced.
func TestValidatingPhaseAlone(t *testing.T) {
	ns := namespace(t)
	settings(t, ns)
	reader(t, ns, "podinfo", v1beta1.StageAnalysing)
	must(t, world.admin.DeleteAllOf(t.Context(), &appsv1.ControllerRevision{}, client.InNamespace(ns)))
	setExcluded(t, func(names []string) []string { return append(names, ns) })
	t.Cleanup(func() {
		setExcluded(t, func(names []string) []string { return slices.DeleteFunc(names, func(n string) bool { return n == ns }) })
	})
	d := deployment(ns, "podinfo", "")
	eventually(t, func() error {
		asked := calls(t, PathWorkloads)
		must(t, world.admin.Patch(t.Context(), d.DeepCopy(), mergePatch(`{"metadata":{"labels":{"sluice.dev/canary":"x"}}}`)))
		if calls(t, PathWorkloads) > asked {
			return errors.New("the mutating phase is still asked")
		}
		return nil
	})
	must(t, ways["json patch"](t, d, "podinfo:2"))
	must(t, configWays["patch"](t, configManifest(ns, "ConfigMap", "data", "b")))
	if got := strings.Join(world.fencer.of(ns, "podinfo"), " "); got != "deployment/podinfo configmap/settings" {
		t.Errorf("fences %q, want one for the Deployment and one for the ConfigMap", got)
	}
	if got := images(t, ns, "podinfo"); len(got) == 0 || got[0] != "podinfo:1" {
		t.Errorf("snapshots of %q, want the one before", got)
	}
}

// setExcluded changes the namespaces that the mutating phase leaves alone.
func setExcluded(t *testing.T, change func([]string) []string) {
	t.Helper()
	var live admissionregv1.MutatingWebhookConfiguration
	must(t, world.admin.Get(context.Background(), types.NamespacedName{Name: "sluice"}, &live))
	base := live.DeepCopy()
	for i := range live.Webhooks {
		e := &live.Webhooks[i].NamespaceSelector.MatchExpressions[0]
		e.Values = change(e.Values)
	}
	must(t, world.admin.Patch(context.Background(), &live, client.StrategicMergeFrom(base)))
}
