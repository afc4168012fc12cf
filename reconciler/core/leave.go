package core

import (
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// leaveDrain is how long what Sluice made still serves after users were taken off it, for connections under way.
const leaveDrain = 3 * time.Second

// listPatience is how long the endpoints of a Service that was written may be those of before.
const listPatience = 5 * time.Second

// leave owns the situation when Sluice is to give the application back: the target serves again with the last good template, users are taken
// to it once it has the capacity, and only then does what Sluice made go away.
func leave(d *decision) bool {
	if !d.in.Leaving {
		return false
	}
	if d.in.NamespaceTerminating || !d.in.Target.Exists || d.neverTookOver() {
		// Everything goes anyway, or there is nothing to serve from.
		d.plan.GiveBack = true
		return true
	}
	d.beginLeaving()
	if d.home() {
		d.leaveFromHome()
		return true
	}
	switch {
	case !d.leftCanary():
		d.wait("Terminating", "waiting for users to be on the primary only")
	case !d.targetServes():
		d.ro().NextCheckAt = nil
		d.wait("Terminating", "waiting for the target to serve, until then the primary does: %s; if this lasts, find out why the target's pods do not get ready",
			d.targetReadiness())
	case !d.apexReachesTarget():
		d.wait("Terminating", "the target serves; waiting for the apex Service to reach it")
	case !d.leftRoute():
		d.wait("Terminating", "the target serves behind the apex Service; waiting for the last requests by the old way")
	default:
		d.plan.GiveBack = true
	}
	return true
}

// neverTookOver tells that users have never left the target.
func (d *decision) neverTookOver() bool {
	return d.in.Promoted == nil && (d.initialising() && !d.in.Primary.Exists || d.in.Services.Apex == SideTarget)
}

// beginLeaving replaces whatever is under way; the first time it says so.
func (d *decision) beginLeaving() {
	if d.ro() != nil && d.ro().Stage == v1beta1.StageLeaving {
		return
	}
	if ro := d.ro(); d.home() && ro != nil && ro.Stage == v1beta1.StageReturning {
		// Its pods are about to be those of another revision.
		d.st.ServingHash = ""
	}
	d.setPhase(v1beta1.PhaseTerminating)
	d.st.Rollout = &v1beta1.RolloutStatus{
		ID: "leave", Stage: v1beta1.StageLeaving, StageSince: d.now(), Reason: "Sluice gives the application back",
		// Its pods of a revision that is analysed there take nobody.
		InPrimary: d.ro() != nil && d.ro().InPrimary,
	}
	d.normal("Terminating", "Terminating canary %s.%s: giving %s back", d.in.Canary.Name, d.in.Canary.Namespace, d.target())
}

// leftCanary takes users off the canary first: its pods are about to become those of the last good revision. Done once, the rollout's step
// remembers it.
func (d *decision) leftCanary() bool {
	ro := d.ro()
	if ro.Step > 0 {
		return true
	}
	if !d.in.Traffic.Weighted || !d.in.Route.Exists || d.in.Promoted == nil {
		ro.Step = 1
		return true
	}
	d.ensurePrimary(d.in.Promoted)
	// Somebody may have deleted the Service by which the primary is reached.
	d.plan.Services = &ServicesIntent{Apex: SidePrimary, Pin: d.in.Services.PinnedHash}
	d.takeBack()
	if d.st.CanaryWeight > 0 && !d.nothingServes() && !d.nothingGood() {
		return false
	}
	// Where nobody can take them they stay with the target's pods, which are to serve everybody soon.
	if d.st.CanaryWeight == 0 && !d.abandoned() && !d.drained() {
		return false
	}
	ro.Step, ro.ConvergedAt, ro.UnreadySince = 1, nil, nil
	return true
}

// abandoned tells that the route says what it ought to and its provider does not answer for it any more.
func (d *decision) abandoned() bool {
	return d.in.Route.Canary == 0 && !d.in.Route.Accepted && d.unanswered()
}

// targetServes restores the target and tells whether it has rolled out. While it has not, the primary serves; where that does not either, there is
// nothing to keep, and the target is given back as it is.
func (d *decision) targetServes() bool {
	d.restoreTarget()
	return d.targetRestored() || d.nothingServes()
}

// nothingServes tells whether the primary has been without a ready pod for so long that there is no point in waiting for the target behind it.
func (d *decision) nothingServes() bool {
	return d.in.Services.PrimaryReady == 0 && d.unanswered()
}

// nothingGood tells the same of a primary that a newer revision was analysed in: for so long it has not got rid of that revision's pods.
func (d *decision) nothingGood() bool {
	return d.ro().InPrimary && d.goodCapacity() == 0 && d.unanswered()
}

// apexReachesTarget turns the apex Service to the target and tells whether its endpoints have followed.
func (d *decision) apexReachesTarget() bool {
	d.plan.Services = &ServicesIntent{Apex: SideTarget}
	s := d.in.Services
	if d.podless() {
		// Whom no route has led away needs no way back.
		never := d.in.Promoted == nil && d.st.PromotedRevision == "" && !d.in.Route.Exists
		return never || d.targetLeadsAlike() && d.relisted() || d.setBack() || d.nothingServes()
	}
	return s.Apex == SideTarget && (s.ApexReady == 0 && s.ApexOther >= needed(d.in.Target.Replicas, 100) || d.nothingServes())
}

// relisted tells whether a Service has led where it is to for long enough that what is listed for it is no longer what was listed before its last change.
func (d *decision) relisted() bool {
	ro := d.ro()
	if ro.NextCheckAt == nil {
		ro.NextCheckAt = d.later(listPatience)
	}
	return d.passed(ro.NextCheckAt.Time)
}

// setBack tells whether somebody has led a Service back to the last good revision by hand, for long enough that its endpoints have followed, because the
// snapshot of that revision is lost. The primary's copy may lead elsewhere for good.
func (d *decision) setBack() bool {
	s, live := d.in.Services, d.in.Live
	return d.in.Promoted == nil && live != nil && live.Digest == d.st.PromotedRevision && s.ApexReady+s.ApexOther > 0 && d.unanswered()
}

func (d *decision) targetReadiness() string {
	if d.podless() {
		return "it does not lead where the last good revision does yet"
	}
	return readiness(d.in.Target, d.in.Target.Available)
}

// restoreTarget plans a target that serves the last good template with at least the primary's replicas.
func (d *decision) restoreTarget() {
	d.plan.Target = &TargetIntent{Release: true}
	// Without its labels the endpoints of a Service would not be seen to follow.
	d.plan.TrackTarget = d.podless()
	if good := d.lastGood(); good != nil {
		d.plan.Target.Restore = good.Digest
	}
	if d.in.Target.Replicas == 0 {
		n := max(d.in.Primary.Replicas, 1)
		d.plan.Target.Replicas = &n
	}
}

// lastGood is the revision that is put back: the promoted one, or before the first promotion the one that users were taken to; nil when they never
// left the target.
func (d *decision) lastGood() *Revision {
	if d.in.Promoted == nil && (d.in.Services.Apex == SidePrimary || d.podless() && d.in.Route.Exists) {
		return d.in.Baseline
	}
	return d.in.Promoted
}

// targetRestored tells whether the target has rolled out the last good template.
func (d *decision) targetRestored() bool {
	t := d.in.Target
	good := d.lastGood()
	if restored := good == nil || t.Template == good.Template; !restored || d.podless() {
		return restored
	}
	return !t.Held && t.Replicas > 0 && t.RolledOut(100)
}

// leavePatience is how long a provider may take to accept the last route: one that is gone for good must not keep a Canary from being deleted.
const leavePatience = 30 * time.Second

// unanswered tells whether the provider has been silent for too long.
func (d *decision) unanswered() bool {
	ro := d.ro()
	if ro.UnreadySince == nil {
		now := d.now()
		ro.UnreadySince = &now
	}
	return d.passed(ro.UnreadySince.Add(leavePatience))
}

// leftRoute plans a route to the apex Service, which outlives the Canary, and tells whether requests can no longer come by another way.
func (d *decision) leftRoute() bool {
	ro, r := d.ro(), d.in.Route
	drain := leaveDrain
	if d.in.Traffic.Weighted && r.Exists {
		d.plan.Route = &RouteIntent{Split: onPrimary(), ViaApex: true, Version: r.Version}
		drain = max(drain, d.in.Traffic.Drain)
		if !r.ViaApex || !(r.Accepted || d.unanswered()) {
			ro.ConvergedAt = nil
			return false
		}
	}
	if ro.ConvergedAt == nil {
		now := d.now()
		ro.ConvergedAt = &now
	}
	return d.passed(ro.ConvergedAt.Add(drain))
}
