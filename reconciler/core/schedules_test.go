package core

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// This file holds single decisions that random schedules have found to be wrong.

// decided is the plan for a rollout of v2 in a stage, of a Deployment with two pods a side, after edits.
func decided(stage v1beta1.Stage, edit func(*Observed, *v1beta1.CanaryStatus)) Plan {
	now := time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC)
	c := &v1beta1.Canary{Spec: impatient()}
	c.Name, c.Namespace = "app", "test"
	c.Spec.TargetRef = v1beta1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "app"}
	c.Status.Phase, c.Status.PromotedRevision = v1beta1.PhaseProgressing, "v1"
	in := Observed{
		Now: now, Canary: c, Promoted: revisionOf("v1", 2), Live: revisionOf("v2", 2), Stored: map[string]bool{"v1": true, "v2": true},
		Target:   Workload{Exists: true, Current: true, Template: "v2", Replicas: 2, Total: 2, Updated: 2, Available: 2},
		Primary:  Workload{Exists: true, Current: true, Revision: "v1", Replicas: 2, Total: 2, Updated: 2, Available: 2},
		Services: Services{Ready: true, Apex: SidePrimary, PinnedHash: "v2", PrimaryReady: 2, ApexReady: 2, CanaryReady: 2},
		Traffic:  Traffic{Weighted: true, Drain: drainTime}, Route: Route{Exists: true, Accepted: true, Split: onPrimary()},
	}
	d := &decision{in: &in}
	at := d.now()
	if stage != "" {
		c.Status.Rollout = &v1beta1.RolloutStatus{ID: "v2-1", Revision: "v2", Stage: stage, StageSince: at, PodHash: "v2"}
	}
	edit(&in, &c.Status)
	return Decide(in)
}

// scaledTo puts both sides under an autoscaler, with so many pods.
func scaledTo(in *Observed, st *v1beta1.CanaryStatus, primary, target, floor int32) {
	in.Canary.Spec.AutoscalerRef = &v1beta1.AutoscalerReference{LocalObjectReference: v1beta1.LocalObjectReference{Kind: "HorizontalPodAutoscaler", Name: "app"}}
	in.Scaler = Scaler{Exists: true, Target: Limits{1, 10}, Primary: Limits{1, 10}}
	st.Scaler = &v1beta1.ScalerStatus{Kind: "HorizontalPodAutoscaler", Name: "app", Floor: floor}
	in.Primary.Replicas, in.Primary.Total, in.Primary.Updated, in.Primary.Available = primary, primary, primary, primary
	in.Target.Replicas, in.Target.Total, in.Target.Updated, in.Target.Available = target, target, target, target
	in.Services.PrimaryReady, in.Services.CanaryReady = primary, target
}

// A hold may be on a change that cannot be read yet.
func TestHoldStaysWhileTheTargetCannotBeRead(t *testing.T) {
	for _, stage := range []v1beta1.Stage{v1beta1.StageScalingUp, v1beta1.StageAnalysing} {
		p := decided(stage, func(in *Observed, st *v1beta1.CanaryStatus) {
			scaledTo(in, st, 2, 1, 2)
			in.Live, in.Target.Held = nil, true
			in.Target.Updated = 0
		})
		if p.Target != nil && p.Target.Release {
			t.Errorf("in %s a hold is released of which nobody knows what is behind it", stage)
		}
	}
}

// The snapshot of a revision that is analysed in the primary is stored again before the primary is made from it.
func TestRescueStoresALostSnapshotAgain(t *testing.T) {
	p := decided(v1beta1.StageRescuing, func(in *Observed, st *v1beta1.CanaryStatus) {
		ro := st.Rollout
		ro.InPrimary, ro.Shelter, ro.PodHash, st.CanaryWeight = true, 100, "v0", 100
		in.Services.PinnedHash, in.Target.Held = "v0", true
		in.Route.Split = Split{Canary: 100}
		delete(in.Stored, "v2")
	})
	if p.Primary != nil || !p.Store || p.Status.CanaryWeight != 100 {
		t.Errorf("primary %+v, stores %v, weight %d", p.Primary, p.Store, p.Status.CanaryWeight)
	}
}

// Users are not taken to pods of a revision that was being analysed in the primary when the Canary is deleted, nor is its deletion held up by them.
func TestLeavingWaitsForTheRescuedRevisionToGo(t *testing.T) {
	rescued := func(in *Observed, st *v1beta1.CanaryStatus) {
		in.Leaving = true
		st.Rollout.InPrimary, st.Rollout.Shelter, st.CanaryWeight = true, 100, 100
		in.Primary.Total = 3
		in.Route.Split = Split{Canary: 100}
	}
	p := decided(v1beta1.StageRescuing, rescued)
	if p.Status.CanaryWeight != 100 {
		t.Errorf("with a pod of it left users on the target go down to %d%%", p.Status.CanaryWeight)
	}
	p = decided(v1beta1.StageRescuing, func(in *Observed, st *v1beta1.CanaryStatus) {
		rescued(in, st)
		in.Primary.Total = 2
	})
	if p.Status.CanaryWeight != 0 {
		t.Errorf("without one %d%% of the users stay", p.Status.CanaryWeight)
	}
	p = decided(v1beta1.StageLeaving, func(in *Observed, st *v1beta1.CanaryStatus) {
		rescued(in, st)
		since := st.Rollout.StageSince
		since.Time = since.Add(-time.Hour)
		st.Rollout.UnreadySince = &since
	})
	if p.Status.Rollout.Step == 0 {
		t.Error("the deletion waits for ever for a pod that does not go")
	}
}

// Users whom a good canary shelters are not taken back to a primary that is too small, however long that lasts.
func TestShelterWaitsForTheWholePrimary(t *testing.T) {
	for shelter, want := range map[int32]int32{100: 25, 0: 0} {
		p := decided(v1beta1.StageRollingBack, func(in *Observed, st *v1beta1.CanaryStatus) {
			scaledTo(in, st, 4, 4, 4)
			st.Scaler.Returning = true
			in.Services.PrimaryReady, in.Primary.Available = 3, 3
			st.CanaryWeight, st.Rollout.Shelter, st.Rollout.PodHash = 100, shelter, "v2"
			st.Rollout.StageSince.Time = in.Now.Add(-capacityPatience)
			in.Route.Split = Split{Canary: 100}
		})
		if got := p.Status.CanaryWeight; got != want {
			t.Errorf("sheltered %d: %d%% stay, want %d%%", shelter, got, want)
		}
	}
}

// When admission takes users off the canary before a config changes, the primary gets pods for them at once.
func TestFenceRaisesTheFloor(t *testing.T) {
	p := decided(v1beta1.StageAnalysing, func(in *Observed, st *v1beta1.CanaryStatus) {
		scaledTo(in, st, 3, 2, 2)
		st.CanaryWeight, st.Rollout.Course = 40, "canary | 40"
		st.CurrentRevision = "v2"
		in.Route.Fence = &v1beta1.Fence{Cause: "configmap/page", At: st.Rollout.StageSince}
	})
	if p.Scalers == nil || p.Scalers.Floor != 5 || p.Status.CanaryWeight != 0 {
		t.Errorf("autoscalers %+v, weight %d", p.Scalers, p.Status.CanaryWeight)
	}
}

// An application that is taken up while its user rolls it out is taken up afterwards: until then nobody knows by what to tell the pods that serve.
func TestAdoptingWaitsForARollOut(t *testing.T) {
	for updated, done := range map[int32]bool{1: false, 2: true} {
		p := decided("", func(in *Observed, st *v1beta1.CanaryStatus) {
			in.Canary.Spec = ephemeralOf(in.Canary.Spec)
			*st = v1beta1.CanaryStatus{Phase: v1beta1.PhaseInitializing}
			in.Canary.CreationTimestamp.Time = in.Now
			in.Promoted, in.Baseline, in.LivePodHash = nil, revisionOf("v2", 2), "v2"
			in.Primary, in.Target.Updated = Workload{}, updated
			in.Services = Services{Ready: true, Apex: SideTarget, ApexOther: 2}
			in.Route.ViaApex = true
		})
		if marked := p.MarkPromoted == "v2"; marked != done || (p.Status.ServingHash == "v2") != done {
			t.Errorf("with %d of 2 pods of v2: marked %v, hash %q", updated, marked, p.Status.ServingHash)
		}
	}
}

// What a DaemonSet's controller has counted before a change says nothing of the pods that serve after it.
func TestPinOutlastsStaleCounts(t *testing.T) {
	for current, pin := range map[bool]string{false: "v1", true: ""} {
		p := decided("", func(in *Observed, st *v1beta1.CanaryStatus) {
			in.Canary.Spec = ephemeralOf(in.Canary.Spec)
			st.Phase, st.TargetServes, st.ServingHash = v1beta1.PhaseSucceeded, true, "v1"
			in.Live, in.Target.Template, in.Target.Current = revisionOf("v1", 2), "v1", current
			in.Services = Services{Ready: true, Apex: SideTarget, ApexOther: 2}
			in.Route.ViaApex = true
		})
		if p.Services == nil || p.Services.ApexPin != pin {
			t.Errorf("counted since %v: the Services are %+v, want the pin %q", current, p.Services, pin)
		}
	}
}

// A lifecycle that is switched while users are away leaves no pods behind where nobody comes any more. Replicas that are set there later stay.
func TestSwitchedWhileAway(t *testing.T) {
	for hash, trip := range map[string]bool{"v1": true, "": false} {
		p := decided("", func(in *Observed, st *v1beta1.CanaryStatus) {
			st.Phase, st.ServingHash = v1beta1.PhaseSucceeded, hash
			in.Live = revisionOf("v1", 2)
		})
		if got := p.Status.Rollout != nil && p.Status.Rollout.Stage == v1beta1.StageTurning; got != trip {
			t.Errorf("serving hash %q: rollout %+v", hash, p.Status.Rollout)
		}
	}
	p := decided("", func(in *Observed, st *v1beta1.CanaryStatus) {
		st.Phase, st.ServingHash = v1beta1.PhaseSucceeded, "v1"
		in.Live, in.Target.Replicas = revisionOf("v1", 2), 0
	})
	if p.Status.ServingHash != "" {
		t.Error("it is remembered that the target has served, although nobody is there any more")
	}
}

// A primary whose autoscaler does not know the load does not grow with each rollout.
func TestBlindAutoscalerRaisesNoFloor(t *testing.T) {
	for blind, want := range map[bool]int32{true: 2, false: 4} {
		p := decided(v1beta1.StageRollingBack, func(in *Observed, st *v1beta1.CanaryStatus) {
			scaledTo(in, st, 2, 2, 2)
			in.Scaler.Blind, st.CanaryWeight, in.Route.Split = blind, 50, Split{Primary: 50, Canary: 50}
		})
		if p.Scalers == nil || p.Scalers.Floor != want {
			t.Errorf("blind %v: autoscalers %+v, want the floor %d", blind, p.Scalers, want)
		}
	}
}

// A Service that was led back by hand, because the snapshot of its last good revision is lost, need not lead where the primary's copy does.
func TestServiceSetBackByHandIsGivenBack(t *testing.T) {
	for live, back := range map[string]bool{"v1": true, "v3": false} {
		p := decided("", func(in *Observed, st *v1beta1.CanaryStatus) {
			in.Leaving, in.Promoted, in.Live = true, nil, revisionOf(live, 2)
			in.Canary.Spec.TargetRef.APIVersion, in.Canary.Spec.TargetRef.Kind = "v1", "Service"
			in.Target = Workload{Exists: true, Current: true, Template: live}
			in.Primary = Workload{Exists: true, Current: true, Revision: "v2", Replicas: 1, Total: 1, Updated: 1, Available: 1}
			in.Services.ApexOther, in.Services.ApexReady = 2, 0
			in.Route.ViaApex = true
			st.PromotedRevision, st.Phase = "v1", v1beta1.PhaseTerminating
			long := metav1.NewMicroTime(in.Now.Add(-time.Minute))
			st.Rollout = &v1beta1.RolloutStatus{
				ID: "leave", Stage: v1beta1.StageLeaving, Step: 1, StageSince: long, ConvergedAt: &long, UnreadySince: &long,
			}
		})
		if p.GiveBack != back {
			t.Errorf("at %s it is given back: %t, want %t (%s)", live, p.GiveBack, back, p.Status.Condition(v1beta1.ConditionReady).Message)
		}
	}
}

// What is listed for a Service that was given back a moment ago may be the endpoints of before.
func TestServiceIsNotBelievedAsSoonAsItIsWritten(t *testing.T) {
	for waited, turned := range map[time.Duration]bool{0: false, listPatience: true} {
		p := decided("", func(in *Observed, st *v1beta1.CanaryStatus) {
			in.Leaving, in.Live = true, revisionOf("v1", 2)
			in.Canary.Spec.TargetRef.APIVersion, in.Canary.Spec.TargetRef.Kind = "v1", "Service"
			in.Target = Workload{Exists: true, Current: true, Template: "v1"}
			in.Primary = Workload{Exists: true, Current: true, Revision: "v1", Replicas: 1, Total: 1, Updated: 1, Available: 1}
			st.Phase = v1beta1.PhaseTerminating
			st.Rollout = &v1beta1.RolloutStatus{ID: "leave", Stage: v1beta1.StageLeaving, Step: 1}
			if waited > 0 {
				due := metav1.NewMicroTime(in.Now)
				st.Rollout.NextCheckAt = &due
			}
		})
		if got := p.Route != nil && p.Route.ViaApex; got != turned {
			t.Errorf("%s after it was written users are sent to it: %t, want %t", waited, got, turned)
		}
	}
}
