package reconciler

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// Each of the first changes is told with what it was, then one event says that it goes on; all are counted. After a quiet time it begins anew.
func TestDriftsAreToldWithinBounds(t *testing.T) {
	clk := clocktesting.NewFakeClock(time.Unix(1_000_000, 0))
	metrics, err := NewMetrics(prometheus.NewRegistry(), nil, "test", "kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	recorder := events.NewFakeRecorder(100)
	r := New(Options{Clock: clk, Recorder: recorder, Metrics: metrics})
	c := &v1beta1.Canary{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop"}}
	drift := core.Drift{Kind: "HTTPRoute", Name: "web", By: "kubectl-edit", Fields: []core.DriftField{
		{Path: "spec.rules[0].backendRefs[1].weight", Was: "77", Now: "20"}, {Path: "metadata.labels.a", Was: `"b"`},
	}}
	told := func() []string {
		var out []string
		for len(recorder.Events) > 0 {
			out = append(out, <-recorder.Events)
		}
		return out
	}
	for range 20 {
		r.Drifted(c, drift)
		clk.Step(driftQuiet - time.Second)
	}
	got := told()
	if len(got) != driftsTold+1 {
		t.Fatalf("20 changes in a row made %d events: %q", len(got), got)
	}
	const words = `HTTPRoute web was changed by field manager "kubectl-edit" and put back: ` +
		`spec.rules[0].backendRefs[1].weight was 77 and is 20 again; metadata.labels.a was "b" and is absent again`
	for i, e := range got {
		reason := "Warning RouteRepaired "
		if i == driftsTold {
			reason = "Warning RouteContested "
		}
		if !strings.HasPrefix(e, reason+words) {
			t.Errorf("event %d: %s", i, e)
		}
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics.drifts)
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "sluice_route_repairs_total" || families[0].GetMetric()[0].GetCounter().GetValue() != 20 {
		t.Errorf("counted %v, %v, want 20", families, err)
	}
	clk.Step(driftQuiet)
	r.Drifted(c, core.Drift{Kind: "HTTPRoute", Name: "web", Deleted: true})
	if got := told(); len(got) != 1 || got[0] != "Warning RouteRepaired HTTPRoute web was deleted by somebody else and is there again" {
		t.Errorf("after a quiet time: %q", got)
	}
	r.drifts.forget(types.NamespacedName{Namespace: "shop", Name: "web"})
	if len(r.drifts.known) != 0 {
		t.Errorf("a Canary that is gone is remembered: %v", r.drifts.known)
	}
	long := driftWords(core.Drift{Kind: "K", Name: "n", Fields: []core.DriftField{{Path: "a", Was: strings.Repeat("x", 500)}, {}, {}, {}, {}}})
	if len(long) > 400 || !strings.HasSuffix(long, "and 2 more fields") || !strings.Contains(long, "changed by somebody else") {
		t.Errorf("of much too little or too much is said: %s", long)
	}
}
