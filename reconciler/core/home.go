package core

import (
	"strings"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// This file holds the place where users are under an ephemeral primary between rollouts: at home, which is the target. Status says so before anybody is
// moved (TargetServes), so that every plan made after a crash moves them to the same side. turning.go takes them to the primary, homecoming.go back.

// ephemeral tells whether the primary is to be there during rollouts only.
func (d *decision) ephemeral() bool { return d.in.Canary.Lifecycle() == v1beta1.LifecycleEphemeral }

// home tells whether users are on the target, or about to be.
func (d *decision) home() bool { return d.st.TargetServes }

// departing tells that users were told to leave home and the apex Service still leads there.
func (d *decision) departing() bool { return !d.home() && d.in.Services.Apex == SideTarget }

// bound replaces a stage by the one that the lifecycle of the primary puts in its place: pods that serve users are not rolled, and those that were
// analysed for an ephemeral primary are the ones that serve.
func (d *decision) bound(next v1beta1.Stage) v1beta1.Stage {
	switch {
	case next == v1beta1.StageScalingUp && (d.home() || (d.ephemeral() || d.departing()) && !d.awaySettled()):
		return v1beta1.StageTurning
	case next == v1beta1.StagePromoting && d.ephemeral():
		return v1beta1.StageReturning
	}
	return next
}

// serveAtHome plans what serves users at home: the apex Service on the target, everybody by way of it.
func (d *decision) serveAtHome() {
	d.ensureServices()
	d.putInForce(0)
	d.holdAtHome()
}

// holdAtHome keeps a target with users from rolling to what nobody has analysed. Admission holds a change before it lands; this is for one that went by it.
func (d *decision) holdAtHome() {
	live, ro := d.in.Live, d.ro()
	if !d.home() || d.in.Target.Held || live == nil || d.in.Promoted == nil || live.Digest == d.in.Promoted.Digest {
		return
	}
	if ro != nil && (ro.Stage == v1beta1.StageReturning && live.Digest == ro.Revision || ro.Stage == v1beta1.StageLeaving) {
		return
	}
	d.plan.Target = &TargetIntent{Hold: true}
	// Some of its pods may be of the newer revision by now, and all that serve.
	d.st.ServingHash = ""
}

// apexPin is the pod hash that the apex Service selects besides while the target is held with users on it, and until what came meanwhile is gone: a held
// DaemonSet starts the newer revision on nodes that join, and wherever a pod is lost.
func (d *decision) apexPin() string {
	if t := d.in.Target; !t.Held && t.Current && t.Total <= t.Updated {
		return ""
	}
	return d.st.ServingHash
}

// homeSettled tells whether users at home have been seen to reach the target only: by the endpoints of the apex Service and by the route.
func (d *decision) homeSettled() bool {
	s := d.in.Services
	return s.Apex == SideTarget && s.ApexReady == 0 && (!d.in.Traffic.Weighted || d.routeShows())
}

// underTheApex tells whether the apex Service may still lead users to a target that they were told to leave.
func (d *decision) underTheApex() bool {
	return (d.ephemeral() || d.departing()) && !d.turnDrained(d.awaySettled())
}

// awaySettled is the same of users away: the apex Service leads to the primary only.
func (d *decision) awaySettled() bool {
	s := d.in.Services
	return s.Apex == SidePrimary && s.ApexOther == 0 && s.ApexReady >= s.PrimaryReady && (!d.in.Traffic.Weighted || d.routeShows())
}

// turnDrained tells whether no request can still arrive at the side that users were turned away from, counted from when the turn was seen.
func (d *decision) turnDrained(seen bool) bool {
	ro := d.ro()
	if !seen {
		ro.ConvergedAt = nil
		return false
	}
	if ro.ConvergedAt == nil {
		now := d.now()
		ro.ConvergedAt = &now
	}
	return d.passed(ro.ConvergedAt.Add(max(leaveDrain, d.in.Traffic.Drain)))
}

// Trips are rollouts of the promoted revision: they move users from one side to the other and analyse nothing.
const (
	tripHome = "return-"
	tripAway = "turn-"
)

// trip tells whether the rollout moves users only.
func trip(ro *v1beta1.RolloutStatus) bool {
	return strings.HasPrefix(ro.ID, tripHome) || strings.HasPrefix(ro.ID, tripAway)
}

// beginTrip starts to move users to the other side with the promoted revision.
func (d *decision) beginTrip(kind string, stage v1beta1.Stage, why string) {
	good := d.in.Promoted.Digest
	d.st.Rollout = &v1beta1.RolloutStatus{
		ID: rolloutID(kind+good, d.in.Now), Revision: good, Stage: stage, StageSince: d.now(), Reason: why,
	}
	d.normal("Moving", "%s", why)
	d.wait("Moving", "%s", why)
	d.again(0)
}

// endTrip ends one. The phase is still that of the last rollout.
func (d *decision) endTrip() v1beta1.Stage {
	d.st.Rollout = nil
	d.ensureServices()
	d.again(0)
	return ""
}

// detectHome owns what detect does not find in the persistent lifecycle: users are on the side where they are not to stay, or a primary is no longer
// needed. It tells whether the rollouts of this decision are decided.
func (d *decision) detectHome() bool {
	if d.home() {
		return d.detectAtHome()
	}
	return d.detectAway()
}

// detectAway sends users home as soon as the target is back at the promoted revision, if that is where they are to be.
func (d *decision) detectAway() bool {
	live := d.in.Live.Digest
	if !d.ephemeral() {
		return d.leftHome()
	}
	if live != d.in.Promoted.Digest {
		return false
	}
	d.st.FailedRevision = ""
	d.beginTrip(tripHome, v1beta1.StageReturning, "users return to "+d.target()+", which runs the promoted revision "+live)
	return true
}

// leftHome empties a target that users have left for good: the lifecycle was switched while they were away. Afterwards replicas that are set there are
// their owner's business.
func (d *decision) leftHome() bool {
	live := d.in.Live.Digest
	switch {
	case d.st.ServingHash == "":
		return false
	case d.in.Target.Replicas == 0:
		d.st.ServingHash = ""
		return false
	case live != d.in.Promoted.Digest && live != d.st.FailedRevision:
		// The rollout that begins has a use for its pods.
		return false
	}
	d.beginTrip(tripAway, v1beta1.StageTurning, "the primary of "+d.target()+" is to serve from now on")
	return true
}

// detectAtHome turns users to the primary: for good, while the target cannot serve them and waits for a fix, or because the target is back at what the
// primary was kept for.
func (d *decision) detectAtHome() bool {
	live := d.in.Live.Digest
	promoted := live == d.in.Promoted.Digest
	failed := live == d.st.FailedRevision && !promoted
	switch {
	case (promoted || failed) && !d.ephemeral():
		d.beginTrip(tripAway, v1beta1.StageTurning, "the primary of "+d.target()+" is to serve from now on")
	case failed && d.in.Services.Apex == SideTarget && d.in.Services.ApexOther < d.in.Target.Replicas:
		d.beginTrip(tripAway, v1beta1.StageTurning, "pods of the promoted revision of "+d.target()+" are missing, so its primary is made")
	case !failed && d.wayBack(live):
		d.begin(d.in.Live)
		d.ro().Stage = v1beta1.StageTurning
		d.again(0)
		d.normal("WayBack", "%s is back at revision %s, which its primary was kept for; users turn to it at once", d.target(), live)
	default:
		return false
	}
	return true
}

// deserted tells that users at home find no ready pod, although there ought to be some.
func (d *decision) deserted() bool {
	s := d.in.Services
	return s.Apex == SideTarget && s.ApexOther+s.ApexReady == 0
}

// wayBack tells whether the primary is kept with a revision that served before, and is there for users.
func (d *decision) wayBack(digest string) bool {
	p := d.in.Primary
	if d.home() && d.in.Services.PrimaryReady == 0 {
		return false
	}
	return p.Exists && p.Revision == digest && d.in.Promoted != nil && digest != d.in.Promoted.Digest
}

// retain takes a primary away that is no longer needed as a way back.
func (d *decision) retain() {
	switch {
	case !d.home():
	case !d.in.Primary.Exists:
		d.st.RetainUntil = nil
	case d.homeSettled() && (d.st.RetainUntil == nil || d.passed(d.st.RetainUntil.Time)):
		d.plan.DropPrimary = true
	}
}

// idleAtHome is the ready state at home.
func (d *decision) idleAtHome() {
	t := d.in.Target
	switch {
	case !d.homeSettled():
		d.reportRoute()
	case t.Replicas > 0 && !t.RolledOut(d.spec.Analysis.CanaryReadyPercent()):
		d.wait("TargetNotReady", "waiting for the target, which serves: %s", readiness(t, d.in.Services.ApexOther))
	default:
		d.idleReady("the target")
	}
}
