package core

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

var update = flag.Bool("update", false, "write the golden rollouts")

// progressive is a canary of two steps, with a metric.
func progressive() v1beta1.CanarySpec {
	return v1beta1.CanarySpec{Analysis: v1beta1.CanaryAnalysis{
		Interval: "10s", Threshold: 2, StepWeight: 25, MaxWeight: 50,
		Metrics: []v1beta1.CanaryMetric{{Name: "request-success-rate"}},
	}}
}

// initialised is a world in which the first revision serves as primary.
func initialised(t *testing.T, spec v1beta1.CanarySpec, weighted bool) *world {
	t.Helper()
	w := newWorld(spec)
	w.weighted = weighted
	if !w.until(time.Minute, w.phase(v1beta1.PhaseInitialized)) {
		t.Fatalf("not initialised:\n%s", w.story())
	}
	return w
}

func (w *world) story() string { return strings.Join(w.log, "\n") + "\n" }

func metricFails(c Check) v1beta1.Verdict {
	if strings.Contains(c.Key, "/metric/") {
		return v1beta1.VerdictFail
	}
	return v1beta1.VerdictPass
}

// TestStories compares whole rollouts with golden files that read like a log.
func TestStories(t *testing.T) {
	stories := map[string]func(t *testing.T, w *world){
		"promoted": func(t *testing.T, w *world) {
			w.push("v2")
			w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseSucceeded))
			if w.promoted != "v2" || w.primary.template != "v2" || w.target.replicas != 0 {
				t.Errorf("promoted %s, primary %s, target at %d", w.promoted, w.primary.template, w.target.replicas)
			}
		},
		"rolled-back": func(t *testing.T, w *world) {
			w.verdict = metricFails
			w.push("v2")
			w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseFailed))
			if w.promoted != "v1" || w.primary.template != "v1" || w.target.replicas != 0 || w.canary.Status.FailedRevision != "v2" {
				t.Errorf("promoted %s, primary %s, target at %d, failed %s", w.promoted, w.primary.template, w.target.replicas, w.canary.Status.FailedRevision)
			}
			w.until(time.Minute, func() bool { return false })
			if w.canary.Status.Rollout != nil {
				t.Error("a failed revision was tried again by itself")
			}
		},
		"overtaken": func(t *testing.T, w *world) {
			w.push("v2")
			w.must(t, time.Minute, func() bool { return w.canary.Status.CanaryWeight == 50 })
			w.push("v3")
			w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseSucceeded))
			if w.promoted != "v3" || w.first["v3"] != 25 {
				t.Errorf("promoted %s, first weight of v3 %d", w.promoted, w.first["v3"])
			}
		},
		"overtaken-without-webhook": func(t *testing.T, w *world) {
			w.webhook = false
			w.push("v2")
			w.must(t, time.Minute, func() bool { return w.canary.Status.CanaryWeight == 50 })
			w.push("v3")
			w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseSucceeded))
			if w.promoted != "v3" || w.first["v3"] != 25 {
				t.Errorf("promoted %s, first weight of v3 %d", w.promoted, w.first["v3"])
			}
		},
		"taken-back": func(t *testing.T, w *world) {
			w.push("v2")
			w.must(t, time.Minute, func() bool { return w.canary.Status.CanaryWeight == 50 })
			w.push("v1")
			w.must(t, time.Minute, w.phase(v1beta1.PhaseSucceeded))
			if w.promoted != "v1" || w.target.replicas != 0 {
				t.Errorf("promoted %s, target at %d", w.promoted, w.target.replicas)
			}
		},
		"never-ready": func(t *testing.T, w *world) {
			deadline := int32(30)
			w.canary.Spec.ProgressDeadlineSeconds = &deadline
			w.push("v2")
			w.must(t, 2*time.Minute, func() bool {
				for i := range w.target.pods {
					w.target.pods[i].readyAt = w.now.Add(time.Hour)
				}
				return w.phase(v1beta1.PhaseFailed)()
			})
			if w.first["v2"] != 0 {
				t.Errorf("v2 got users at weight %d though it never was ready", w.first["v2"])
			}
		},
		"changed-while-adopted": func(t *testing.T, w *world) {
			// The world of this story starts anew: the target is changed right behind the Canary.
			*w = *newWorld(progressive())
			w.stored["v1"], w.baseline = true, "v1"
			w.push("v2")
			w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseSucceeded))
			if w.promoted != "v2" || w.first["v2"] != 25 {
				t.Errorf("promoted %s, first weight of v2 %d", w.promoted, w.first["v2"])
			}
		},
	}
	for name, play := range stories {
		t.Run(name, func(t *testing.T) {
			w := initialised(t, progressive(), true)
			w.strict = name != "overtaken-without-webhook"
			play(t, w)
			if len(w.violations) > 0 {
				t.Errorf("violations: %v", w.violations)
			}
			golden(t, name, w.story())
		})
	}
}

func (w *world) must(t *testing.T, limit time.Duration, cond func() bool) {
	t.Helper()
	if !w.until(limit, cond) {
		t.Fatalf("not reached within %s; phase %s, rollout %+v:\n%s", limit, w.canary.Status.Phase, w.canary.Status.Rollout, w.story())
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the story differs from %s; run with -update to accept it. It is now:\n%s", path, got)
	}
}

// TestBlueGreenOnServices analyses iterations while all users stay on the primary.
func TestBlueGreenOnServices(t *testing.T) {
	spec := progressive()
	spec.Analysis.StepWeight, spec.Analysis.Iterations = 0, 3
	w := initialised(t, spec, false)
	w.push("v2")
	w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseSucceeded))
	if w.promoted != "v2" || len(w.routes) != 0 {
		t.Errorf("promoted %s with %d routes", w.promoted, len(w.routes))
	}
}

// TestLeaving gives the application back, also from the middle of a rollout.
func TestLeaving(t *testing.T) {
	for _, mid := range []bool{false, true} {
		w := initialised(t, progressive(), true)
		if mid {
			w.push("v2")
			w.must(t, time.Minute, func() bool { return w.canary.Status.CanaryWeight == 50 })
		}
		w.strict, w.leaving, w.dirty = true, true, true
		w.must(t, time.Minute, func() bool { return w.given })
		if w.target.template != "v1" || w.ready(&w.target, "v1") < 2 || w.apex != SideTarget || len(w.violations) > 0 {
			t.Errorf("mid-rollout %v: target %s with %d ready, apex %s, violations %v\n%s",
				mid, w.target.template, w.ready(&w.target, "v1"), w.apex, w.violations, w.story())
		}
		if last := w.routes[len(w.routes)-1]; !last.viaApex || w.now.Sub(last.at) < routeLag {
			t.Errorf("mid-rollout %v: given back %s after the last change of the route %+v", mid, w.now.Sub(last.at), last)
		}
	}
}
