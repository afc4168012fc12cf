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
		// The endpoints of a Service go all at once, so it is not led where none are.
		"service-restore-without-endpoints": func(t *testing.T, w *world) {
			deadline := int32(30)
			w.canary.Spec.ProgressDeadlineSeconds = &deadline
			for _, r := range []string{"beef02", "beef03"} {
				w.ships(t, r)
			}
			w.copies.ends["beef02"] = 0
			w.asks("restore:beef02")
			w.must(t, time.Minute, func() bool { return w.canary.Status.Rollout != nil })
			w.must(t, 2*time.Minute, func() bool { return w.canary.Status.Rollout == nil })
			if w.promoted != "beef03" || w.copies.primary.listed != "beef03" {
				t.Errorf("promoted %s, primary leads to %s", w.promoted, w.copies.primary.listed)
			}
			delete(w.copies.ends, "beef02")
			w.asks("restore:beef02")
			w.must(t, time.Minute, func() bool { return w.promoted == "beef02" && w.copies.primary.listed == "beef02" })
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

// A Canary that is deleted before its first route has taken users from the Service lets it go as it is.
func TestServiceLeftBeforeItsFirstRoute(t *testing.T) {
	w := newServiceWorld(progressive())
	w.must(t, time.Minute, func() bool { return w.primary.exists })
	if len(w.routes) > 0 {
		t.Fatalf("there is a route already: %+v", w.routes)
	}
	w.push("v2")
	w.leaving, w.dirty = true, true
	w.must(t, time.Minute, func() bool { return w.given })
	if w.copies.target.to != "v2" {
		t.Errorf("the Service leads to %s", w.copies.target.to)
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
	for _, stage := range []v1beta1.Stage{v1beta1.StageAnalysing, v1beta1.StagePromoting} {
		c := w.canary.DeepCopy()
		c.Status.Rollout = &v1beta1.RolloutStatus{Stage: stage, Revision: "v3", Images: []v1beta1.ContainerImages{{Name: "main"}}}
		if a, b := NeedsImages(c, Workload{Revision: "v3", Current: true, Updated: 1}); a || b {
			t.Errorf("%s: images are looked at", stage)
		}
	}
}

// deciding is a decision about a Service in the middle of a rollout of v2.
func deciding(edit func(*Observed)) *decision {
	w := newServiceWorld(progressive())
	in := w.observe()
	in.Canary.Status.Rollout = &v1beta1.RolloutStatus{Revision: "v2", PodHash: "v2", Shelter: allUsers}
	in.Services = Services{Ready: true, PinnedHash: "v2", PrimaryReady: 2, CanaryReady: 2, ApexReady: 2}
	edit(&in)
	return newDecision(in)
}

// Where a copy leads is believed when it says so and all its endpoints do.
func TestEndpointsThatCount(t *testing.T) {
	for name, c := range map[string]struct {
		edit          func(*Observed)
		canary, alike bool
	}{
		"all follow":                   {func(*Observed) {}, true, true},
		"one slice is behind":          {func(o *Observed) { o.Services.CanaryOther = 1 }, false, true},
		"nobody is ready":              {func(o *Observed) { o.Services.CanaryReady = 0 }, false, true},
		"somebody pinned it elsewhere": {func(o *Observed) { o.Services.PinnedHash = "v1" }, false, true},
		"somebody edited it":           {func(o *Observed) { o.Services.Ready = false }, false, true},
		"the target has others":        {func(o *Observed) { o.Services.ApexOther = 1 }, true, false},
		"the target lacks some":        {func(o *Observed) { o.Services.ApexReady = 1 }, true, false},
	} {
		d := deciding(c.edit)
		if got := d.canaryServes(); got != c.canary {
			t.Errorf("%s: the canary serves: %v", name, got)
		}
		if got := d.targetLeadsAlike(); got != c.alike {
			t.Errorf("%s: the target leads where the primary does: %v", name, got)
		}
	}
}

// The canary's Service leads to what was analysed whatever the target has become, so it may take in whom the primary cannot take.
func TestShelterBehindAService(t *testing.T) {
	d := deciding(func(o *Observed) { o.Live = revisionOf("v3", 0) })
	if !d.sound() {
		t.Error("what was analysed is not trusted because the target was changed")
	}
}
