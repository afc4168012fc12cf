package core

import (
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// TestScaledStories compares rollouts under an autoscaler with golden files. Whatever it makes of load that is gone, each side has the pods that its
// users need.
func TestScaledStories(t *testing.T) {
	half := func(t *testing.T, w *world) {
		t.Helper()
		w.push("v2")
		w.must(t, 2*time.Minute, func() bool { return w.canary.Status.CanaryWeight == 50 })
	}
	stories := map[string]func(t *testing.T, w *world){
		"scaled-promoted": func(t *testing.T, w *world) {
			w.push("v2")
			w.must(t, 5*time.Minute, w.phase(v1beta1.PhaseSucceeded))
			w.until(3*time.Minute, func() bool { return false })
			if w.promoted != "v2" || w.target.replicas != 0 || w.primary.replicas != 4 || w.scaler.floor != 0 || !w.scaler.asleep {
				t.Errorf("promoted %s, target at %d, primary at %d, autoscaler %+v", w.promoted, w.target.replicas, w.primary.replicas, w.scaler)
			}
		},
		"scaled-rolled-back-as-load-doubles": func(t *testing.T, w *world) {
			half(t, w)
			w.until(time.Minute, func() bool { return w.target.replicas == 2 })
			w.logf("users: twice as many")
			// The autoscaler follows while the step lasts, so each side has what its half needs; the way back needs the whole.
			w.canary.Spec.Analysis.Interval = "2m"
			w.strict, w.scaler.users = false, 8
			w.until(90*time.Second, func() bool { return w.ready(&w.primary, "") >= 4 && w.ready(&w.target, "") >= 4 })
			w.strict, w.verdict = true, metricFails
			w.canary.Spec.Analysis.Interval, w.canary.Spec.Analysis.Threshold, w.dirty = "10s", 1, true
			w.must(t, 3*time.Minute, w.phase(v1beta1.PhaseFailed))
			w.until(3*time.Minute, func() bool { return false })
			if w.primary.replicas != 8 || w.target.replicas != 0 {
				t.Errorf("the primary has %d pods for the users of 8, the target %d", w.primary.replicas, w.target.replicas)
			}
		},
		"scaled-primary-shrunk-by-hand": func(t *testing.T, w *world) {
			half(t, w)
			w.logf("user: scales the primary to 1")
			w.strict, w.primary.replicas, w.dirty = false, 1, true
			for w.ready(&w.primary, "") > 1 {
				w.step()
			}
			w.must(t, time.Minute, func() bool { return w.ready(&w.primary, "") == 4 })
			w.strict, w.verdict = true, metricFails
			w.must(t, 3*time.Minute, w.phase(v1beta1.PhaseFailed))
		},
	}
	for name, play := range stories {
		t.Run(name, func(t *testing.T) {
			w := newWorld(progressive())
			w.target.replicas = 4
			w.target.pods = nil
			w.live()
			w.autoscaled(autoscaler{min: 1, max: 10, users: 4})
			w.must(t, time.Minute, w.phase(v1beta1.PhaseInitialized))
			w.until(3*time.Minute, func() bool { return false })
			w.strict = true
			play(t, w)
			if len(w.violations) > 0 {
				t.Errorf("violations: %v", w.violations)
			}
			golden(t, name, w.story())
		})
	}
}

// A primary that its autoscaler has taken the last pod from is ready between rollouts, and has a pod again before the canary is compared with it.
func TestPrimaryAtRest(t *testing.T) {
	w := newWorld(progressive())
	w.autoscaled(autoscaler{min: 0, max: 10, users: 0})
	w.must(t, time.Minute, w.phase(v1beta1.PhaseInitialized))
	w.until(3*time.Minute, func() bool { return false })
	w.primary.replicas, w.primary.pods, w.dirty = 0, nil, true
	w.step()
	if ready := w.canary.Status.Condition(v1beta1.ConditionReady); ready == nil || ready.Status != "True" {
		t.Errorf("at rest the Canary is %+v", ready)
	}
	w.push("v2")
	w.must(t, time.Minute, func() bool { return w.canary.Status.CanaryWeight > 0 })
	if w.ready(&w.primary, "") == 0 {
		t.Error("users are shared out with a primary that has no pod")
	}
	w.must(t, 3*time.Minute, w.phase(v1beta1.PhaseSucceeded))
}

// A step does not wait for ever for an autoscaler that takes the canary's pods away.
func TestStubbornAutoscaler(t *testing.T) {
	w := newWorld(progressive())
	w.target.replicas = 8
	w.target.pods = nil
	w.live()
	w.autoscaled(autoscaler{min: 1, max: 10, users: 8})
	w.must(t, time.Minute, w.phase(v1beta1.PhaseInitialized))
	w.push("v2")
	w.must(t, 2*time.Minute, func() bool { return w.canary.Status.CanaryWeight == 25 })
	for end := w.now.Add(5 * time.Minute); w.now.Before(end) && w.canary.Status.CanaryWeight == 25; w.step() {
		w.target.replicas = 1
	}
	if w.canary.Status.CanaryWeight != 50 {
		t.Errorf("the canary is still at %d:\n%s", w.canary.Status.CanaryWeight, w.story())
	}
}

func TestLoad(t *testing.T) {
	for _, test := range []struct{ primary, target, share, want int32 }{
		{4, 0, 0, 4},
		{4, 2, 0, 4},
		{2, 2, 50, 4},
		{4, 2, 50, 4},
		{4, 4, 50, 8},
		{4, 2, 5, 5},
		{1, 4, 100, 4},
		{0, 0, 0, 1},
		{3, 1, 25, 4},
	} {
		if got := load(test.primary, test.target, test.share); got != test.want {
			t.Errorf("load(%d, %d, %d%%) = %d, want %d", test.primary, test.target, test.share, got, test.want)
		}
	}
	// None of the bounds is below what the users need, so the least is not either.
	for users := range int32(20) {
		users++
		for share := range int32(101) {
			primary, target := part(users, 100-share, 100), part(users, share, 100)
			for spare := range int32(3) {
				if got := load(primary+spare, target, share); got < users {
					t.Fatalf("%d users at %d%%: load(%d, %d) = %d", users, share, primary+spare, target, got)
				}
			}
		}
	}
}

// While the target's pods serve all users because the primary cannot, there are as many as these need; what is held stays held.
func TestRescueGrowsTheTarget(t *testing.T) {
	in := Observed{
		Now:    time.Unix(1000, 0),
		Canary: &v1beta1.Canary{Spec: progressive()},
		Target: Workload{Exists: true, Replicas: 2}, Primary: Workload{Exists: true, Replicas: 2},
		Scaler: Scaler{Exists: true, Target: Limits{1, 10}, Primary: Limits{1, 10}},
	}
	in.Canary.Spec.AutoscalerRef = &v1beta1.AutoscalerReference{LocalObjectReference: v1beta1.LocalObjectReference{Kind: "HorizontalPodAutoscaler", Name: "app"}}
	in.Canary.Status.CanaryWeight = 50
	in.Canary.Status.Scaler = &v1beta1.ScalerStatus{Kind: "HorizontalPodAutoscaler", Name: "app", Floor: 4}
	in.Canary.Status.Rollout = &v1beta1.RolloutStatus{Stage: v1beta1.StageConfirmingRescue}
	d := newDecision(in)
	d.planScalers()
	if p := d.plan.Target; p == nil || p.Replicas == nil || *p.Replicas != 4 || p.Release {
		t.Fatalf("the target is planned as %+v, want 4 replicas and no release", p)
	}
	if d.plan.Scalers.Target != ScalerAwake {
		t.Errorf("the target's autoscaler is %q", d.plan.Scalers.Target)
	}
	in.Target.Replicas = 4
	d = newDecision(in)
	d.planScalers()
	if d.plan.Target != nil {
		t.Errorf("the target grows on and on: %+v", *d.plan.Target.Replicas)
	}
}
