package core

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// This file holds what is known and wanted of traffic: which weight is in force, whether the world has followed, and how much may move.

// converged tells whether the provider has accepted the weight in force, and since when. It notes the first time in the rollout's status.
func (d *decision) converged() bool {
	ro := d.ro()
	if d.in.Traffic.Weighted && !d.routeShows() {
		ro.ConvergedAt = nil
		return false
	}
	if ro.ConvergedAt == nil {
		now := d.now()
		ro.ConvergedAt = &now
	}
	return true
}

// routeShows tells whether the provider has accepted a route with the split in force.
func (d *decision) routeShows() bool {
	r := d.in.Route
	if r.ViaApex != d.home() {
		return false
	}
	if d.home() {
		return r.Exists && r.Accepted && r.Problem == ""
	}
	return r.Exists && r.Accepted && r.Problem == "" && r.Split == d.split()
}

// drained tells whether no request can still arrive by weights that were in force before: the provider's drain time has passed since
// the present ones were accepted.
func (d *decision) drained() bool {
	if !d.converged() {
		return false
	}
	if !d.in.Traffic.Weighted {
		return true
	}
	return d.passed(d.ro().ConvergedAt.Add(d.in.Traffic.Drain))
}

// passed tells whether t has come; if not, the plan asks for a decision then.
func (d *decision) passed(t time.Time) bool {
	if d.in.Now.Before(t) {
		d.againAt(t)
		return false
	}
	return true
}

// returnWeight is the canary's share while traffic goes back to the primary: as little as the primary's ready pods allow, in proportion to
// the pods it ought to have, and never more than is in force.
//
// Nobody is kept on a canary without a ready pod. While the primary is used to analyse a newer revision, or was, its pods of that revision take nobody
// back.
func (d *decision) returnWeight() int32 {
	capacity := share(d.in.Services.PrimaryReady, d.primaryWanted())
	if ro := d.ro(); ro != nil {
		switch {
		case ro.PodHash != "" && d.in.Services.CanaryReady == 0:
			return 0
		case d.rescuing():
			return d.st.CanaryWeight
		case ro.InPrimary && (ro.Stage == v1beta1.StageRollingBack || ro.Stage == v1beta1.StageLeaving):
			capacity = d.goodCapacity()
		}
	}
	return min(d.st.CanaryWeight, 100-capacity)
}

// primaryReplicas is how many pods the primary is to have when it is made anew.
func (d *decision) primaryReplicas(r *Revision) int32 {
	for _, n := range []int32{d.in.Primary.Replicas, d.in.Target.Replicas, r.Replicas} {
		if n > 0 {
			return n
		}
	}
	return 1
}

// ensurePrimary plans a primary of the given revision.
func (d *decision) ensurePrimary(r *Revision) {
	d.plan.Primary = &PrimaryIntent{Revision: r.Digest, Replicas: d.primaryReplicas(r)}
}

// ensureServices plans the Services with users on the primary; the canary Service is pinned to the rollout's pods while there are any.
func (d *decision) ensureServices() {
	s := &ServicesIntent{Apex: SidePrimary}
	if d.ro() != nil {
		s.Pin = d.ro().PodHash
	}
	if d.home() {
		s.Apex, s.ApexPin, s.Both = SideTarget, d.apexPin(), true
	}
	d.plan.Services = s
}

// serve plans what serves users between rollouts, on the side where they are.
func (d *decision) serve() {
	if d.home() {
		d.serveAtHome()
		return
	}
	d.serveFromPrimary()
}

// serveFromPrimary plans the last good revision as primary, all traffic on it.
func (d *decision) serveFromPrimary() {
	d.ensurePrimary(d.in.Promoted)
	d.ensureServices()
	d.putInForce(0)
}

// keepInForce plans what is in force already, so that drift is repaired.
func (d *decision) keepInForce() {
	if !d.promoting() && !d.home() {
		d.ensurePrimary(d.in.Promoted)
	}
	d.ensureServices()
	d.keepSplit()
	d.holdAtHome()
}

// promoting tells whether the primary is being given, or has been given, the rollout's revision.
func (d *decision) promoting() bool {
	return d.ro() != nil && (d.ro().Stage == v1beta1.StagePromoting || d.ro().Stage == v1beta1.StageFinalising || d.rescuing())
}

// returning tells whether the rollout is on its way back to the primary.
func (d *decision) returning() bool {
	if d.ro() == nil {
		return false
	}
	switch d.ro().Stage {
	case v1beta1.StageFencing, v1beta1.StageRollingBack, v1beta1.StageFinalising, v1beta1.StageLeaving:
		return true
	}
	return false
}

// primaryServes tells whether the primary runs revision with the ready capacity it ought to have, as endpoints show. One that was scaled to
// zero serves nobody.
func (d *decision) primaryServes(revision string) bool {
	p := d.in.Primary
	percent := d.spec.Analysis.PrimaryReadyPercent()
	d.raiseToReturn()
	wanted := max(p.Replicas, d.floor())
	return p.RolledOut(percent) && p.Revision == revision && d.in.Services.Ready && d.in.Services.PrimaryReady >= max(1, needed(wanted, percent))
}

// canaryServes tells whether the pods of the rollout's revision, and no others, are ready behind the canary Service.
func (d *decision) canaryServes() bool {
	if d.podless() {
		return d.leadsToCanary()
	}
	t, s, percent := d.in.Target, d.in.Services, d.spec.Analysis.CanaryReadyPercent()
	return t.RolledOut(percent) && !t.Held && t.Replicas > 0 && s.Ready && d.ro().PodHash != "" && s.PinnedHash == d.ro().PodHash &&
		s.CanaryReady >= needed(t.Replicas, percent) && s.CanaryOther == 0
}

// overdue tells whether something that must become ready is not, and has got no further for the Canary's progress deadline. As with a Deployment's own
// deadline each pod more counts: a large workload that takes its time is not stuck. Kubernetes reports no deadline when a Deployment is merely scaled up,
// so this clock is the rollout's own.
func (d *decision) overdue(ready bool) bool {
	ro := d.ro()
	if ready {
		ro.UnreadySince, ro.Progress = nil, 0
		return false
	}
	if now := d.progress(); ro.UnreadySince == nil || now > ro.Progress {
		ro.UnreadySince, ro.Progress = d.later(0), now
	}
	return d.passed(ro.UnreadySince.Add(d.in.Canary.ProgressDeadline()))
}

// progress counts what the workloads have got to: pods of the present template, and pods that are available. Only more than ever before counts as
// progress, so pods that come and go do not hold the deadline up.
func (d *decision) progress() int32 {
	p, t := d.in.Primary, d.in.Target
	return p.Updated + p.Available + t.Updated + t.Available
}

// later is now plus dur in the form that status stores.
func (d *decision) later(dur time.Duration) *metav1.MicroTime {
	t := metav1.NewMicroTime(d.in.Now.Add(dur))
	return &t
}
