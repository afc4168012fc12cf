package core

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// This file takes users from an ephemeral primary back to the target: to the very pods that were analysed, or, after a revision was taken back, to those of
// the promoted one. The primary stays as it is until they have been seen to be there, and for a while longer.

// comeHome gives the target the capacity, turns users to it, and ends the rollout once they were seen to arrive.
func comeHome(d *decision) v1beta1.Stage {
	if d.home() {
		return d.arriveHome()
	}
	const here = v1beta1.StageReturning
	ro := d.ro()
	if live := d.in.Live; live != nil && live.Digest != ro.Revision {
		if trip(ro) {
			return d.endTrip()
		}
		d.warn("Superseded", "New revision detected! Restarting analysis of %s: revision %s was overtaken by %s", d.target(), ro.Revision, live.Digest)
		ro.Reason = "revision " + ro.Revision + " was overtaken by " + live.Digest
		return v1beta1.StageFencing
	}
	if d.in.Live == nil {
		d.wait("RevisionUnreadable", "%s", d.unreadable())
		return here
	}
	d.startTarget()
	if !trip(ro) {
		d.setPhase(v1beta1.PhasePromoting)
		if stage, lost := d.regain(here); lost {
			return stage
		}
		if stage, held := d.needCanary(here); held {
			return stage
		}
	} else if !d.homeReady() {
		return here
	}
	if d.canaryShort(step{weight: allUsers, label: "all users"}) {
		return here
	}
	d.goHome()
	return here
}

// homeReady tells whether a target that was away has its pods of the promoted revision.
func (d *decision) homeReady() bool {
	ro := d.ro()
	if d.in.LivePodHash != "" {
		ro.PodHash = d.in.LivePodHash
		d.ensureServices()
	}
	if ro.PodHash == "" {
		d.again(podHashRetry)
	}
	if !d.canaryServes() {
		d.wait("TargetNotReady", "users return to the target as soon as it can take them: %s", d.canaryReadiness())
		return false
	}
	return true
}

// goHome turns users to the target.
func (d *decision) goHome() {
	ro := d.ro()
	d.st.TargetServes, d.st.ServingHash = true, ro.PodHash
	ro.ConvergedAt, ro.UnreadySince = nil, nil
	d.ensureServices()
	d.putInForce(0)
	d.normal("Returning", "Turning users of %s to its pods of revision %s", d.target(), ro.Revision)
}

// arriveHome waits until users were seen to arrive at the target. Should its pods be lost just then, they go back to the primary, which is still there.
func (d *decision) arriveHome() v1beta1.Stage {
	const here = v1beta1.StageReturning
	ro, lost := d.ro(), d.lostAtHome()
	if lost && trip(ro) {
		d.leaveHome()
		d.wait("TargetNotReady", "the target lost all its ready pods as users returned to it; they are on the primary until it has some")
		return here
	}
	if lost && d.in.Promoted.Digest != ro.Revision {
		return d.fail("the target lost all its ready pods as users turned to it")
	}
	d.wait("Returning", "users turn to the target, waiting for the apex Service and the route to follow: %s", readiness(d.in.Target, d.in.Services.ApexOther))
	if !d.turnDrained(d.homeSettled() && d.enoughAtHome()) {
		return here
	}
	if trip(ro) {
		d.retainPrimary()
		return d.endTrip()
	}
	return d.promoteAtHome()
}

// lostAtHome tells that the target has lost all its pods, and that there are some of the primary for its users.
func (d *decision) lostAtHome() bool {
	s := d.in.Services
	return d.deserted() && s.CanaryReady == 0 && d.in.Target.Replicas > 0 && s.PrimaryReady > 0
}

// enoughAtHome tells whether users find as many pods of the target as they need; none if it is scaled to zero.
func (d *decision) enoughAtHome() bool {
	t, there := d.in.Target, d.in.Services.ApexOther
	if t.Replicas == 0 {
		return true
	}
	if live := d.in.Live; live != nil && live.Digest != d.ro().Revision {
		// A held DaemonSet starts the newer revision in place of pods that are lost; the next rollout takes users away from what is left.
		return there > 0
	}
	return there >= max(1, needed(t.Replicas, d.spec.Analysis.CanaryReadyPercent()))
}

// promoteAtHome marks the revision that users have arrived at as the last good one, and ends the rollout once the mark is seen.
func (d *decision) promoteAtHome() v1beta1.Stage {
	const here = v1beta1.StageReturning
	ro := d.ro()
	if stage, gone := d.regain(here); gone {
		if stage != here {
			d.leaveHome()
		}
		return stage
	}
	d.plan.MarkPromoted = ro.Revision
	if d.in.Promoted.Digest != ro.Revision {
		d.wait("Finalising", "recording revision %s as the last good one", ro.Revision)
		return here
	}
	d.st.PromotedRevision, d.st.LastPromotedSpec = ro.Revision, ro.Revision
	d.normal("Promoted", "Promotion completed! %s", d.target())
	d.retainPrimary()
	d.end(v1beta1.PhaseSucceeded)
	d.setReady(metav1.ConditionTrue, string(v1beta1.PhaseSucceeded), "the target serves revision "+ro.Revision)
	return ""
}

// retainPrimary keeps the primary as a way back for a while from now on.
func (d *decision) retainPrimary() { d.st.RetainUntil = d.later(d.in.Canary.Retain()) }
