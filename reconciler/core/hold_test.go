package core

import (
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// TestHeldNoLongerThanNeeded changes the target while its initialisation waits for a gateway that is not there: the change is held for a
// while, then goes ahead, and later ones are not held at all. Once the gateway is there, what the target has become is analysed.
func TestHeldNoLongerThanNeeded(t *testing.T) {
	w := newWorld(progressive())
	w.stored["v1"], w.baseline, w.gateless, w.strict = true, "v1", true, true
	w.until(2*time.Second, func() bool { return false })
	w.push("v2")
	if !w.target.held {
		t.Error("a change during the initialisation is not held")
	}
	w.must(t, 2*time.Minute, func() bool { return !w.target.held && w.ready(&w.target, "v2") == 2 })
	w.push("v3")
	if w.target.held {
		t.Error("a change is held though the initialisation waits for somebody")
	}
	if w.apex != SidePrimary || w.primary.template != "v1" {
		t.Errorf("users are on the %s side, the primary runs %s", w.apex, w.primary.template)
	}
	w.gateless, w.dirty = false, true
	w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseSucceeded))
	if w.promoted != "v3" || w.first["v3"] != 25 || w.first["v2"] != 0 || len(w.violations) > 0 {
		t.Errorf("promoted %s, first weights %v, violations %v", w.promoted, w.first, w.violations)
	}
}

// TestSuspendedIsNotHeld leaves an application alone whose Canary was created suspended.
func TestSuspendedIsNotHeld(t *testing.T) {
	w := newWorld(progressive())
	w.canary.Spec.Suspend = true
	w.step()
	w.push("v2")
	if w.target.held {
		t.Error("held")
	}
	w.must(t, time.Minute, func() bool { return w.ready(&w.target, "v2") == 2 && len(w.target.pods) == 2 })
	if w.primary.exists || w.apex != SideTarget {
		t.Errorf("primary exists: %v, apex on the %s", w.primary.exists, w.apex)
	}
}

// TestNeedsFence goes through all stages: users may be on a canary, or on their way off it, from the moment it has pods until they are gone.
func TestNeedsFence(t *testing.T) {
	c := &v1beta1.Canary{}
	if NeedsFence(c) {
		t.Error("without a rollout there is nobody to take off")
	}
	for stage, want := range map[v1beta1.Stage]bool{
		v1beta1.StageSettling: false, v1beta1.StageConfirming: false, v1beta1.StageScalingUp: true, v1beta1.StagePreparing: true,
		v1beta1.StageAnalysing: true, v1beta1.StageConfirmingPromotion: true, v1beta1.StagePromoting: true, v1beta1.StageFinalising: true,
		v1beta1.StageFencing: true, v1beta1.StageRollingBack: true, v1beta1.StageLeaving: false, "": true, "OfALaterVersion": true,
	} {
		c.Status.Rollout = &v1beta1.RolloutStatus{Stage: stage}
		if NeedsFence(c) != want || NeedsHold(c, time.Time{}) != want {
			t.Errorf("stage %q: fence %v, hold %v; want %v", stage, NeedsFence(c), NeedsHold(c, time.Time{}), want)
		}
	}
}
