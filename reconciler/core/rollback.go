package core

import (
	"github.com/sluice-dev/sluice/api/v1beta1"
)

// fail ends the rollout as failed: the verdict stands at once, what follows is the way back.
func (d *decision) fail(why string) v1beta1.Stage {
	ro := d.ro()
	if d.home() && ro.Stage == v1beta1.StageReturning {
		// Users are on their way to the very pods that are not to serve them.
		d.leaveHome()
	}
	ro.Reason = cut(why, v1beta1.MaxRolloutReason)
	if !d.restoring() {
		// What an operator restores is no change of the target.
		d.st.FailedRevision = ro.Revision
	}
	d.warn("RollingBack", "Rolling back %s.%s %s", d.in.Canary.Name, d.in.Canary.Namespace, why)
	d.setPhase(v1beta1.PhaseFailed)
	return v1beta1.StageRollingBack
}

// rollBack takes users back to the last good revision, as fast as its ready pods allow, then scales the target to zero. A primary that was
// already given the failed revision is given the last good one again first, so the only healthy copy is never taken away.
func rollBack(d *decision) v1beta1.Stage {
	const here = v1beta1.StageRollingBack
	ro := d.ro()
	if d.home() {
		return d.rollBackAtHome()
	}
	d.wait("RollingBack", "%s", ro.Reason)
	d.ensurePrimary(d.in.Promoted)
	if ro.Shelter > 0 {
		d.takeBackSheltered()
	} else {
		d.takeBack()
	}
	if d.keepsUsers() && !d.abandon() {
		d.waitToTakeBack()
		if d.rescuable() {
			return d.beginRescue()
		}
		return here
	}
	if d.underTheApex() {
		return here
	}
	if !d.drained() || !d.scaledToZero() {
		return here
	}
	if d.st.Phase == v1beta1.PhaseFailed {
		d.warn("Failed", "Canary failed! Scaling down %s", d.target())
		d.wait("RolloutFailed", "revision %s failed: %s", ro.Revision, ro.Reason)
	}
	d.end(d.st.Phase)
	return ""
}

// fence owns the situation when the target is no longer what the running rollout is about. Traffic leaves the canary before the newer
// revision may have pods that serve; a change back to the promoted revision ends the rollout.
func fence(d *decision) bool {
	ro, live := d.ro(), d.in.Live
	if ro == nil || live == nil {
		return false
	}
	d.observeLive()
	if live.Digest == ro.Revision {
		return false
	}
	switch ro.Stage {
	case v1beta1.StageSettling, v1beta1.StageConfirming:
		// The canary has no pods yet, so there is nothing to take traffic from.
		d.supersede(live)
		return true
	case v1beta1.StageTurning:
		// Nor has it any here, unless the promoted revision is on its way to or from the primary.
		if !trip(ro) && d.in.Promoted.Digest == ro.Revision || trip(ro) && live.Digest == d.st.FailedRevision {
			return false
		}
		d.supersede(live)
		return true
	case v1beta1.StageFencing, v1beta1.StageRollingBack, v1beta1.StageReturning, v1beta1.StagePromoting, v1beta1.StageFinalising,
		v1beta1.StageConfirmingRescue, v1beta1.StageRescuing:
		// These end by themselves, without letting the newer revision near users.
		return false
	}
	d.warn("Superseded", "New revision detected! Restarting analysis of %s: revision %s was overtaken by %s", d.target(), ro.Revision, live.Digest)
	d.rollout(v1beta1.StageFencing, "revision "+ro.Revision+" was overtaken by "+live.Digest)
	return false
}

// fenceOff waits until no user can reach the canary any more and its pods are gone, then starts over.
func fenceOff(d *decision) v1beta1.Stage {
	const here = v1beta1.StageFencing
	d.setPhase(v1beta1.PhaseProgressing)
	d.wait("Fencing", "%s; traffic returns to the primary first", d.ro().Reason)
	d.takeBack()
	if d.st.CanaryWeight > 0 && !d.abandon() || !d.drained() {
		return here
	}
	if d.underTheApex() {
		return here
	}
	zero := int32(0)
	d.plan.Target = &TargetIntent{Replicas: &zero}
	if d.in.Target.Replicas > 0 || d.in.Target.Total > 0 {
		return here
	}
	if d.in.Live == nil {
		d.wait("RevisionUnreadable", "the target's template or a config it references cannot be read yet")
		return here
	}
	if d.spec.Suspend {
		d.wait("Suspended", "no user reaches the canary; set spec.suspend to false to go on")
		return here
	}
	if d.in.Live.Digest == d.ro().Revision {
		// Not overtaken but lost its pods: the same revision starts at its first step again, failures so far counted.
		d.ro().Step, d.ro().PodHash, d.st.Iterations = 0, "", 0
		d.ro().Images, d.ro().ImagesRead = nil, false
		return v1beta1.StageScalingUp
	}
	d.supersede(d.in.Live)
	return d.ro().Stage
}

// supersede starts a rollout of the live revision in place of the running one, or ends it when the live revision is the promoted one.
func (d *decision) supersede(live *Revision) {
	old := d.ro().Revision
	if live.Digest != d.in.Promoted.Digest {
		// Which says of which it takes the place.
		d.begin(live)
		return
	}
	d.normal("Reverted", "%s is back at the promoted revision %s; the rollout of %s is over", d.target(), live.Digest, old)
	d.setPhase(v1beta1.PhaseSucceeded)
	if d.home() || d.ro().Stage == v1beta1.StageTurning && d.ephemeral() {
		// The target still runs what it is back at.
		d.end(v1beta1.PhaseSucceeded)
		return
	}
	d.rollout(v1beta1.StageRollingBack, "the target is back at the promoted revision")
	d.keepInForce()
	d.again(0)
}
