package core

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// TestPausedByItsOwner changes a target whose owner has paused it: the change waits, is not called bad for having no pods, and is rolled out once it is resumed.
func TestPausedByItsOwner(t *testing.T) {
	for name, spec := range map[string]v1beta1.CanarySpec{"persistent": progressive(), "ephemeral": ephemeralOf(progressive())} {
		t.Run(name, func(t *testing.T) {
			deadline := int32(30)
			spec.ProgressDeadlineSeconds = &deadline
			w := newWorld(spec)
			w.must(t, time.Minute, w.phase(v1beta1.PhaseInitialized))
			// The target of a persistent primary is on its way to zero.
			w.must(t, time.Minute, func() bool { return len(w.target.pods) == w.target.replicas })
			before := w.identities()
			w.target.paused, w.dirty = true, true
			w.push("v2")
			late := w.now.Add(2 * time.Minute)
			w.must(t, 3*time.Minute, func() bool { return w.now.After(late) })
			ready := w.canary.Status.Condition(v1beta1.ConditionReady)
			if ro := w.canary.Status.Rollout; ro == nil || ro.Revision != "v2" || ready.Reason != "TargetPaused" || !strings.Contains(ready.Message, "kubectl rollout resume") {
				t.Errorf("rollout %+v, Ready %s: %s", ro, ready.Reason, ready.Message)
			}
			if !slices.Equal(before, w.identities()) {
				t.Error("pods were replaced although the target is paused")
			}
			w.target.paused, w.dirty = false, true
			w.must(t, 3*time.Minute, func() bool { return w.phase(v1beta1.PhaseSucceeded)() && w.promoted == "v2" })
			if len(w.violations) > 0 {
				t.Errorf("violations: %v", w.violations)
			}
		})
	}
}

// TestPausedDuringARollout says why the pods of a canary do not come that was paused after its rollout had begun.
func TestPausedDuringARollout(t *testing.T) {
	w := newWorld(ephemeralOf(progressive()))
	w.must(t, time.Minute, w.phase(v1beta1.PhaseInitialized))
	w.push("v2")
	w.must(t, time.Minute, func() bool { ro := w.canary.Status.Rollout; return ro != nil && ro.Stage == v1beta1.StageTurning })
	w.target.paused, w.dirty = true, true
	w.must(t, time.Minute, func() bool {
		ready := w.canary.Status.Condition(v1beta1.ConditionReady)
		return ready.Reason == "CanaryNotReady" && strings.Contains(ready.Message, "it is paused by its owner: kubectl rollout resume")
	})
	w.target.paused, w.dirty = false, true
	w.must(t, 3*time.Minute, w.atHome("v2"))
}

// TestFailedWhileHeldTellsTheWayOut: kubectl refuses to undo what is paused, so people are told what to do instead.
func TestFailedWhileHeldTellsTheWayOut(t *testing.T) {
	deadline := int32(30)
	w := newWorld(ephemeralOf(progressive()))
	w.must(t, time.Minute, w.phase(v1beta1.PhaseInitialized))
	w.canary.Spec.ProgressDeadlineSeconds = &deadline
	w.brokenOnPrimary = []string{"v1"}
	w.push("v2")
	w.must(t, 2*time.Minute, func() bool {
		ready := w.canary.Status.Condition(v1beta1.ConditionReady)
		return ready.Reason == "RolloutFailed" && strings.Contains(ready.Message, "apply a fix or the version before, or retry it")
	})
}
