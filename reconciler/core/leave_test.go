package core

import (
	"testing"
	"time"
)

// Deleting a Canary whose primary serves nobody ends, whatever users were on, and leaves the target with the last good template.
func TestLeavingWithABrokenPrimary(t *testing.T) {
	for name, play := range map[string]func(*testing.T, *world){
		"between rollouts": func(_ *testing.T, w *world) { w.breakPrimary("v1") },
		"after a failed promotion": func(t *testing.T, w *world) {
			w.push("v2")
			w.must(t, time.Minute, func() bool { return w.canary.Status.CanaryWeight == 50 })
			w.breakPrimary("v1", "v2")
			w.must(t, 3*time.Minute, func() bool { return w.canary.Status.CanaryWeight == 100 && w.canary.Status.FailedRevision == "v2" })
		},
		"in an analysis": func(t *testing.T, w *world) {
			w.push("v2")
			w.must(t, time.Minute, func() bool { return w.canary.Status.CanaryWeight == 50 })
			w.breakPrimary("v1", "v2")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := initialised(t, impatient(), true)
			play(t, w)
			w.leaving, w.dirty = true, true
			w.must(t, 2*time.Minute, func() bool { return w.given })
			if w.target.template != "v1" || w.target.replicas != 2 || w.target.held || w.apex != SideTarget || len(w.violations) > 0 {
				t.Errorf("given back: %+v, apex %s, %v\n%s", w.target, w.apex, w.violations, w.story())
			}
		})
	}
}

// A target whose pods do not get ready is not given back while the primary serves.
func TestLeavingWaitsForTheTarget(t *testing.T) {
	w := initialised(t, progressive(), true)
	w.strict, w.leaving, w.dirty = true, true, true
	for range 3000 {
		for i := range w.target.pods {
			w.target.pods[i].readyAt = w.now.Add(time.Hour)
		}
		w.step()
		if w.given {
			t.Fatalf("given back without a ready pod\n%s", w.story())
		}
	}
	w.says(t, "Terminating", "until then the primary does")
	if len(w.violations) > 0 {
		t.Error(w.violations)
	}
}
