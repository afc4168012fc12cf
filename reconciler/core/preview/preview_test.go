package preview

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func canaryOf(edits ...func(*v1beta1.Canary)) *v1beta1.Canary {
	c := &v1beta1.Canary{Spec: v1beta1.CanarySpec{
		TargetRef: v1beta1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
		Analysis: v1beta1.CanaryAnalysis{
			Interval: "10s", Threshold: 2, StepWeights: []int32{20, 50}, Metrics: []v1beta1.CanaryMetric{{Name: "success"}, {Name: "latency"}},
			Webhooks: []v1beta1.CanaryWebhook{
				{Name: "smoke", Type: v1beta1.HookPreRollout}, {Name: "load", Type: v1beta1.HookRollout}, {Name: "boss", Type: v1beta1.HookConfirmPromotion},
				{Name: "alarm", Type: v1beta1.HookRollback}, {Name: "log", Type: v1beta1.HookEvent}, {Name: "bye", Type: v1beta1.HookPostRollout},
			},
		},
	}}
	c.Name, c.Namespace = "web", "test"
	c.Status.Phase, c.Status.PromotedRevision, c.Status.CurrentRevision = v1beta1.PhaseSucceeded, "v1", "v1"
	for _, edit := range edits {
		edit(c)
	}
	return c
}

// running has a rollout of v2 under way.
func running(stage v1beta1.Stage) func(*v1beta1.Canary) {
	return func(c *v1beta1.Canary) {
		c.Status.Phase, c.Status.CurrentRevision, c.Status.CanaryWeight = v1beta1.PhaseProgressing, "v2", 20
		c.Status.Rollout = &v1beta1.RolloutStatus{ID: "v2-1", Revision: "v2", PodHash: "hash2", Stage: stage}
	}
}

func TestPreview(t *testing.T) {
	weighted := core.Traffic{Weighted: true, Matches: true, Mirrors: true, Cookies: true, Drain: 2 * time.Second}
	failed := func(c *v1beta1.Canary) { c.Status.FailedRevision, c.Status.Phase = "v2", v1beta1.PhaseFailed }
	ephemeral := func(edit func(*v1beta1.Canary)) *v1beta1.Canary {
		return canaryOf(func(c *v1beta1.Canary) { c.Spec.Primary = &v1beta1.PrimarySpec{Lifecycle: v1beta1.LifecycleEphemeral} }, edit)
	}
	canarySteps := []string{"weight 20", "weight 50"}
	for name, test := range map[string]struct {
		canary   *v1beta1.Canary
		live     string
		replicas int32
		traffic  core.Traffic
		starts   bool
		phase    v1beta1.CanaryPhase
		steps    []string
		// between bound the shortest time, in seconds.
		from, to  float64
		why       string
		reverted  bool
		unchecked bool
		// kept is the revision of a primary that is kept.
		kept           string
		wayBack, moves bool
	}{
		"canary": {canary: canaryOf(), live: "v2", traffic: weighted, starts: true, phase: v1beta1.PhaseSucceeded, steps: canarySteps, from: 22, to: 30},
		"with replicas of its own": {canary: canaryOf(), live: "v2", replicas: 3, traffic: weighted, starts: true, phase: v1beta1.PhaseSucceeded,
			steps: canarySteps, from: 22, to: 30},
		"suspended and paused": {canary: canaryOf(func(c *v1beta1.Canary) {
			c.Spec.Suspend, c.Status.Paused = true, &v1beta1.PausedStatus{By: "joe"}
		}), live: "v2", traffic: weighted, starts: true, phase: v1beta1.PhaseSucceeded, steps: canarySteps, from: 22, to: 30},
		"new Canary": {canary: canaryOf(func(c *v1beta1.Canary) { c.Status = v1beta1.CanaryStatus{} }), live: "v2", traffic: weighted, starts: true,
			phase: v1beta1.PhaseSucceeded, steps: canarySteps, from: 22, to: 30},
		"ephemeral": {canary: canaryOf(func(c *v1beta1.Canary) {
			c.Spec.Primary = &v1beta1.PrimarySpec{Lifecycle: v1beta1.LifecycleEphemeral}
			c.Status.TargetServes, c.Status.ServingHash = true, "v1"
		}), live: "v2", replicas: 2, traffic: weighted, starts: true, phase: v1beta1.PhaseSucceeded, steps: canarySteps, from: 22, to: 40},
		"ephemeral, back to the revision of the kept primary": {canary: ephemeral(func(c *v1beta1.Canary) {
			c.Status.TargetServes, c.Status.ServingHash, c.Status.RetainUntil = true, "v1", &metav1.MicroTime{Time: now.Add(time.Minute)}
		}), live: "v0", kept: "v0", replicas: 2, traffic: weighted, starts: true, phase: v1beta1.PhaseSucceeded, from: 2, to: 20, wayBack: true, unchecked: true},
		"ephemeral, the kept primary is of another revision": {canary: ephemeral(func(c *v1beta1.Canary) {
			c.Status.TargetServes, c.Status.ServingHash, c.Status.RetainUntil = true, "v1", &metav1.MicroTime{Time: now.Add(time.Minute)}
		}), live: "v2", kept: "v0", replicas: 2, traffic: weighted, starts: true, phase: v1beta1.PhaseSucceeded, steps: canarySteps, from: 22, to: 40},
		"ephemeral, back after a failure": {canary: ephemeral(failed), live: "v1", traffic: weighted, starts: true, phase: v1beta1.PhaseFailed,
			from: 2, to: 20, moves: true, unchecked: true},
		"blue/green on Services": {canary: canaryOf(), live: "v2", starts: true, phase: v1beta1.PhaseSucceeded, from: 100, to: 120,
			steps: []string{"iteration 1/10", "iteration 2/10", "iteration 3/10", "iteration 4/10", "iteration 5/10", "iteration 6/10", "iteration 7/10",
				"iteration 8/10", "iteration 9/10", "iteration 10/10"}},
		"skipped once": {canary: canaryOf(func(c *v1beta1.Canary) { c.Status.SkipNextBy = "jane" }), live: "v2", traffic: weighted, starts: true,
			phase: v1beta1.PhaseSucceeded, from: 2, to: 10, unchecked: true},
		"overtakes":             {canary: canaryOf(running(v1beta1.StageAnalysing)), live: "v3", traffic: weighted, starts: true, phase: v1beta1.PhaseSucceeded, steps: canarySteps, from: 24, to: 40},
		"overtakes a promotion": {canary: canaryOf(running(v1beta1.StagePromoting)), live: "v3", traffic: weighted, starts: true, phase: v1beta1.PhaseSucceeded, steps: canarySteps, from: 24, to: 40},
		"back to the promoted":  {canary: canaryOf(running(v1beta1.StageAnalysing)), live: "v1", traffic: weighted, phase: v1beta1.PhaseSucceeded, from: 1, to: 10, reverted: true},
		"no change":             {canary: canaryOf(), live: "v1", traffic: weighted, why: "the primary serves revision v1", unchecked: true},
		"failed before":         {canary: canaryOf(failed), live: "v2", traffic: weighted, why: "revision v2 failed and waits for a fix: see the events of the Canary", unchecked: true},
	} {
		t.Run(name, func(t *testing.T) {
			before := test.canary.DeepCopy()
			out := Of(Input{Now: now, Canary: test.canary, Traffic: test.traffic, Live: test.live, Replicas: test.replicas, Kept: test.kept})
			if out.Starts != test.starts || out.Phase != test.phase || !slices.Equal(out.Steps, test.steps) || out.Reverted != test.reverted || out.Why != test.why {
				t.Errorf("outlook %+v", out)
			}
			if out.WayBack != test.wayBack || test.moves && !out.Moves {
				t.Errorf("way back %t, moves %t", out.WayBack, out.Moves)
			}
			if s := out.Shortest.Seconds(); s < test.from || s > test.to {
				t.Errorf("it takes %s, want %v to %v s", out.Shortest, test.from, test.to)
			}
			if test.starts && !test.unchecked {
				slices.Sort(out.Hooks)
				if !slices.Equal(out.Checks, []string{"success", "latency"}) || !slices.Equal(out.Gates, []string{"confirm-promotion boss"}) ||
					!slices.Equal(out.Hooks, []string{"post-rollout bye", "pre-rollout smoke", "rollback alarm", "rollout load"}) {
					t.Errorf("checks %v, gates %v, hooks %v", out.Checks, out.Gates, out.Hooks)
				}
			}
			if !slices.Equal(before.Spec.Analysis.StepWeights, test.canary.Spec.Analysis.StepWeights) || before.Status.Phase != test.canary.Status.Phase {
				t.Error("the preview has changed the Canary")
			}
		})
	}
}
