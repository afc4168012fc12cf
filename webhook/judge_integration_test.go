//go:build integration

package webhook

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

func metricTemplate(namespace, query string) *v1beta1.MetricTemplate {
	return &v1beta1.MetricTemplate{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "rate"},
		Spec: v1beta1.MetricTemplateSpec{
			Provider: v1beta1.MetricProvider{Type: v1beta1.MetricPrometheus, Address: "http://prometheus:9090"}, Query: query,
		},
	}
}

// A MetricTemplate that can never be asked is refused; one that may be is accepted with what is doubtful.
func TestMetricTemplateIsJudged(t *testing.T) {
	ns := namespace(t)
	err := world.admin.Create(t.Context(), metricTemplate(ns, "{{ nmespace }}"))
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), `spec.query: cannot be rendered: `) || !strings.Contains(err.Error(), `"nmespace" not defined`) {
		t.Fatalf("error %v, want a refusal that names the function", err)
	}
	doubtful := metricTemplate(ns, `sum(rate(requests{namespace="{{ namespace }}"}[{{ interval }}])`)
	doubtful.Spec.Provider.SecretRef = &v1beta1.SecretReference{Name: "token"}
	world.warnings.take()
	must(t, world.admin.Create(t.Context(), doubtful, client.DryRunAll))
	must(t, world.admin.Create(t.Context(), doubtful))
	got := world.warnings.take()
	for _, want := range []string{"Sluice: spec.query: may fail: not valid PromQL: ", `Sluice: spec.provider.secretRef: "Secret/token" does not exist`} {
		if strings.Count(strings.Join(got, "\n"), want) != 2 {
			t.Errorf("warnings %q, want %q for the dry run and the creation", got, want)
		}
	}
	must(t, world.admin.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "token"}}))
	must(t, world.admin.Patch(t.Context(), doubtful, mergePatch(`{"spec":{"query":"sum(up)"}}`)))
	if got := world.warnings.take(); len(got) > 0 {
		t.Errorf("warnings %q of a good template, want none", got)
	}
}

// An AlertProvider that cannot be reached is refused, without a word of its address, and a good one is taken without a warning.
func TestAlertProviderIsJudged(t *testing.T) {
	ns := namespace(t)
	chat := &v1beta1.AlertProvider{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "chat"},
		Spec:       v1beta1.AlertProviderSpec{Type: v1beta1.AlertSlack, Address: "hooks.example.com/hunter2"},
	}
	err := world.admin.Create(t.Context(), chat.DeepCopy())
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.address: is not an http or https URL") || strings.Contains(err.Error(), "hunter2") {
		t.Fatalf("error %v, want a refusal that names the field and hides the value", err)
	}
	chat.Spec.Address = "https://hooks.example.com/hunter2"
	world.warnings.take()
	must(t, world.admin.Create(t.Context(), chat))
	if got := world.warnings.take(); len(got) > 0 {
		t.Errorf("warnings %q of a good provider, want none", got)
	}
	before := calls(t, PathAlertProviders)
	must(t, world.admin.Patch(t.Context(), chat, mergePatch(`{"metadata":{"labels":{"a":"b"}}}`)))
	must(t, world.admin.Delete(t.Context(), chat))
	if n := calls(t, PathAlertProviders) - before; n != 0 {
		t.Errorf("%v calls for a label and a deletion, want none", n)
	}
}

// The queries of a Canary are judged with its own values, those of its templates too.
func TestQueriesOfCanariesAreJudged(t *testing.T) {
	ns := namespace(t)
	must(t, world.admin.Create(t.Context(), deployment(ns, "podinfo", "podinfo:1")))
	must(t, world.admin.Create(t.Context(), metricTemplate(ns, `sum(requests{zone="{{ variables.zone }}"})`)))
	limit := 1.0
	c := canary(ns, "podinfo")
	c.Spec.Analysis.Metrics = []v1beta1.CanaryMetric{{Name: "mine", Query: "{{ nmespace }}", Threshold: &limit}}
	if err := world.admin.Create(t.Context(), c.DeepCopy()); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.analysis.metrics[0].query: cannot be rendered") {
		t.Fatalf("error %v, want a refusal that names the query", err)
	}
	c.Spec.Analysis.Metrics = []v1beta1.CanaryMetric{
		{Name: "mine", Query: "sum(", Threshold: &limit},
		{Name: "ours", TemplateRef: &v1beta1.CrossNamespaceReference{Name: "rate"}, Threshold: &limit},
	}
	world.warnings.take()
	must(t, world.admin.Create(t.Context(), c.DeepCopy(), client.DryRunAll))
	got := strings.Join(world.warnings.take(), "\n")
	for _, want := range []string{
		"Sluice: spec.analysis.metrics[0].query: may fail: not valid PromQL: ",
		`Sluice: spec.analysis.metrics[1].templateRef: "rate" cannot be rendered for this Canary`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("warnings %q lack %q", got, want)
		}
	}
	if l := stored(t, deployment(ns, "podinfo", "")).GetLabels(); len(l) > 0 {
		t.Errorf("a dry run left labels %v on the target", l)
	}
	c.Spec.Analysis.Metrics[0].Query, c.Spec.Analysis.Metrics[1].TemplateVariables = "sum(up)", map[string]string{"zone": "a"}
	c.Spec.Analysis.Webhooks = nil
	must(t, world.admin.Create(t.Context(), c))
	if got := world.warnings.take(); len(got) > 0 {
		t.Errorf("warnings %q of a good Canary, want none", got)
	}
}
