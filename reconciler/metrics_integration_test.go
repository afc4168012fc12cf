//go:build integration

package reconciler

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// series returns what a scrape shows, by name and labels: the value of a gauge or counter, how often a histogram was fed.
func (s *stage) series() map[string]float64 {
	s.Helper()
	families, err := s.metrics.Gather()
	if err != nil {
		s.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			value := m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			out[f.GetName()+"{"+strings.Join(labels, ",")+"}"] = value
		}
	}
	return out
}

func TestMetricsOfARollout(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.application()
	s.settled(v1beta1.PhaseInitialized)
	here := "namespace=" + s.ns
	s.checks.set(false, "")
	s.setImage("web:2")
	s.until("a check is under way", func() bool { return s.series()["sluice_checks_asked_total{kind=webhook}"] == 1 })
	if running := s.series()["flagger_canary_status{name=web,"+here+"}"]; running != 0 {
		t.Errorf("flagger_canary_status is %v in the middle of a rollout", running)
	}
	s.checks.set(true, "")
	s.settled(v1beta1.PhaseSucceeded)

	got := s.series()
	for name, want := range map[string]float64{
		"flagger_canary_total{" + here + "}":                                                                         1,
		"flagger_canary_status{name=web," + here + "}":                                                               1,
		"flagger_canary_weight{" + here + ",workload=web}":                                                           0,
		"flagger_canary_weight{" + here + ",workload=web-primary}":                                                   100,
		"flagger_canary_successes_total{analysis_status=completed,deployment_strategy=canary,name=web," + here + "}": 1,
		// Two steps, one hook at each.
		"sluice_checks_asked_total{kind=webhook}":                 2,
		"sluice_checks_answered_total{kind=webhook,verdict=Pass}": 2,
		"sluice_phase_duration_seconds{phase=Initializing}":       1,
		"sluice_phase_duration_seconds{phase=Progressing}":        1,
		"sluice_changes_caught_up_total{kind=deployment}":         1,
	} {
		if value, shown := got[name]; !shown || value != want {
			t.Errorf("%s is %v (shown: %t); want %v", name, value, shown, want)
		}
	}
	for _, name := range []string{"flagger_canary_duration_seconds{name=web," + here + "}", "sluice_decision_duration_seconds{part=decide}"} {
		if got[name] < 2 {
			t.Errorf("%s was fed %v times in a rollout", name, got[name])
		}
	}

	if err := shared.admin.Delete(t.Context(), s.canary()); err != nil {
		t.Fatal(err)
	}
	s.until("no series of the Canary is left", func() bool {
		for _, name := range slices.Sorted(maps.Keys(s.series())) {
			if strings.HasPrefix(name, "flagger_canary") {
				return false
			}
		}
		return true
	})
}
