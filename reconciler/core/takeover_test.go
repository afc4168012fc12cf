package core

import (
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// flagged is a world that another controller has driven: a primary runs v1, nothing of it is stored, and the status is a stranger's.
func flagged(phase v1beta1.CanaryPhase) *world {
	w := newWorld(progressive())
	w.primary = workload{exists: true, template: "v1", replicas: 2, generation: 4}
	for range 2 {
		w.primary.pods = append(w.primary.pods, pod{revision: "v1", readyAt: w.now})
	}
	w.target.replicas, w.target.pods = 0, nil
	w.apex, w.inherited = SidePrimary, "v1"
	w.canary.Status.Phase = phase
	w.canary.Status.LastAppliedSpec, w.canary.Status.LastPromotedSpec = "5d8fbc7f9c", "5d8fbc7f9c"
	return w
}

// pods returns how many pods of the primary were there from the beginning.
func (w *world) veterans() int {
	n := 0
	for _, p := range w.primary.pods {
		if !p.readyAt.After(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) {
			n++
		}
	}
	return n
}

func TestTakeOver(t *testing.T) {
	quiet := func(w *world) bool {
		return w.canary.Status.Rollout == nil && w.promoted == "v1" && w.canary.Status.PromotedRevision == "v1"
	}
	t.Run("idle", func(t *testing.T) {
		for _, phase := range []v1beta1.CanaryPhase{v1beta1.PhaseInitialized, v1beta1.PhaseSucceeded} {
			w := flagged(phase)
			w.must(t, time.Minute, func() bool { return quiet(w) })
			w.until(time.Minute, func() bool { return false })
			if w.canary.Status.Phase != phase || w.canary.Status.Rollout != nil || w.veterans() != 2 || w.target.replicas != 0 {
				t.Errorf("%s became %s, rollout %+v, %d of the primary's pods left, target at %d\n%s",
					phase, w.canary.Status.Phase, w.canary.Status.Rollout, w.veterans(), w.target.replicas, w.story())
			}
		}
	})
	t.Run("failed", func(t *testing.T) {
		w := flagged(v1beta1.PhaseFailed)
		w.target.template = "v2"
		w.must(t, time.Minute, func() bool { return quiet(w) })
		w.until(time.Minute, func() bool { return false })
		if st := w.canary.Status; st.Phase != v1beta1.PhaseFailed || st.FailedRevision != "v2" || w.veterans() != 2 {
			t.Errorf("phase %s, failed revision %q, %d of the primary's pods left", st.Phase, st.FailedRevision, w.veterans())
		}
		w.push("v3")
		w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseSucceeded))
		if w.promoted != "v3" {
			t.Errorf("promoted %s after the fix", w.promoted)
		}
	})
	t.Run("changed since", func(t *testing.T) {
		w := flagged(v1beta1.PhaseSucceeded)
		w.target.template = "v2"
		w.must(t, 2*time.Minute, func() bool { return w.promoted == "v2" && w.canary.Status.Rollout == nil })
		if w.first["v2"] != 25 {
			t.Errorf("users met v2 at weight %d first", w.first["v2"])
		}
		golden(t, "taken-over", w.story())
	})
	t.Run("in the middle", func(t *testing.T) {
		for _, phase := range []v1beta1.CanaryPhase{v1beta1.PhaseProgressing, v1beta1.PhaseWaitingPromotion, v1beta1.PhasePromoting, v1beta1.PhaseFinalising} {
			w := flagged(phase)
			w.target = workload{exists: true, template: "v2", replicas: 2, generation: 2}
			for range 2 {
				w.target.pods = append(w.target.pods, pod{revision: "v2", readyAt: w.now})
			}
			w.routes = append(w.routes, split{at: w.now.Add(-time.Hour), Split: Split{Primary: 50, Canary: 50}})
			w.canary.Status.CanaryWeight = 50
			// They met it long ago.
			w.first["v2"] = 50
			w.must(t, time.Minute, func() bool { return w.canary.Status.CanaryWeight == 0 && w.promoted == "v1" })
			w.must(t, 3*time.Minute, func() bool { return w.promoted == "v2" && w.canary.Status.Rollout == nil })
			if w.canary.Status.Phase != v1beta1.PhaseSucceeded || len(w.violations) > 0 {
				t.Errorf("%s: phase %s, violations %v\n%s", phase, w.canary.Status.Phase, w.violations, w.story())
			}
		}
	})
}

// Between storing what the primary runs and noting it in status, the controller may be killed at any write.
func TestTakeOverSurvivesAnyCrash(t *testing.T) {
	for writes := range 12 {
		w := flagged(v1beta1.PhaseSucceeded)
		w.writes = writes
		w.must(t, time.Minute, func() bool { return w.canary.Status.PromotedRevision == "v1" && w.promoted == "v1" })
		w.until(30*time.Second, func() bool { return false })
		if w.canary.Status.Rollout != nil || w.veterans() != 2 {
			t.Errorf("killed after %d writes: rollout %+v, %d of the primary's pods left\n%s", writes, w.canary.Status.Rollout, w.veterans(), w.story())
		}
	}
}
