package core

import (
	"slices"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// ephemeralOf is a Canary whose primary is there during rollouts only.
func ephemeralOf(spec v1beta1.CanarySpec) v1beta1.CanarySpec {
	spec.Primary = &v1beta1.PrimarySpec{Lifecycle: v1beta1.LifecycleEphemeral, Retain: "30s"}
	return spec
}

// checkHome holds what users at the apex Service meet while it leads to the target of an ephemeral primary.
func (w *world) checkHome() {
	if w.canary.Spec.Primary == nil || w.apex != SideTarget || w.promoted == "" || w.leaving {
		return
	}
	ro := w.canary.Status.Rollout
	for _, p := range w.target.pods {
		analysed := ro != nil && ro.Stage == v1beta1.StageReturning && p.revision == ro.Revision
		if !p.lost && !p.readyAt.After(w.now) && p.revision != w.promoted && !analysed {
			w.violate("P1: users at the apex Service are served by %s, which nobody has analysed", p.revision)
		}
	}
	if w.strict && w.ready(&w.target, "") == 0 {
		w.violate("P3: users at the apex Service find no ready pod")
	}
}

// atHome tells whether users are on a target of the revision, without a primary.
func (w *world) atHome(revision string) func() bool {
	return func() bool {
		st := w.canary.Status
		return st.TargetServes && st.Rollout == nil && w.apex == SideTarget && !w.primary.exists && !w.target.held && w.promoted == revision &&
			w.ready(&w.target, revision) == w.target.replicas && w.routesHome()
	}
}

func (w *world) routesHome() bool {
	return !w.weighted || len(w.routes) > 0 && w.routes[len(w.routes)-1].viaApex
}

// identities are the starts of the target's pods, by which they are known.
func (w *world) identities() []time.Time {
	var out []time.Time
	for _, p := range w.target.pods {
		out = append(out, p.readyAt)
	}
	return out
}

// TestEphemeralStories compares whole rollouts with an ephemeral primary with golden files.
func TestEphemeralStories(t *testing.T) {
	stories := map[string]func(t *testing.T, w *world){
		"promoted": func(t *testing.T, w *world) {
			w.push("v2")
			w.must(t, time.Minute, func() bool { return w.canary.Status.CanaryWeight == 50 })
			analysed := w.identities()
			w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseSucceeded))
			if !w.primary.exists || w.primary.template != "v1" {
				t.Error("no way back is kept after the promotion")
			}
			w.must(t, time.Minute, w.atHome("v2"))
			if !slices.Equal(analysed, w.identities()) {
				t.Error("the pods that serve are not those that were analysed")
			}
		},
		"rolled-back": func(t *testing.T, w *world) {
			w.verdict = metricFails
			w.push("v2")
			w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseFailed))
			if w.apex != SidePrimary || w.primary.template != "v1" || w.target.replicas != 0 || w.canary.Status.FailedRevision != "v2" {
				t.Errorf("apex %s, primary %s, target at %d, failed %s", w.apex, w.primary.template, w.target.replicas, w.canary.Status.FailedRevision)
			}
			w.verdict = open
			w.push("v3")
			w.must(t, 3*time.Minute, w.atHome("v3"))
		},
		"rolled-back-and-reverted": func(t *testing.T, w *world) {
			w.verdict = metricFails
			w.push("v2")
			w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseFailed))
			w.push("v1")
			w.must(t, 2*time.Minute, w.atHome("v1"))
		},
		"overtaken": func(t *testing.T, w *world) {
			w.push("v2")
			w.must(t, time.Minute, func() bool { return w.canary.Status.CanaryWeight == 50 })
			w.push("v3")
			w.must(t, 3*time.Minute, w.atHome("v3"))
			if w.first["v3"] != 25 {
				t.Errorf("first weight of v3 %d", w.first["v3"])
			}
		},
		"taken-back-at-once": func(t *testing.T, w *world) {
			before := w.identities()
			w.push("v2")
			w.must(t, time.Minute, func() bool { ro := w.canary.Status.Rollout; return ro != nil && ro.Stage == v1beta1.StageTurning })
			w.push("v1")
			w.must(t, time.Minute, w.atHome("v1"))
			if !slices.Equal(before, w.identities()) {
				t.Error("pods were replaced although nothing has changed")
			}
		},
		"way-back": func(t *testing.T, w *world) {
			w.push("v2")
			w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseSucceeded))
			w.push("v1")
			since := w.now
			w.must(t, time.Minute, func() bool { return w.apex == SidePrimary })
			if d := w.now.Sub(since); d > time.Second {
				t.Errorf("users were turned back after %s", d)
			}
			w.must(t, 2*time.Minute, w.atHome("v1"))
		},
		"no-room-for-a-primary": func(t *testing.T, w *world) {
			deadline := int32(30)
			w.canary.Spec.ProgressDeadlineSeconds = &deadline
			w.brokenOnPrimary = []string{"v1"}
			before := w.identities()
			w.push("v2")
			w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseFailed))
			if !slices.Equal(before, w.identities()) || w.apex != SideTarget || !w.target.held {
				t.Errorf("apex %s, target held %v", w.apex, w.target.held)
			}
			w.push("v1")
			w.must(t, time.Minute, w.atHome("v1"))
		},
		"recreated": func(t *testing.T, w *world) {
			w.strict = false
			w.logf("user: deletes the target")
			w.target, w.dirty = workload{}, true
			w.must(t, time.Minute, func() bool { return w.apex == SidePrimary && w.ready(&w.primary, "v1") == 2 })
			w.logf("user: creates the target again, with v2")
			w.target, w.dirty = workload{exists: true, held: true, template: "v2", replicas: 2, generation: 1}, true
			w.must(t, 3*time.Minute, w.atHome("v2"))
			if w.first["v2"] != 25 {
				t.Errorf("first weight of v2 %d", w.first["v2"])
			}
		},
		"switched": func(t *testing.T, w *world) {
			w.edit("wants a persistent primary", func(s *v1beta1.CanarySpec) { s.Primary.Lifecycle = v1beta1.LifecyclePersistent })
			w.must(t, time.Minute, func() bool { return w.apex == SidePrimary && w.target.replicas == 0 && w.canary.Status.Rollout == nil })
			if w.guarded {
				t.Error("the idle target of a persistent primary is guarded")
			}
			w.edit("wants an ephemeral primary", func(s *v1beta1.CanarySpec) { s.Primary.Lifecycle = v1beta1.LifecycleEphemeral })
			w.must(t, 2*time.Minute, w.atHome("v1"))
		},
	}
	for name, play := range stories {
		t.Run(name, func(t *testing.T) {
			w := newWorld(ephemeralOf(progressive()))
			before := w.identities()
			w.must(t, time.Minute, w.phase(v1beta1.PhaseInitialized))
			if !slices.Equal(before, w.identities()) || w.primary.exists || !w.guarded {
				t.Errorf("adopting: primary %v, guarded %v", w.primary.exists, w.guarded)
			}
			w.strict = true
			play(t, w)
			if len(w.violations) > 0 {
				t.Errorf("violations: %v", w.violations)
			}
			golden(t, "ephemeral-"+name, w.story())
		})
	}
}

// TestEphemeralStrategies takes every strategy through a rollout with an ephemeral primary.
func TestEphemeralStrategies(t *testing.T) {
	skipping := progressive()
	skipping.SkipAnalysis = true
	for name, spec := range map[string]v1beta1.CanarySpec{
		"canary": progressive(), "a/b": abTesting(), "blue/green": blueGreen(), "mirrored": mirroring(blueGreen(), 50), "cookies": withCookies(progressive()),
		"skipped": skipping,
	} {
		for _, weighted := range []bool{true, false} {
			w := newWorld(ephemeralOf(spec))
			w.weighted = weighted
			w.must(t, time.Minute, w.phase(v1beta1.PhaseInitialized))
			w.strict = true
			w.push("v2")
			w.must(t, 5*time.Minute, w.atHome("v2"))
			if len(w.violations) > 0 {
				t.Errorf("%s, weighted %v: %v", name, weighted, w.violations)
			}
		}
	}
}

// TestEphemeralLeaving gives the application back from home and from the middle of a rollout.
func TestEphemeralLeaving(t *testing.T) {
	for name, reach := range map[string]func(w *world) bool{
		"home": func(*world) bool { return true },
		"held": func(w *world) bool { return w.target.held },
		"turning": func(w *world) bool {
			ro := w.canary.Status.Rollout
			return ro != nil && ro.Stage == v1beta1.StageTurning
		},
		"analysing": func(w *world) bool { return w.canary.Status.CanaryWeight == 50 },
		"returning": func(w *world) bool {
			ro := w.canary.Status.Rollout
			return ro != nil && ro.Stage == v1beta1.StageReturning && w.apex == SideTarget
		},
		"retained": func(w *world) bool { return w.phase(v1beta1.PhaseSucceeded)() && w.primary.exists },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(ephemeralOf(progressive()))
			w.must(t, time.Minute, w.phase(v1beta1.PhaseInitialized))
			before := w.identities()
			if name != "home" {
				w.push("v2")
			}
			w.must(t, 2*time.Minute, func() bool { return reach(w) })
			w.strict, w.leaving, w.dirty = true, true, true
			w.must(t, time.Minute, func() bool { return w.given })
			if w.target.template != w.promoted || w.target.held || w.ready(&w.target, w.promoted) < 2 || w.apex != SideTarget || len(w.violations) > 0 {
				t.Errorf("target %s, promoted %s, held %v, apex %s, violations %v", w.target.template, w.promoted, w.target.held, w.apex, w.violations)
			}
			if (name == "home" || name == "held") && !slices.Equal(before, w.identities()) {
				t.Error("pods were replaced")
			}
		})
	}
}

// TestEphemeralCrashes kills the controller between any two writes of a rollout.
func TestEphemeralCrashes(t *testing.T) {
	for writes := range 400 {
		w := newWorld(ephemeralOf(progressive()))
		w.must(t, time.Minute, w.phase(v1beta1.PhaseInitialized))
		w.strict, w.writes = true, writes
		w.push("v2")
		w.must(t, 5*time.Minute, w.atHome("v2"))
		if len(w.violations) > 0 {
			t.Fatalf("killed after %d writes: %v\n%s", writes, w.violations, w.story())
		}
	}
}

// TestEphemeralPrimaryIsAsLargeAsTheTarget keeps users at home until the primary that was kept has as many pods as the target has by now.
func TestEphemeralPrimaryIsAsLargeAsTheTarget(t *testing.T) {
	w := newWorld(ephemeralOf(progressive()))
	w.must(t, time.Minute, w.phase(v1beta1.PhaseInitialized))
	w.push("v2")
	w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseSucceeded))
	w.target.replicas, w.dirty = 4, true
	w.must(t, time.Minute, func() bool { return w.ready(&w.target, "v2") == 4 })
	w.push("v1")
	w.must(t, time.Minute, func() bool { return w.apex == SidePrimary })
	if got := w.ready(&w.primary, "v1"); got < 4 {
		t.Errorf("users were turned to %d pods, the target has 4", got)
	}
}
