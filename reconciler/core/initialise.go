package core

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// initialise owns the situation until a first good revision serves as primary. The target goes on serving until the primary has the capacity,
// the apex Service has turned to it and the route is accepted; only then does the target go to zero.
func initialise(d *decision) bool {
	if !d.initialising() {
		return false
	}
	if d.ephemeral() {
		return d.adopt()
	}
	d.setPhase(v1beta1.PhaseInitializing)
	d.plan.Finalizer, d.plan.TrackTarget = true, true
	d.observeLive()

	good := d.firstGood()
	if !d.known(good) {
		return true
	}
	d.ensurePrimary(good)
	d.plan.Services = &ServicesIntent{Apex: SideUnknown}
	if !d.primaryServes(good.Digest) {
		d.wait("PrimaryNotReady", "waiting for the primary: %s", d.primaryReadiness())
		d.stall(good)
		return true
	}
	d.st.TargetServes = false
	d.ensureServices()
	if !d.podless() && !d.apexReachesPrimary() {
		d.wait("SwitchingService", "waiting for the apex Service to reach the primary's pods only")
		d.stall(good)
		return true
	}
	d.putInForce(0)
	if d.in.Traffic.Weighted && !d.routeShows() {
		d.reportRoute()
		d.stall(good)
		return true
	}
	return d.initialised(good)
}

// apexReachesPrimary tells whether the apex Service leads to all ready pods of the primary, and to no others.
func (d *decision) apexReachesPrimary() bool {
	s := d.in.Services
	return s.Apex == SidePrimary && s.ApexOther == 0 && s.ApexReady >= s.PrimaryReady
}

// known tells whether the first good revision is stored as such. From then on it is the good one, whatever the target becomes meanwhile.
func (d *decision) known(good *Revision) bool {
	switch good {
	case nil:
		d.wait("RevisionUnreadable", "the target's template or a config it references cannot be read yet")
		return false
	case d.in.Live:
		d.plan.Store, d.plan.MarkBaseline = true, good.Digest
		d.wait("Snapshotting", "storing the revision %s that serves now", good.Digest)
		return false
	}
	return true
}

// initialised scales the target down and ends the initialisation.
func (d *decision) initialised(good *Revision) bool {
	zero := int32(0)
	d.plan.Target = &TargetIntent{Replicas: &zero, Release: true}
	if d.in.Target.Replicas != 0 || d.in.Target.Held {
		d.wait("ScalingDown", "the primary serves; scaling the target to zero")
		return true
	}
	d.plan.MarkPromoted = good.Digest
	if d.in.Promoted == nil {
		d.wait("Finalising", "recording revision %s as the last good one", good.Digest)
		return true
	}
	d.st.PromotedRevision, d.st.LastPromotedSpec = good.Digest, good.Digest
	d.setPhase(v1beta1.PhaseInitialized)
	d.normal("Initialized", "Initialization done! %s", d.in.Canary.Name+"."+d.in.Canary.Namespace)
	d.setReady(metav1.ConditionTrue, "Initialized", "the primary serves revision "+good.Digest)
	// A change that arrived meanwhile is looked for at once.
	d.again(0)
	return true
}

// firstGood is the revision that the first primary runs: what served when the Canary was admitted, else the last good one of an earlier life
// (a restored cluster), else what serves now. An earlier life left no primary behind if it was ended by force; then the target has served on
// its own, and what it is now counts.
func (d *decision) firstGood() *Revision {
	aloneSince := !d.in.Primary.Exists && d.in.Target.Replicas > 0 && d.in.Target.Available > 0
	switch {
	case d.in.Baseline != nil:
		return d.in.Baseline
	case d.in.Promoted != nil && !aloneSince:
		return d.in.Promoted
	default:
		return d.in.Live
	}
}

// stall lets the application change freely once the initialisation waits for somebody. While users are still on the target, what it is changed
// to takes the place of a revision that never made it to the primary; afterwards the change waits its turn like any other.
func (d *decision) stall(good *Revision) {
	if since := initSince(d.in.Canary); !d.passed(since.Add(initPatience)) {
		return
	}
	d.releaseIdle()
	live := d.in.Live
	turned := !d.home() && d.in.Services.Apex == SidePrimary || d.plan.Services.Apex == SidePrimary
	switch {
	case live == nil || live.Digest == good.Digest:
		return
	case d.in.Promoted != nil:
		if !d.givesUpOnLastGood(good) {
			return
		}
	case turned:
		return
	}
	d.plan.Store, d.plan.MarkBaseline = true, live.Digest
	if d.ephemeral() {
		d.warn("Rebaselined", "revision %s could not be taken up in time; the target's revision %s takes its place", good.Digest, live.Digest)
		return
	}
	d.warn("Rebaselined", "the primary did not become ready with revision %s; it is given the target's revision %s", good.Digest, live.Digest)
}

// givesUpOnLastGood tells whether somebody has asked that a primary which no longer comes up with the last good revision of an earlier life is given
// what the target is now, unanalysed. Nobody serves users then, and only people know whether the target is a fix or what was being analysed.
func (d *decision) givesUpOnLastGood(good *Revision) bool {
	if d.in.Primary.Available > 0 {
		return false
	}
	if d.spec.SkipAnalysis {
		return true
	}
	d.wait("PrimaryNotReady", "waiting for the primary with the last good revision %s: %s; if that one cannot come back, set spec.skipAnalysis to give the "+
		"primary the target's revision %s, unanalysed", good.Digest, d.primaryReadiness(), d.in.Live.Digest)
	return false
}

// routePatience is how long a provider may take to answer for a route before that is worth an event.
const routePatience = 5 * time.Second

// reportRoute tells why the route is not in force yet. A provider that was only just written to is waited for; one that does not answer, or
// refuses, is reported.
func (d *decision) reportRoute() {
	const pending, refused = "RoutePending", "RouteNotAccepted"
	if d.in.Route.Problem == "" {
		d.wait(pending, "waiting for the traffic provider to accept the route")
		return
	}
	d.again(missingTargetRetry)
	last := d.in.Canary.Status.Condition(v1beta1.ConditionReady)
	if last != nil && (last.Reason == refused || (last.Reason == pending && !d.in.Now.Before(last.LastUpdateTime.Add(routePatience)))) {
		d.report(Problem{Reason: refused, Message: d.in.Route.Problem})
		return
	}
	d.wait(pending, "waiting for the traffic provider to accept the route")
}
