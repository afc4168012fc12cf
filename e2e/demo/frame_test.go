package demo

import (
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/traffic"
)

func TestFrameTellsPhaseWeightUsersAndNewestChecks(t *testing.T) {
	m := moment(20, v1beta1.PhaseProgressing, v1beta1.StageAnalysing, 25, 0)
	m.Canary.Status.Rollout.StageSince = metav1.NewMicroTime(at(0))
	check := func(second float64, name, value string, verdict v1beta1.Verdict) v1beta1.CheckResult {
		return v1beta1.CheckResult{
			Name: name, Kind: v1beta1.CheckMetric, Value: value, Threshold: ">= 99", Verdict: verdict, Time: metav1.NewTime(at(second)),
		}
	}
	m.Canary.Status.Checks = []v1beta1.CheckResult{
		check(19, "success", "97", v1beta1.VerdictFail),
		check(9, "success", "100", v1beta1.VerdictPass),
		check(-5, "of-the-last-rollout", "1", v1beta1.VerdictPass),
	}
	users := traffic.Recording{Results: []traffic.Result{
		{Version: "v1", Status: http.StatusOK, Latency: 2 * time.Millisecond},
		{Version: "v1", Status: http.StatusOK, Latency: 2 * time.Millisecond},
		{Version: "v2", Status: http.StatusInternalServerError, Latency: 5 * time.Millisecond},
	}}.Summary()

	state, lines := frame("v2", true, m, users)
	text := strings.Join(lines, "\n")
	for _, want := range []string{"[#######", " 25 %", "Progressing, Analysing", "success 66.7 %", "v1 67 %", "v2 33 %", "p99 5.0 ms", "success 97 (>= 99) Fail"} {
		if !strings.Contains(text, want) {
			t.Errorf("the view does not say %q:\n%s", want, text)
		}
	}
	for _, unwanted := range []string{"success 100 (", "of-the-last-rollout"} {
		if strings.Contains(text, unwanted) {
			t.Errorf("the view says %q:\n%s", unwanted, text)
		}
	}
	m.RouteWeight = 50
	if moved, _ := frame("v2", true, m, users); moved == state {
		t.Error("a new weight is no new state")
	}
	if _, lines = frame("v2", false, m, users); strings.Contains(lines[0], "Progressing") {
		t.Errorf("before the rollout the view tells the phase of the last one: %s", lines[0])
	}
}
