package core

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// This file takes users from the target to the primary, so that the target can become the canary. The target is held meanwhile: what runs there is the
// promoted revision, what is stored there is the one to be analysed.

// turn gives the primary the promoted revision and the capacity of the target, then turns users to it, and lets the rollout go on once nobody can reach the
// target any more.
func turn(d *decision) v1beta1.Stage {
	const here = v1beta1.StageTurning
	ro := d.ro()
	good := d.in.Promoted.Digest
	back := !trip(ro) && d.wayBack(ro.Revision)
	if back {
		good = ro.Revision
	}
	d.growPrimary(good)
	if d.home() {
		if why, failed := d.mayTurn(good); failed {
			return d.failAtHome(why)
		}
		if d.home() {
			return here
		}
	}
	if !d.turnDrained(d.awaySettled()) {
		d.wait("Turning", "users turn from the target to the primary, waiting for the apex Service and the route to follow")
		return here
	}
	switch {
	case trip(ro):
		return d.arriveAway()
	case ro.Revision == d.in.Promoted.Digest:
		return d.arrivedBack()
	case back:
		return d.arriveBack()
	}
	return v1beta1.StageScalingUp
}

// growPrimary plans a primary of a revision that is as large as the target.
func (d *decision) growPrimary(digest string) {
	if !d.in.Stored[digest] {
		// Without its snapshot the primary is left as it is.
		d.plan.Primary = nil
		return
	}
	p := &PrimaryIntent{Revision: digest, Replicas: d.primaryReplicas(d.in.Promoted)}
	if d.spec.AutoscalerRef == nil && d.home() && d.in.Target.Replicas > d.in.Primary.Replicas {
		p.Replicas, p.Enforce = d.in.Target.Replicas, true
	}
	d.plan.Primary = p
	if s := d.st.Scaler; d.scaled() && d.home() && s != nil {
		s.Floor, s.FloorUntil = max(s.Floor, d.in.Target.Replicas, d.in.Primary.Replicas, 1), nil
	}
}

// mayTurn turns users to the primary once it serves a revision with the capacity of the target. Where nobody serves at home there is nothing to wait for:
// what waits may be the fix. It tells whether the primary has missed its deadline.
func (d *decision) mayTurn(digest string) (why string, failed bool) {
	ready := d.primaryMatches(digest) || d.nobodyServes()
	if d.overdue(ready) && !d.deserted() {
		return fmt.Sprintf("the primary, which is to serve meanwhile, did not become ready within %s: %s", d.in.Canary.ProgressDeadline(), d.primaryReadiness()), true
	}
	if !ready {
		d.wait("PrimaryNotReady", "users stay on the target until the primary can take them: %s", d.primaryReadiness())
		return "", false
	}
	d.leaveHome()
	d.normal("Turning", "Turning users of %s to primary %s", d.target(), d.in.Canary.PrimaryName()+"."+d.in.Canary.Namespace)
	return "", false
}

// primaryMatches tells whether the primary serves a revision and is as large as the target, or as its autoscaler will have it.
func (d *decision) primaryMatches(digest string) bool {
	return d.primaryServes(digest) && (d.in.Primary.Replicas >= d.in.Target.Replicas || d.scaled() && d.st.Scaler != nil)
}

// nobodyServes tells whether users have found no ready pod at home for so long, while the primary did not come up either, that there is nothing to lose.
func (d *decision) nobodyServes() bool {
	ro := d.ro()
	if !d.deserted() {
		ro.PrimaryUnreadySince = nil
		return false
	}
	if ro.PrimaryUnreadySince == nil {
		ro.PrimaryUnreadySince = d.later(0)
	}
	if !d.passed(ro.PrimaryUnreadySince.Add(min(d.in.Canary.ProgressDeadline(), primaryPatience))) {
		return false
	}
	d.warn("TargetUnhealthy", "Neither %s nor its primary has a ready pod (%s); revision %s goes on all the same, it may be the fix",
		d.target(), d.primaryReadiness(), ro.Revision)
	return true
}

// leaveHome turns users to the primary.
func (d *decision) leaveHome() {
	d.st.TargetServes, d.st.RetainUntil = false, nil
	if ro := d.ro(); ro != nil {
		ro.ConvergedAt = nil
	}
	d.ensureServices()
	d.putInForce(0)
}

// failAtHome fails a rollout for which no primary could be made. Users are where they were; the target stays held until it is changed again.
func (d *decision) failAtHome(why string) v1beta1.Stage {
	if trip(d.ro()) {
		// Nothing is judged; it goes on as soon as the primary can be made.
		d.wait("PrimaryNotReady", "%s", why)
		return v1beta1.StageTurning
	}
	return d.fail(why)
}

// rollBackAtHome ends a rollout that has not moved anybody. The target stays held.
func (d *decision) rollBackAtHome() v1beta1.Stage {
	if ro := d.ro(); d.st.Phase == v1beta1.PhaseFailed {
		d.warn("Failed", "Canary failed! Users of %s stay on revision %s", d.target(), d.in.Promoted.Digest)
		d.wait("RolloutFailed", "revision %s failed: %s", ro.Revision, ro.Reason)
	}
	d.plan.Primary = nil
	d.end(d.st.Phase)
	return ""
}

// arriveAway ends a trip away from home: the target goes to zero where the primary serves for good, or until there is a fix.
func (d *decision) arriveAway() v1beta1.Stage {
	stays := d.ephemeral() && (d.in.Live == nil || d.in.Live.Digest == d.in.Promoted.Digest)
	if !stays && !d.scaledToZero() {
		d.wait("ScalingDown", "the primary serves; scaling the target to zero")
		return v1beta1.StageTurning
	}
	return d.endTrip()
}

// arriveBack ends a rollout to a revision that the primary was kept for: it is the last good one again. The target follows at its own pace.
func (d *decision) arriveBack() v1beta1.Stage {
	ro := d.ro()
	d.plan.MarkPromoted = ro.Revision
	d.wait("Finalising", "recording revision %s as the last good one", ro.Revision)
	return v1beta1.StageTurning
}

// arrivedBack ends it once the mark is seen: then the primary is not a way back any more but what serves.
func (d *decision) arrivedBack() v1beta1.Stage {
	ro := d.ro()
	if !d.ephemeral() && !d.scaledToZero() {
		d.wait("ScalingDown", "the primary serves; scaling the target to zero")
		return v1beta1.StageTurning
	}
	d.st.PromotedRevision, d.st.LastPromotedSpec = ro.Revision, ro.Revision
	d.normal("Promoted", "Users of %s are back on revision %s", d.target(), ro.Revision)
	d.end(v1beta1.PhaseSucceeded)
	d.setReady(metav1.ConditionTrue, string(v1beta1.PhaseSucceeded), "the primary serves revision "+ro.Revision)
	return ""
}
