//go:build integration

package webhook

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// A refused Canary is told every problem, each with field, value and remedy.
func TestRefusalSaysWhatToDo(t *testing.T) {
	ns := namespace(t)
	must(t, world.admin.Create(t.Context(), deployment(ns, "podinfo", "podinfo:1")))
	wrong := canary(ns, "podinfo")
	wrong.Spec.Provider = "knative"
	wrong.Spec.Analysis.Metrics = []v1beta1.CanaryMetric{{Name: "mine"}}
	err := world.admin.Create(t.Context(), wrong)
	if !apierrors.IsInvalid(err) {
		t.Fatalf("error %v, want a refusal", err)
	}
	for _, want := range []string{
		"canaries.sluice.dev", "2 problems\n",
		"\nspec.provider: \"knative\" is not available in this version; use one of ",
		"\nspec.analysis.metrics[0].name: \"mine\" is not built in; use ",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
	if l := stored(t, deployment(ns, "podinfo", "")).GetLabels(); len(l) > 0 {
		t.Errorf("a refused Canary left labels %v on its target", l)
	}
	if n := len(snapshotsOf(t, ns, "podinfo")); n > 0 {
		t.Errorf("a refused Canary left %d snapshots", n)
	}
}

// Of two Canaries on one target the second is refused, however quickly it follows.
func TestSecondCanaryOnOneTarget(t *testing.T) {
	ns := namespace(t)
	must(t, world.admin.Create(t.Context(), deployment(ns, "podinfo", "podinfo:1")))
	must(t, world.admin.Create(t.Context(), canary(ns, "podinfo")))
	second := canary(ns, "podinfo")
	second.Name = "again"
	err := world.admin.Create(t.Context(), second)
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), `spec.targetRef: "Deployment/podinfo" is already the target of Canary podinfo; delete one of the two`) {
		t.Errorf("error %v, want a refusal that names the first Canary", err)
	}
}

// What may still arrive is a warning.
func TestMissingReferencesAreWarnings(t *testing.T) {
	ns := namespace(t)
	c := canary(ns, "podinfo")
	c.Spec.AutoscalerRef = &v1beta1.AutoscalerReference{LocalObjectReference: v1beta1.LocalObjectReference{
		APIVersion: "autoscaling/v2", Kind: "HorizontalPodAutoscaler", Name: "podinfo"}}
	c.Spec.Analysis.Metrics = []v1beta1.CanaryMetric{{Name: "mine", TemplateRef: &v1beta1.CrossNamespaceReference{Name: "rate"}}}
	world.warnings.take()
	must(t, world.admin.Create(t.Context(), c))
	got := strings.Join(world.warnings.take(), "\n")
	for _, want := range []string{
		`Sluice: spec.targetRef: "Deployment/podinfo" does not exist`,
		`Sluice: spec.autoscalerRef: "HorizontalPodAutoscaler/podinfo" does not exist`,
		`Sluice: spec.analysis.metrics[0].templateRef: "MetricTemplate/rate" does not exist`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("warnings %q lack %q", got, want)
		}
	}
}

// What will go on minding pods that serve nobody is a warning.
func TestBystandersAreWarnings(t *testing.T) {
	ns := namespace(t)
	must(t, world.admin.Create(t.Context(), deployment(ns, "podinfo", "podinfo:1")))
	for name, values := range map[string][]string{"guard": {"podinfo"}, "both": {"podinfo", "podinfo-primary"}} {
		must(t, world.admin.Create(t.Context(), &policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
			Spec: policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: "app", Operator: metav1.LabelSelectorOpIn, Values: values},
			}}},
		}))
	}
	world.warnings.take()
	must(t, world.admin.Create(t.Context(), canary(ns, "podinfo")))
	got := strings.Join(world.warnings.take(), "\n")
	const want = `Sluice: spec.targetRef: "Deployment/podinfo" is all that PodDisruptionBudget/guard selects, ` +
		`and users will be served by the pods of podinfo-primary; select these there too`
	if !strings.Contains(got, want) || strings.Contains(got, "PodDisruptionBudget/both") {
		t.Errorf("warnings %q, want %q and none of the other", got, want)
	}
}

// Metadata, finalizers, status and deletion of a Canary are never judged, also of one that is wrong.
func TestWrongCanaryCanBeHandled(t *testing.T) {
	ns := namespace(t)
	c := canary(ns, "podinfo")
	c.Spec.Provider = "linkerd"
	// Sluice's own requests are not judged, which is how a wrong one gets in.
	must(t, world.sluice.Create(t.Context(), c))
	before := calls(t, PathCanaries)
	for _, patch := range []string{
		`{"metadata":{"labels":{"a":"b"}}}`, `{"metadata":{"finalizers":["example.org/wait"]}}`,
	} {
		must(t, world.admin.Patch(t.Context(), c.DeepCopy(), mergePatch("%s", patch)))
	}
	must(t, world.admin.Status().Patch(t.Context(), c.DeepCopy(), mergePatch(`{"status":{"failedChecks":1}}`)))
	must(t, world.admin.Delete(t.Context(), c.DeepCopy()))
	must(t, world.admin.Patch(t.Context(), c.DeepCopy(), mergePatch(`{"spec":{"suspend":true}}`)))
	must(t, world.admin.Patch(t.Context(), c.DeepCopy(), mergePatch(`{"metadata":{"finalizers":null}}`)))
	if n := calls(t, PathCanaries) - before; n != 0 {
		t.Errorf("%v calls, want none", n)
	}
	if err := world.admin.Get(t.Context(), client.ObjectKeyFromObject(c), c); !apierrors.IsNotFound(err) {
		t.Errorf("after the deletion: %v, want not found", err)
	}
}

// A Canary that becomes wrong is refused.
func TestUpdateIsJudged(t *testing.T) {
	ns := namespace(t)
	must(t, world.admin.Create(t.Context(), deployment(ns, "podinfo", "podinfo:1")))
	c := canary(ns, "podinfo")
	must(t, world.admin.Create(t.Context(), c))
	err := world.admin.Patch(t.Context(), c.DeepCopy(), mergePatch(`{"spec":{"metricsServer":"prometheus"}}`))
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.metricsServer") {
		t.Errorf("error %v, want a refusal that names spec.metricsServer", err)
	}
	must(t, world.admin.Patch(t.Context(), c.DeepCopy(), mergePatch(`{"spec":{"suspend":true}}`)))
}

// The baseline is what the target runs when its Canary is admitted, configs included. It is dated anew when the Canary comes back.
func TestBaseline(t *testing.T) {
	ns := namespace(t)
	d := tracked(t, ns, "podinfo", false, readsConfigs(t, ns))
	kept := snapshotsOf(t, ns, "podinfo")
	if len(kept) != 1 || kept[0].Baseline.IsZero() || len(kept[0].Configs) != 2 || kept[0].Replicas != 2 {
		t.Fatalf("snapshots %+v, want one of two replicas with two configs, marked as the baseline", kept)
	}
	var copies corev1.ConfigMapList
	must(t, world.admin.List(t.Context(), &copies, client.InNamespace(ns), client.MatchingLabels{v1beta1.LabelTracked: v1beta1.TrackedCopy}))
	if len(copies.Items) != 1 || copies.Items[0].Name != kept[0].Configs[0].Copy {
		t.Errorf("%d copies of ConfigMaps, want %s", len(copies.Items), kept[0].Configs[0].Copy)
	}
	if got := d.Spec.Template.Annotations; len(got) > 0 {
		t.Errorf("the template has annotations %v: its pods restart", got)
	}
	must(t, world.admin.Delete(t.Context(), canary(ns, "podinfo")))
	must(t, world.admin.Create(t.Context(), canary(ns, "podinfo")))
	again := snapshotsOf(t, ns, "podinfo")
	if len(again) != 1 || !again[0].Baseline.After(kept[0].Baseline) || time.Since(again[0].Baseline) > time.Minute {
		t.Errorf("after the Canary came back: %+v, want the same snapshot with a later mark than %s", again, kept[0].Baseline)
	}
}

// What keeps the baseline from being recorded keeps nobody from creating a Canary.
func TestBaselineFailureIsAWarning(t *testing.T) {
	ns := namespace(t)
	d := deployment(ns, "podinfo", "podinfo:1")
	d.Spec.Template.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{
		{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "missing"}}}}
	must(t, world.admin.Create(t.Context(), d))
	world.warnings.take()
	must(t, world.admin.Create(t.Context(), canary(ns, "podinfo")))
	if w := world.warnings.take(); len(w) != 1 || !strings.Contains(w[0], "could not be recorded") || !strings.Contains(w[0], "missing") {
		t.Errorf("warnings %q, want one that names the missing config", w)
	}
	if l := stored(t, d).GetLabels(); l[v1beta1.LabelTracked] != v1beta1.TrackedTarget {
		t.Errorf("labels %v, want the target tracked all the same", l)
	}
}

// A Canary that turns to another target before it has taken one up takes that one.
func TestTurningToAnotherTarget(t *testing.T) {
	ns := namespace(t)
	must(t, world.admin.Create(t.Context(), canary(ns, "podinfo")))
	must(t, world.admin.Create(t.Context(), deployment(ns, "other", "podinfo:1")))
	must(t, world.admin.Patch(t.Context(), canary(ns, "podinfo"), mergePatch(`{"spec":{"targetRef":{"name":"other"}}}`)))
	if l := stored(t, deployment(ns, "other", "")).GetLabels(); l[v1beta1.LabelCanary] != "podinfo" {
		t.Errorf("labels %v, want those of the new target", l)
	}
	if kept := snapshotsOf(t, ns, "other"); len(kept) != 1 || kept[0].Baseline.IsZero() {
		t.Errorf("snapshots %+v, want a baseline", kept)
	}
}
