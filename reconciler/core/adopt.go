package core

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// adopt takes an application up whose primary is ephemeral. Nothing moves: users stay on the target, or, in a cluster that was restored in the middle of a
// rollout, on the primary. What serves is stored and marked as the last good revision.
func (d *decision) adopt() bool {
	d.setPhase(v1beta1.PhaseInitializing)
	d.plan.Finalizer, d.plan.TrackTarget = true, true
	d.observeLive()
	good := d.firstGoodAtHome()
	if !d.known(good) {
		return true
	}
	d.serveAsFound(good)
	if d.in.Target.Held && d.targetIs(good) {
		// It was changed before anybody knew what ran there.
		d.releaseIdle()
		d.wait("Releasing", "the target is let go to revision %s, the first that is known of it", good.Digest)
		return true
	}
	if d.home() && d.targetIs(good) && !d.runsOnly(good) {
		d.wait("TargetNotReady", "waiting for the target, which serves, to run revision %s only: %s", good.Digest, readiness(d.in.Target, d.in.Services.ApexOther))
		d.stall(good)
		return true
	}
	if d.home() && !d.homeSettled() {
		d.reportRoute()
		d.stall(good)
		return true
	}
	d.adopted(good)
	return true
}

// firstGoodAtHome is the first good revision where the target may be what serves.
func (d *decision) firstGoodAtHome() *Revision {
	if d.home() && d.in.Promoted != nil && d.in.Baseline == nil {
		// The mark was set a moment ago.
		return d.in.Promoted
	}
	return d.firstGood()
}

// targetIs tells whether the target can be read and is of a revision.
func (d *decision) targetIs(r *Revision) bool {
	return d.in.Live != nil && d.in.Live.Digest == r.Digest
}

// runsOnly tells whether all pods of a target that is of a revision are of it. While it is being rolled out nobody knows whether it will serve, and those
// from before do.
func (d *decision) runsOnly(r *Revision) bool {
	t := d.in.Target
	return d.targetIs(r) && t.Current && t.Total <= t.Updated
}

// serveAsFound finds out which side users are on, and plans that they stay there.
func (d *decision) serveAsFound(good *Revision) {
	d.st.TargetServes = !d.in.Primary.Exists || d.in.Services.Apex != SidePrimary
	if d.in.LivePodHash != "" && d.runsOnly(good) {
		d.st.ServingHash = d.in.LivePodHash
	}
	if !d.home() {
		d.ensurePrimary(good)
	}
	d.ensureServices()
	d.putInForce(0)
	d.holdAtHome()
}

// adopted marks what serves as the last good revision, and ends the initialisation once the mark is seen.
func (d *decision) adopted(good *Revision) {
	d.plan.MarkPromoted = good.Digest
	if d.in.Promoted == nil || d.in.Promoted.Digest != good.Digest {
		d.wait("Finalising", "recording revision %s as the last good one", good.Digest)
		return
	}
	d.st.PromotedRevision, d.st.LastPromotedSpec = good.Digest, good.Digest
	d.setPhase(v1beta1.PhaseInitialized)
	d.normal("Initialized", "Initialization done! %s", d.in.Canary.Name+"."+d.in.Canary.Namespace)
	d.setReady(metav1.ConditionTrue, "Initialized", "revision "+good.Digest+" serves")
	// A change that arrived meanwhile is looked for at once.
	d.again(0)
}

// leaveFromHome gives the application back while users are on the target: what is held there goes, what runs stays. It tells whether that is done.
func (d *decision) leaveFromHome() {
	t, good := d.in.Target, d.lastGood()
	d.ensureServices()
	d.plan.Target = &TargetIntent{Release: true}
	restored := !t.Held
	if good != nil {
		d.plan.Target.Restore = good.Digest
		restored = restored && t.Template == good.Template
	}
	switch {
	case !restored || t.Replicas > 0 && !t.RolledOut(100) && !d.unanswered():
		d.wait("Terminating", "waiting for the target, which serves, to be at its last good revision: %s", readiness(t, d.in.Services.ApexOther))
	case !d.onlyApex():
		d.wait("Terminating", "the target serves behind the apex Service; waiting for the last requests by the old way")
	default:
		d.plan.GiveBack = true
	}
}

// onlyApex tells whether users reach the target by the apex Service, whatever its pods are, and by nothing else any more.
func (d *decision) onlyApex() bool {
	d.plan.Services = &ServicesIntent{Apex: SideTarget}
	s := d.in.Services
	return d.leftRoute() && s.Apex == SideTarget && s.ApexReady == 0
}
