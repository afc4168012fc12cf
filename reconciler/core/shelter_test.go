package core

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// breakPrimary keeps pods of the primary from being ready with the given revisions, until the next call; also those that were ready.
func (w *world) breakPrimary(revisions ...string) {
	w.brokenOnPrimary = revisions
	for i := range w.primary.pods {
		if p := &w.primary.pods[i]; slices.Contains(revisions, p.revision) {
			p.readyAt = w.now.Add(24 * time.Hour)
		} else {
			p.readyAt = earliest(p.readyAt, w.now.Add(podReady))
		}
	}
	w.dirty = true
	w.logf("cluster: in the primary no pod gets ready with %v", revisions)
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// impatient is a progressive canary with a short deadline.
func impatient() v1beta1.CanarySpec {
	spec := progressive()
	spec.ProgressDeadlineSeconds = new(int32(30))
	return spec
}

func (w *world) says(t *testing.T, reason string, texts ...string) {
	t.Helper()
	c := w.canary.Status.Condition(v1beta1.ConditionReady)
	if c == nil || c.Reason != reason {
		t.Errorf("the Canary says %+v, want %s", c, reason)
		return
	}
	for _, text := range texts {
		if !strings.Contains(c.Message, text) {
			t.Errorf("the Canary says %q, want it to name %q", c.Message, text)
		}
	}
}

// A promotion fails and the old revision still works: users are served all along.
func TestFailedPromotion(t *testing.T) {
	w := initialised(t, impatient(), true)
	w.strict = true
	w.breakPrimary("v2")
	w.push("v2")
	w.must(t, 3*time.Minute, w.phase(v1beta1.PhaseFailed))
	if w.primary.template != "v1" || w.ready(&w.primary, "v1") != 2 || w.target.replicas != 0 || w.promoted != "v1" || len(w.violations) > 0 {
		t.Errorf("primary %+v, target %+v, promoted %s, %v", w.primary, w.target, w.promoted, w.violations)
	}
	golden(t, "failed-promotion", w.story())
}

// The old revision does not work any more either: the healthy canary takes all users and is kept, while a fix is shipped.
func TestFailedPromotionWithBrokenPrimaryThenFix(t *testing.T) {
	w := initialised(t, impatient(), true)
	w.push("v2")
	w.must(t, time.Minute, func() bool { return w.canary.Status.CanaryWeight == 50 })
	w.breakPrimary("v1", "v2")
	w.must(t, 2*time.Minute, func() bool { return w.canary.Status.Phase == v1beta1.PhaseFailed })
	w.strict = true
	for range 3000 {
		w.step()
		if w.canary.Status.CanaryWeight != 100 || w.ready(&w.target, "v2") != 2 {
			t.Fatalf("the only healthy copy serves %d%% of the users with %d pods\n%s", w.canary.Status.CanaryWeight, w.ready(&w.target, "v2"), w.story())
		}
	}
	w.says(t, "PromotionFailed", "app serve 100%", "app-primary", "change app")
	w.push("v3")
	served := false
	w.must(t, 5*time.Minute, func() bool {
		served = served || w.canary.Status.CanaryWeight == 75
		if st := w.canary.Status; w.ready(&w.target, "v2") < 2 && st.CanaryWeight > 0 {
			t.Fatalf("the canary lost its pods at weight %d\n%s", st.CanaryWeight, w.story())
		}
		return w.phase(v1beta1.PhaseSucceeded)()
	})
	if !served || w.promoted != "v3" || w.primary.template != "v3" || w.target.replicas != 0 || w.target.held || len(w.violations) > 0 {
		t.Errorf("step by step %v, promoted %s, primary %s, target %+v, %v", served, w.promoted, w.primary.template, w.target, w.violations)
	}
	golden(t, "failed-promotion-then-fix", w.story())
}

// Without a route nobody can be sent to the healthy canary: its pods are kept, nobody is told that they serve, and a fix is shipped.
func TestFailedPromotionWithoutARoute(t *testing.T) {
	spec := blueGreen()
	spec.ProgressDeadlineSeconds = new(int32(30))
	w := initialised(t, spec, false)
	w.push("v2")
	w.must(t, time.Minute, func() bool { ro := w.canary.Status.Rollout; return ro != nil && ro.Stage == v1beta1.StagePromoting })
	w.breakPrimary("v1", "v2")
	w.must(t, 2*time.Minute, func() bool { return w.canary.Status.Phase == v1beta1.PhaseFailed })
	w.stays(t, "the healthy pods are kept, without users", func() bool {
		return w.canary.Status.CanaryWeight == 0 && w.ready(&w.target, "v2") == 2 && w.canary.Status.Rollout != nil
	})
	w.says(t, "RollingBack", "no route can send them", "app-canary")
	w.ships(t, "v3")
	golden(t, "failed-promotion-without-a-route", w.story())
}

// A fix that fails in the primary leaves users where they were, and the next one is taken up.
func TestFixThatFailsLeavesTheHealthyCopy(t *testing.T) {
	for name, breaks := range map[string]func(*world){
		"never ready": func(w *world) { w.breakPrimary("v1", "v2", "v3") },
		"bad metrics": func(w *world) { w.verdict = metricFails },
	} {
		t.Run(name, func(t *testing.T) {
			w := initialised(t, impatient(), true)
			w.push("v2")
			w.must(t, time.Minute, func() bool { return w.canary.Status.CanaryWeight == 50 })
			w.breakPrimary("v1", "v2")
			w.must(t, 3*time.Minute, func() bool {
				return w.canary.Status.CanaryWeight == 100 && w.canary.Status.Phase == v1beta1.PhaseFailed
			})
			w.strict = true
			breaks(w)
			w.push("v3")
			w.must(t, 5*time.Minute, func() bool { return w.canary.Status.FailedRevision == "v3" && w.canary.Status.CanaryWeight == 100 })
			if w.ready(&w.target, "v2") != 2 {
				t.Errorf("the healthy copy is gone: %+v\n%s", w.target, w.story())
			}
			w.verdict = func(Check) v1beta1.Verdict { return v1beta1.VerdictPass }
			w.push("v4")
			w.must(t, 5*time.Minute, w.phase(v1beta1.PhaseSucceeded))
			if w.promoted != "v4" || len(w.violations) > 0 {
				t.Errorf("promoted %s, %v\n%s", w.promoted, w.violations, w.story())
			}
		})
	}
}

// A primary that comes back takes its users back, and the target goes to zero.
func TestPrimaryComesBackAfterAFailedPromotion(t *testing.T) {
	w := initialised(t, impatient(), true)
	w.push("v2")
	w.must(t, time.Minute, func() bool { return w.canary.Status.CanaryWeight == 50 })
	w.breakPrimary("v1", "v2")
	w.must(t, 3*time.Minute, func() bool {
		return w.canary.Status.CanaryWeight == 100 && w.canary.Status.Phase == v1beta1.PhaseFailed
	})
	w.strict = true
	w.breakPrimary("v2")
	w.must(t, time.Minute, w.phase(v1beta1.PhaseFailed))
	if w.primary.template != "v1" || w.target.replicas != 0 || len(w.violations) > 0 {
		t.Errorf("primary %+v, target %+v, %v", w.primary, w.target, w.violations)
	}
}

// Between rollouts the primary breaks: a fix is analysed and promoted all the same.
func TestFixWhileThePrimaryIsUnhealthy(t *testing.T) {
	w := initialised(t, impatient(), true)
	w.breakPrimary("v1")
	w.push("v2")
	w.must(t, 3*time.Minute, w.phase(v1beta1.PhaseSucceeded))
	if w.promoted != "v2" || w.first["v2"] != 25 || len(w.violations) > 0 {
		t.Errorf("promoted %s, first weight %d, %v", w.promoted, w.first["v2"], w.violations)
	}
	golden(t, "fix-of-a-broken-primary", w.story())
}

// Neither the primary nor a canary that failed its analysis is healthy: the next revision is taken up.
func TestFixAfterAFailedFix(t *testing.T) {
	w := initialised(t, impatient(), true)
	w.breakPrimary("v1")
	w.verdict = metricFails
	w.push("v2")
	w.must(t, 3*time.Minute, func() bool { return w.canary.Status.FailedRevision == "v2" })
	w.verdict = func(Check) v1beta1.Verdict { return v1beta1.VerdictPass }
	w.push("v3")
	w.must(t, 5*time.Minute, w.phase(v1beta1.PhaseSucceeded))
	if w.promoted != "v3" || len(w.violations) > 0 {
		t.Errorf("promoted %s, %v", w.promoted, w.violations)
	}
}

// The very first revision never becomes ready as primary: users stay on the target, and a fix is picked up.
func TestFirstRevisionNeverReady(t *testing.T) {
	w := newWorld(impatient())
	w.strict = true
	w.brokenOnPrimary = []string{"v1"}
	for range 1200 {
		w.step()
	}
	if w.target.replicas != 2 || w.apex != SideTarget {
		t.Fatalf("users were taken off the target: %+v\n%s", w.target, w.story())
	}
	w.says(t, "PrimaryNotReady", "2 pods")
	w.push("v2")
	w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseInitialized))
	if w.promoted != "v2" || len(w.violations) > 0 {
		t.Errorf("promoted %s, %v", w.promoted, w.violations)
	}
	golden(t, "first-never-ready", w.story())
}

// A cluster is restored from its backup with an empty status, the last good revision does not come up any more and the target is at zero: what the target is
// changed to is only given to users if somebody asks for that, and then it is.
func TestRestoredWithoutAHealthyCopy(t *testing.T) {
	w := initialised(t, impatient(), true)
	w.canary.Status = v1beta1.CanaryStatus{}
	w.breakPrimary("v1")
	w.push("v2")
	for range 1200 {
		w.step()
	}
	if w.promoted != "v1" || w.first["v2"] > 0 {
		t.Fatalf("v2 was taken up unasked: promoted %s, first weight %d\n%s", w.promoted, w.first["v2"], w.story())
	}
	w.says(t, "PrimaryNotReady", "set spec.skipAnalysis")
	w.edit("sets skipAnalysis", func(s *v1beta1.CanarySpec) { s.SkipAnalysis = true })
	w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseInitialized))
	if w.promoted != "v2" {
		t.Errorf("promoted %s", w.promoted)
	}
	golden(t, "restored-without-a-healthy-copy", w.story())
}
