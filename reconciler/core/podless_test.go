package core

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// TestServiceStories compares with golden files how changes of a Service are rolled out.
func TestServiceStories(t *testing.T) {
	atHalf := func(w *world) func() bool { return func() bool { return w.canary.Status.CanaryWeight == 50 } }
	stories := map[string]func(t *testing.T, w *world){
		"service-promoted": func(t *testing.T, w *world) {
			w.push("v2")
			w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseSucceeded))
			if w.promoted != "v2" || w.copies.primary.listed != "v2" || w.first["v2"] != 25 {
				t.Errorf("promoted %s, primary leads to %s, first share %d", w.promoted, w.copies.primary.listed, w.first["v2"])
			}
		},
		"service-rolled-back": func(t *testing.T, w *world) {
			w.verdict = metricFails
			w.push("v2")
			w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseFailed))
			w.until(time.Minute, func() bool { return false })
			if w.promoted != "v1" || w.copies.primary.listed != "v1" || w.copies.canary.listed != "v1" || w.canary.Status.Rollout != nil {
				t.Errorf("promoted %s, primary leads to %s, canary to %s", w.promoted, w.copies.primary.listed, w.copies.canary.listed)
			}
		},
		// The copy leads to what was analysed until nobody comes by it, whatever the Service says by then.
		"service-overtaken": func(t *testing.T, w *world) {
			w.push("v2")
			w.must(t, time.Minute, atHalf(w))
			w.push("v3")
			w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseSucceeded))
			if w.promoted != "v3" || w.first["v3"] != 25 {
				t.Errorf("promoted %s, first share of v3 %d", w.promoted, w.first["v3"])
			}
		},
		"service-overtaken-while-promoting": func(t *testing.T, w *world) {
			w.push("v2")
			w.must(t, time.Minute, func() bool { ro := w.canary.Status.Rollout; return ro != nil && ro.Stage == v1beta1.StagePromoting })
			w.push("v3")
			w.must(t, 3*time.Minute, func() bool { return w.promoted == "v3" && w.phase(v1beta1.PhaseSucceeded)() })
			if w.first["v3"] != 25 {
				t.Errorf("first share of v3 %d", w.first["v3"])
			}
		},
		"service-without-endpoints": func(t *testing.T, w *world) {
			deadline := int32(30)
			w.canary.Spec.ProgressDeadlineSeconds = &deadline
			w.copies.ends["v2"] = 0
			w.push("v2")
			w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseFailed))
			if w.first["v2"] != 0 {
				t.Errorf("v2 got users at weight %d though nobody was there", w.first["v2"])
			}
		},
		"service-that-loses-its-endpoints": func(t *testing.T, w *world) {
			w.strict = false
			w.push("v2")
			w.must(t, time.Minute, atHalf(w))
			w.copies.ends["v2"], w.dirty = 0, true
			w.must(t, 10*time.Second, func() bool { return w.canary.Status.CanaryWeight == 0 })
			w.until(10*time.Second, func() bool { return false })
			delete(w.copies.ends, "v2")
			w.dirty = true
			w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseSucceeded))
		},
		"service-given-back": func(t *testing.T, w *world) {
			w.push("v2")
			w.must(t, time.Minute, atHalf(w))
			w.leaving, w.dirty = true, true
			w.must(t, time.Minute, func() bool { return w.given })
			if w.copies.target.listed != "v1" || !w.routes[len(w.routes)-1].viaApex {
				t.Errorf("the target leads to %s, route %+v", w.copies.target.listed, w.routes[len(w.routes)-1])
			}
		},
	}
	for name, play := range stories {
		t.Run(name, func(t *testing.T) {
			w := newServiceWorld(progressive())
			w.must(t, time.Minute, w.phase(v1beta1.PhaseInitialized))
			w.strict = true
			play(t, w)
			if len(w.violations) > 0 {
				t.Errorf("violations: %v", w.violations)
			}
			golden(t, name, w.story())
		})
	}
}

// A controller that is killed before any of its writes takes a Service where it was going.
func TestServiceAfterEachCrash(t *testing.T) {
	for writes := range 60 {
		w := newServiceWorld(progressive())
		w.must(t, time.Minute, w.phase(v1beta1.PhaseInitialized))
		w.strict = true
		w.push("v2")
		w.writes = writes
		w.must(t, 3*time.Minute, w.phase(v1beta1.PhaseSucceeded))
		if w.promoted != "v2" || len(w.violations) > 0 {
			t.Fatalf("killed after %d writes: promoted %s, violations %v\n%s", writes, w.promoted, w.violations, w.story())
		}
	}
}

// Nothing is waited for, or said, that a Service does not have.
func TestServiceHasNoPods(t *testing.T) {
	w := newServiceWorld(progressive())
	w.must(t, time.Minute, w.phase(v1beta1.PhaseInitialized))
	w.push("v2")
	w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseSucceeded))
	for _, word := range []string{"scaled", "admission was away", "template by", "pods of"} {
		if strings.Contains(w.story(), word) {
			t.Errorf("the story speaks of %q:\n%s", word, w.story())
		}
	}
	if a, b := NeedsImages(w.canary, Workload{}); a || b {
		t.Error("images are looked at")
	}
}
