package core

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// TestConfigStories compares rollouts during which a config changes through admission with golden files.
func TestConfigStories(t *testing.T) {
	stories := map[string]func(t *testing.T, w *world){
		"config-changed": func(t *testing.T, w *world) {
			w.changeConfig("c1", 2*time.Second)
			w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseSucceeded))
			if w.promoted != "v2+c1" || w.first["v2+c1"] != 25 {
				t.Errorf("promoted %s, first weights %v", w.promoted, w.first)
			}
		},
		"config-change-refused": func(t *testing.T, w *world) {
			asked := w.canary.Status.Rollout.Attempt
			w.changeConfig("c1", never)
			w.must(t, 30*time.Second, func() bool { return w.canary.Status.CanaryWeight == 0 && w.canary.Status.Rollout.Fenced != nil })
			if ready := w.canary.Status.Condition(v1beta1.ConditionReady); ready.Reason != "Fenced" || !strings.Contains(ready.Message, "configmap/page") {
				t.Errorf("Ready says %s: %s", ready.Reason, ready.Message)
			}
			w.must(t, 30*time.Second, func() bool { return w.canary.Status.CanaryWeight == 50 })
			if w.canary.Status.Rollout.Attempt == asked || w.routes[len(w.routes)-1].fence != nil {
				t.Errorf("the round of checks from before the fence goes on, or the fence still stands: %+v", w.canary.Status.Rollout)
			}
			w.must(t, time.Minute, w.phase(v1beta1.PhaseSucceeded))
			if w.promoted != "v2" {
				t.Errorf("promoted %s", w.promoted)
			}
		},
		"config-changed-twice": func(t *testing.T, w *world) {
			w.changeConfig("c1", never)
			w.until(3*time.Second, func() bool { return false })
			w.changeConfig("c1", never)
			w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseSucceeded))
			if w.promoted != "v2" {
				t.Errorf("promoted %s", w.promoted)
			}
		},
		"config-changed-while-promoting": func(t *testing.T, w *world) {
			w.must(t, time.Minute, func() bool { return w.canary.Status.Phase == v1beta1.PhasePromoting })
			w.changeConfig("c1", time.Second)
			w.must(t, time.Minute, func() bool { return w.promoted == "v2" })
			w.must(t, 2*time.Minute, func() bool { return w.promoted == "v2+c1" && w.canary.Status.Rollout == nil })
		},
	}
	for name, play := range stories {
		t.Run(name, func(t *testing.T) {
			w := initialised(t, progressive(), true)
			w.strict, w.mounted = true, true
			w.push("v2")
			w.must(t, time.Minute, func() bool { return w.canary.Status.CanaryWeight == 50 })
			play(t, w)
			if len(w.violations) > 0 {
				t.Errorf("violations: %v", w.violations)
			}
			golden(t, name, w.story())
		})
	}
}

// fencedAt is a rollout at weight 50 with a fence on its route, as one decision sees it.
func fencedAt(t *testing.T, f v1beta1.Fence) (*world, Observed) {
	t.Helper()
	w := initialised(t, progressive(), true)
	w.push("v2")
	w.must(t, time.Minute, func() bool { return w.canary.Status.CanaryWeight == 50 })
	in := w.observe()
	in.Route.Fence, in.Route.Canary, in.Route.Primary = &f, 0, 100
	return w, in
}

// TestFencesOfOtherClocks: the wait for a change is bounded by the reconciler's own clock, whatever that of the replica that wrote the fence says.
func TestFencesOfOtherClocks(t *testing.T) {
	for name, skew := range map[string]time.Duration{"right": 0, "an hour behind": -time.Hour, "a year ahead": 365 * 24 * time.Hour} {
		w, in := fencedAt(t, v1beta1.Fence{})
		in.Route.Fence = &v1beta1.Fence{Cause: "configmap/page", At: metav1.NewMicroTime(w.now.Add(skew + 123*time.Nanosecond))}
		first := Decide(in)
		if first.Route == nil || first.Route.Canary != 0 || !first.Route.KeepFence || first.RequeueAfter > fencePatience {
			t.Fatalf("%s: at first the route is %+v, looked at again in %s", name, first.Route, first.RequeueAfter)
		}
		after := func(dur time.Duration) Plan {
			later := in
			later.Now = in.Now.Add(dur)
			later.Canary = in.Canary.DeepCopy()
			first.Status.DeepCopyInto(&later.Canary.Status)
			// As an object that was stored and read back.
			fenced := later.Canary.Status.Rollout.Fenced
			fenced.At = metav1.NewMicroTime(fenced.At.Truncate(time.Microsecond))
			return Decide(later)
		}
		if p := after(fencePatience - tick); p.Route.Canary != 0 || !p.Route.KeepFence {
			t.Errorf("%s: in time, the route is %+v", name, p.Route)
		}
		if p := after(fencePatience); p.Route.Canary != 50 || p.Route.KeepFence {
			t.Errorf("%s: in the end, the route is %+v", name, p.Route)
		}
		// A clock that was set back makes the wait no longer than the patience.
		back := after(-time.Hour)
		if since := back.Status.Rollout.Fenced.Since; since.After(in.Now.Add(-time.Hour)) {
			t.Errorf("%s: the clock was set back, and the wait counts from %s", name, since)
		}
	}
}

// TestFenceEdges are situations of one decision.
func TestFenceEdges(t *testing.T) {
	now := metav1.NewMicroTime(time.Date(2026, 1, 1, 0, 1, 0, 0, time.UTC))
	standing := v1beta1.Fence{Cause: "configmap/page", At: now}
	type want struct {
		canary int
		keep   bool
		reason string
		stage  v1beta1.Stage
	}
	tests := map[string]struct {
		fence  v1beta1.Fence
		change func(*Observed)
		want   want
	}{
		"stands":         {standing, func(*Observed) {}, want{0, true, "Fenced", v1beta1.StageAnalysing}},
		"cannot be read": {v1beta1.Fence{}, func(*Observed) {}, want{50, false, "", v1beta1.StageAnalysing}},
		"the revision cannot be read": {
			standing, func(in *Observed) { in.Live = nil }, want{0, true, "Fenced", v1beta1.StageAnalysing},
		},
		"the primary has half of its capacity": {
			standing, func(in *Observed) { in.Services.PrimaryReady = 1 }, want{50, true, "Fenced", v1beta1.StageAnalysing},
		},
		"the primary has a bit more than half": {
			standing, func(in *Observed) { in.Primary.Replicas, in.Services.PrimaryReady = 10, 7 }, want{30, true, "Fenced", v1beta1.StageAnalysing},
		},
		"the change has landed": {
			standing, func(in *Observed) { in.Live = &Revision{Digest: "v2+c1", Template: "v2"} }, want{0, false, "Fencing", v1beta1.StageFencing},
		},
		"suspended": {standing, func(in *Observed) { in.Canary.Spec.Suspend = true }, want{0, true, "Fenced", v1beta1.StageAnalysing}},
		"the snapshot of the promoted revision is lost": {
			standing, func(in *Observed) { in.Promoted = nil }, want{0, true, "SnapshotLost", v1beta1.StageAnalysing},
		},
		"rolling back": {
			standing, func(in *Observed) { in.Canary.Status.Rollout.Stage = v1beta1.StageRollingBack }, want{0, true, "RollingBack", v1beta1.StageRollingBack},
		},
		"promoting": {
			standing, func(in *Observed) { in.Canary.Status.Rollout.Stage = v1beta1.StagePromoting }, want{0, true, "PrimaryNotReady", v1beta1.StagePromoting},
		},
		"promoting while the primary is short": {standing, func(in *Observed) {
			in.Canary.Status.Rollout.Stage, in.Primary.Replicas, in.Services.PrimaryReady = v1beta1.StagePromoting, 10, 7
		}, want{30, true, "PrimaryNotReady", v1beta1.StagePromoting}},
	}
	for name, tt := range tests {
		_, in := fencedAt(t, tt.fence)
		tt.change(&in)
		asked := in.Canary.Status.Rollout.Attempt
		p := Decide(in)
		if p.Route == nil || p.Route.Canary != tt.want.canary || p.Route.KeepFence != tt.want.keep || p.Route.Canary+p.Route.Primary != 100 {
			t.Errorf("%s: the route is %+v, want %+v", name, p.Route, tt.want)
		}
		ready := p.Status.Condition(v1beta1.ConditionReady)
		if tt.want.reason != "" && ready.Reason != tt.want.reason {
			t.Errorf("%s: Ready is %s: %s; want %s", name, ready.Reason, ready.Message, tt.want.reason)
		}
		if p.Status.Rollout.Stage != tt.want.stage {
			t.Errorf("%s: in %s, want %s", name, p.Status.Rollout.Stage, tt.want.stage)
		}
		if tt.want.reason == "Fenced" && (len(p.Checks) > 0 || p.Status.Rollout.Attempt == asked || p.Status.Rollout.NextCheckAt != nil) {
			t.Errorf("%s: the step is judged behind the fence: %v, %+v", name, p.Checks, p.Status.Rollout)
		}
	}
}
