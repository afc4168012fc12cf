package core

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// This file holds what rollouts ask of autoscalers: that of the target sleeps while the target is idle, and the primary's copy keeps the primary as
// large as the users need who are on their way to it.

// floorLinger is how long the primary keeps its size after its users are back: an autoscaler decides on load as it was measured, and what it knows is
// from the time when they were away.
const floorLinger = 2 * time.Minute

// scaled tells whether autoscalers decide how many pods target and primary have.
func (d *decision) scaled() bool { return d.spec.AutoscalerRef != nil && d.in.Scaler.Exists }

// planScalers plans the autoscalers once the rules have decided on everything else.
func (d *decision) planScalers() {
	if d.in.Winner != "" || d.plan.GiveBack || d.obstructed() {
		return
	}
	d.followReference()
	if !d.scaled() || d.st.Scaler == nil {
		return
	}
	d.raiseFloor()
	d.growForRescue()
	d.plan.Scalers = &ScalersIntent{Floor: d.floor(), Target: d.targetScaler()}
	d.keepFloor()
}

// obstructed tells that too little could be read to decide anything.
func (d *decision) obstructed() bool {
	for _, p := range d.in.Problems {
		if p.Blocks {
			return true
		}
	}
	return false
}

// followReference notes which autoscaler is in use. When the Canary turns to another, or to none, what there was for the one before goes first.
func (d *decision) followReference() {
	ref, st := d.spec.AutoscalerRef, d.st.Scaler
	if st != nil && (ref == nil || st.Kind != ref.Kind || st.Name != ref.Name) {
		if d.in.Scaler.Leftover {
			d.plan.DropScaler = true
			return
		}
		d.st.Scaler = nil
	}
	if d.scaled() && d.st.Scaler == nil {
		d.st.Scaler = &v1beta1.ScalerStatus{Kind: ref.Kind, Name: ref.Name}
	}
}

// floor is how many replicas the primary is not to fall below, as far as its autoscaler may go.
func (d *decision) floor() int32 {
	if !d.scaled() || d.st.Scaler == nil {
		return 0
	}
	return min(d.st.Scaler.Floor, d.in.Scaler.Primary.Max)
}

// raiseFloor sets the floor by where users are. While the first primary is made it is what the target has, whose users it is to take over. From the
// moment when the first user leaves for the canary until they are all back it is what the primary had then, so that the way back is always open;
// raiseToReturn adds to that. A primary that rests at zero is woken for a rollout.
func (d *decision) raiseFloor() {
	s, before := d.st.Scaler, &d.in.Canary.Status
	switch {
	case d.takingOver():
		s.Floor, s.FloorUntil = max(s.Floor, d.in.Target.Replicas, 1), nil
	case d.quiet():
		d.lowerFloor()
	case d.fencedBack():
		// Admission has taken them there already.
		s.Floor, s.FloorUntil = max(s.Floor, d.usersBy(before)), nil
	case before.CanaryWeight == 0 && d.st.CanaryWeight > 0:
		s.Floor, s.FloorUntil = max(d.in.Primary.Replicas, 1), nil
	case d.st.CanaryWeight == 0 && !d.homeward():
		d.lowerFloor()
		s.Floor = max(s.Floor, 1)
	default:
		s.Floor, s.FloorUntil = max(s.Floor, 1), nil
	}
	s.Returning = s.Returning && d.homeward()
	d.forgetShortage()
}

// takingOver tells that the primary is made for the users of the target.
func (d *decision) takingOver() bool { return d.initialising() && !d.ephemeral() || d.turning() }

// forgetShortage drops what a step has waited for where the stage has no step that waits for pods.
func (d *decision) forgetShortage() {
	ro := d.ro()
	if ro != nil && (ro.Stage == v1beta1.StageAnalysing || ro.Stage == v1beta1.StageReturning) {
		return
	}
	d.st.Scaler.ShortSince, d.st.Scaler.StepNeeds = nil, 0
}

// fencedBack tells that admission has taken users off the canary.
func (d *decision) fencedBack() bool {
	return d.fence && d.in.Canary.Status.CanaryWeight > d.st.CanaryWeight
}

// turning tells that users are about to come to the primary from the target.
func (d *decision) turning() bool {
	return d.ro() != nil && d.ro().Stage == v1beta1.StageTurning
}

// quiet tells that no rollout needs the primary yet, or any more.
func (d *decision) quiet() bool {
	ro := d.ro()
	return ro == nil || ro.Stage == v1beta1.StageSettling || ro.Stage == v1beta1.StageConfirming
}

// homeward tells whether the stage takes users back to the primary.
func (d *decision) homeward() bool { return d.returning() || d.promoting() }

// lowerFloor ends the floor a while after its cause.
func (d *decision) lowerFloor() {
	s := d.st.Scaler
	if s.Floor == 0 {
		return
	}
	if s.FloorUntil == nil {
		s.FloorUntil = d.later(floorLinger)
	}
	if d.passed(s.FloorUntil.Time) {
		s.Floor, s.FloorUntil = 0, nil
	}
}

// keepFloor has a primary below its floor scaled at once: its autoscaler, whose minimum is the floor by then, would do the same at its next round.
func (d *decision) keepFloor() {
	if d.plan.Primary == nil {
		return
	}
	low := max(d.floor(), d.in.Scaler.Primary.Min)
	switch p := d.in.Primary; {
	case !p.Exists:
		d.plan.Primary.Replicas = max(d.plan.Primary.Replicas, low)
	case p.Replicas < d.floor():
		d.plan.Primary.Replicas, d.plan.Primary.Enforce = d.floor(), true
	}
}

// targetScaler is what the autoscaler of the target does. It sleeps while the target is idle, or about to be, and is awake from the moment when the
// target is scaled up; in between it is left as it is.
func (d *decision) targetScaler() ScalerMode {
	if t := d.plan.Target; t != nil && t.Replicas != nil {
		if *t.Replicas == 0 {
			return ScalerAsleep
		}
		return ScalerAwake
	}
	ro := d.ro()
	switch {
	case d.home():
		return ScalerAwake
	case d.initialising():
		return ScalerAsIs
	case ro == nil:
		return ScalerAsleep
	}
	switch ro.Stage {
	case v1beta1.StageSettling, v1beta1.StageConfirming:
		return ScalerAsleep
	case v1beta1.StageScalingUp, v1beta1.StagePreparing, v1beta1.StageAnalysing, v1beta1.StageConfirmingPromotion, v1beta1.StagePromoting,
		v1beta1.StageConfirmingRescue, v1beta1.StageRescuing, v1beta1.StageLeaving,
		v1beta1.StageReturning:
		return ScalerAwake
	}
	if d.in.Target.Replicas == 0 {
		return ScalerAsleep
	}
	return ScalerAsIs
}

// rests tells that the primary has no pods because its autoscaler may take the last one away, as those of workers on a queue do.
func (d *decision) rests() bool {
	p := d.in.Primary
	return d.scaled() && d.floor() == 0 && d.in.Scaler.Primary.Min == 0 && p.Exists && p.Replicas == 0 && p.Revision == d.in.Promoted.Digest
}

// reportScaler tells of an autoscaler that cannot be followed. Between rollouts the Canary is not ready then, though what serves goes on serving.
func (d *decision) reportScaler() {
	p := d.in.Scaler.Problem
	if p == nil || d.in.Winner != "" || d.in.Leaving || d.obstructed() {
		return
	}
	d.again(missingTargetRetry)
	if d.ro() == nil && d.ready.Status == metav1.ConditionTrue {
		d.report(*p)
	}
}

// tellShort announces that a side does not get the pods that it needs in time.
func (d *decision) tellShort(format string, args ...any) {
	d.warn("CapacityShort", "%s", fmt.Sprintf(format, args...))
}
