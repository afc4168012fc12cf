package simulation

import (
	"reflect"

	"github.com/sluice-dev/sluice/reconciler/core"
)

// This file carries plans out as the reconciler does: the status first, then the rest in its order. A write on something that has changed since it
// was observed ends it.

// carry carries a plan out, as far as the controller lives.
func (w *World) carry(in *core.Observed, plan *core.Plan) {
	if !w.lives() || !w.carryStatus(plan) {
		w.evidence.forget()
		return
	}
	for _, e := range plan.Events {
		w.say("%s", e.Message)
	}
	if plan.GiveBack {
		w.giveBack()
		return
	}
	for _, effect := range []func(*core.Observed, *core.Plan){
		w.carrySnapshots, w.carryTracking, w.carryScalers, w.carryPrimary, w.carryServices, w.carryRoute, w.carryTarget, w.carryChecks, w.carryVerb,
	} {
		if !w.lives() {
			return
		}
		w.interfere()
		effect(in, plan)
		if w.conflicted {
			return
		}
	}
}

// lives tells whether the controller is still there for another effect.
func (w *World) lives() bool {
	if w.killIn == 0 {
		w.kill(restartTime)
		return false
	}
	if w.killIn > 0 {
		w.killIn--
	}
	return true
}

func (w *World) carryStatus(plan *core.Plan) bool {
	if !w.canary.fresh() && reflect.DeepEqual(w.canary.seen.status, &plan.Status) {
		// Nothing to write, so nothing to collide with.
		return true
	}
	c := w.canary.seen
	c.status = &plan.Status
	awake := w.awake
	if !write(w, &w.canary, c) {
		return false
	}
	// A status that the controller wrote itself wakes nobody.
	w.awake = awake
	w.admissionAt = min(w.admissionAt, w.now+w.lagging)
	w.statusStored()
	return true
}

func (w *World) carrySnapshots(in *core.Observed, p *core.Plan) {
	s := w.snapshots.seen
	if p.Store && in.Live != nil {
		if r, ok := parse(in.Live.Digest); ok && !s.has(r) {
			if w.config.seen != w.config.real {
				// The content is read from the API server, which has another one.
				w.conflict(w.config.due)
				return
			}
			s = s.with(r)
		}
	}
	write(w, &w.snapshots, s.withBaseline(p.MarkBaseline).withPromoted(p.MarkPromoted))
}

// own is a write of the controller on a workload.
func (w *World) own(wl *workload, d deployment) {
	if d == wl.seen {
		return
	}
	d.generation++
	if write(w, &wl.object, d) {
		wl.controllerAt = min(wl.controllerAt, w.now+controllerLag)
	}
}

func (w *World) carryPrimary(_ *core.Observed, p *core.Plan) {
	switch {
	case p.DropPrimary && w.primary.seen.exists:
		w.say("primary: removed")
		w.own(&w.primary, deployment{generation: w.primary.seen.generation})
	case p.Primary != nil && !w.strategy.service:
		w.writePrimary(p)
	}
}

func (w *World) writePrimary(p *core.Plan) {
	r, ok := parse(p.Primary.Revision)
	if !ok || !w.snapshots.seen.has(r) {
		w.violate(promiseRestore, "the primary is to run %q, of which there is no snapshot", p.Primary.Revision)
		return
	}
	d := w.primary.seen
	if !d.exists || p.Primary.Enforce {
		d.replicas = int8(p.Primary.Replicas)
	}
	d.exists, d.spec, d.held = true, r, false
	if w.primary.daemonSet {
		d.replicas = nodes
	}
	if d.exists && d != w.primary.seen {
		w.primaryWritten(r, p)
	}
	w.own(&w.primary, d)
}

func (w *World) carryServices(_ *core.Observed, p *core.Plan) {
	if w.strategy.service {
		w.carryCopies(p)
		return
	}
	if p.Services == nil {
		return
	}
	before := w.services.seen
	s := before.with(p.Services)
	if s == before || !write(w, &w.services, s) {
		return
	}
	w.moved()
	switch {
	case before.side == s.side:
	case s.side == sideTarget:
		w.turnedHome()
	case s.side == sidePrimary:
		w.turnedAway()
	}
}

func (w *World) carryRoute(_ *core.Observed, p *core.Plan) {
	if p.Route == nil {
		return
	}
	r := w.route.seen
	if p.Route.Version != r.version() {
		w.conflict(w.route.due)
		return
	}
	next := w.strategy.split(p.Route)
	if !p.Route.KeepFence {
		r.fence = nil
	}
	turned := !r.exists || !next.same(r.split)
	if turned {
		r.exists, r.split, r.accepted, r.problem = true, next, false, w.awayUntil > w.now
		r.generation++
	}
	if write(w, &w.route, r) && turned {
		w.direct(next)
	}
}

func (w *World) carryTarget(_ *core.Observed, p *core.Plan) {
	if p.Target == nil || !w.target.seen.exists {
		return
	}
	d := w.target.seen
	if p.Target.Restore != "" {
		r, ok := parse(p.Target.Restore)
		if !ok || !w.snapshots.seen.has(r) {
			w.violate(promiseRestore, "the target is to be restored to %q, of which there is no snapshot", p.Target.Restore)
			return
		}
		d.spec = r.bare()
	}
	if w.strategy.service {
		// It has neither pods nor a hold.
		w.own(&w.target, d)
		return
	}
	if n := p.Target.Replicas; n != nil {
		d.replicas = w.scaleTarget(int8(*n))
	}
	if p.Target.Release {
		d.held = false
	}
	d.held = d.held || p.Target.Hold
	w.own(&w.target, d)
}

// scaleTarget is how many pods a target has that is scaled to n: a DaemonSet has one on each node, or none.
func (w *World) scaleTarget(n int8) int8 {
	if w.target.seen.replicas != n {
		w.say("target: scaled to %d", n)
	}
	if w.target.daemonSet && n > 0 {
		return nodes
	}
	return n
}

func (w *World) carryChecks(_ *core.Observed, p *core.Plan) { w.ask(p.Checks) }

// giveBack takes away what the controller made. The finalizer goes last.
func (w *World) giveBack() {
	w.given()
	w.say("controller: gives the application back")
	w.edit(&w.primary, deployment{generation: w.primary.real.generation})
	s := w.services.real
	s.primary, s.canary, s.pin = false, false, unpinned
	set(w, kindServices, &w.services, s)
	w.moved()
	c := w.canary.real
	c.gone = true
	set(w, kindCanary, &w.canary, c)
	w.answers = w.answers[:0]
	w.admissionSees = canary{}
}
