//go:build integration

package reconciler

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/analysis/check"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

// What kubectl describe shows after a rollback: which check, its values over the last steps, the threshold, and when.
func TestARollbackTellsItsValues(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.application()
	s.settled(v1beta1.PhaseInitialized)
	change(s, "web", &v1beta1.Canary{}, func(c *v1beta1.Canary) {
		least := 99.0
		c.Spec.Analysis.Metrics = []v1beta1.CanaryMetric{{
			Name: v1beta1.MetricRequestSuccessRate, Interval: "1m", ThresholdRange: &v1beta1.ThresholdRange{Min: &least},
		}}
	})
	judged := time.Now().Truncate(time.Second)
	values, answers := []string{"99.5", "91.2", "88"}, map[string]check.Result{}
	s.checks.mu.Lock()
	s.checks.metric = func(req check.Request) check.Result {
		if a, answered := answers[req.Key]; answered {
			return a
		}
		a := check.Result{Key: req.Key, Verdict: v1beta1.VerdictPass, Value: "100", Threshold: ">= 99", Message: "as the test says", Time: judged}
		if n := len(answers); n < len(values) {
			a.Value = values[n]
		}
		if a.Value == "91.2" || a.Value == "88" {
			a.Verdict = v1beta1.VerdictFail
		}
		answers[req.Key] = a
		return a
	}
	s.checks.mu.Unlock()

	s.setImage("web:2")
	s.until("the rollout failed and is over", func() bool {
		st := s.canary().Status
		return st.Phase == v1beta1.PhaseFailed && st.Rollout == nil
	})
	st := s.canary().Status
	want := "last values of request-success-rate: 99.5 at 50%, 91.2 at 100%, 88 at 100%, accepted >= 99, at " + judged.UTC().Format(time.RFC3339)
	if ready := st.Condition(v1beta1.ConditionReady); ready == nil || !strings.Contains(ready.Message, want) {
		t.Errorf("the condition is %+v; want in it %q", ready, want)
	}
	recent := recentOf(st)
	if len(recent) != len(values) {
		t.Fatalf("status has the answers %+v; want %v", recent, values)
	}
	for i, v := range recent {
		if v.Value != values[i] || (v.Verdict == v1beta1.VerdictPass) != (i == 0) || !v.Time.Time.Equal(judged) || v.Weight != map[bool]int32{true: 50, false: 100}[i == 0] {
			t.Errorf("answer %d is stored as %+v", i, v)
		}
	}

	s.setImage("web:3")
	s.settled(v1beta1.PhaseSucceeded)
	for _, v := range recentOf(s.canary().Status) {
		if v.Value != "100" {
			t.Errorf("the next rollout has an answer of the one before: %+v", v)
		}
	}
}

// recentOf returns the last answers to the only metric.
func recentOf(st v1beta1.CanaryStatus) []v1beta1.CheckValue {
	for _, c := range st.Checks {
		if c.Kind == v1beta1.CheckMetric {
			return c.Recent
		}
	}
	return nil
}
