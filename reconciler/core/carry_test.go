package core

import (
	"fmt"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// This file is the model's reconciler: it observes, decides and carries plans out, as the real one does.

// reconcile decides once and carries the plan out.
func (w *world) reconcile() {
	in := w.observe()
	for key := range in.Answers {
		a := Answer{At: w.now, Verdict: w.verdict(Check{Key: key})}
		if a.Verdict != v1beta1.VerdictPass {
			a.Message = "bad"
		}
		in.Answers[key] = a
	}
	plan := Decide(in)
	w.wakeAt, w.dirty = time.Time{}, false
	if plan.RequeueAfter > 0 {
		w.wakeAt = w.now.Add(plan.RequeueAfter)
	}
	if !w.write() {
		return
	}
	w.given = w.given || plan.GiveBack
	w.canary.Status = plan.Status
	if w.dieAt != nil && w.dieAt(plan) {
		w.dieAt, w.writes = nil, 0
	}
	for _, e := range plan.Events {
		w.logf("%s", e.Message)
	}
	for _, act := range []func(Plan){w.doSnapshots, w.doScalers, w.doPrimary, w.doServices, w.doRoute, w.doTarget, w.doChecks, w.doVerb} {
		if !w.write() {
			return
		}
		act(plan)
		if w.conflict {
			// What follows waits for a new decision, as in the reconciler.
			w.conflict, w.dirty = false, true
			return
		}
	}
}

// write tells whether the controller is still alive for another write; a killed one comes back and decides anew.
func (w *world) write() bool {
	if w.writes == 0 {
		w.logf("controller: killed and restarted")
		w.writes, w.dirty = -1, true
		w.pending = map[string]time.Time{}
		return false
	}
	if w.writes > 0 {
		w.writes--
	}
	return true
}

func (w *world) doSnapshots(p Plan) {
	if p.Store && w.target.exists && !w.stored[w.liveDigest()] {
		w.stored[w.liveDigest()], w.dirty = true, true
	}
	if p.Inherit && !w.stored[w.inherited] {
		w.stored[w.inherited], w.dirty = true, true
	}
	if p.MarkBaseline != "" && w.stored[p.MarkBaseline] && w.baseline != p.MarkBaseline {
		w.baseline, w.dirty = p.MarkBaseline, true
	}
	if p.MarkPromoted != "" && w.stored[p.MarkPromoted] && w.promoted != p.MarkPromoted {
		w.promoted, w.dirty = p.MarkPromoted, true
	}
}

func (w *world) doPrimary(p Plan) {
	if p.DropPrimary && w.primary.exists {
		w.primary, w.dirty = workload{}, true
		w.logf("primary: removed")
	}
	if p.Primary == nil {
		return
	}
	if !w.stored[p.Primary.Revision] {
		w.violate("primary of a revision without snapshot: %s", p.Primary.Revision)
		return
	}
	if !w.primary.exists {
		w.primary = workload{exists: true, template: p.Primary.Revision, replicas: int(p.Primary.Replicas)}
		if w.canary.Spec.Primary != nil {
			w.logf("primary: %d pods of %s", p.Primary.Replicas, p.Primary.Revision)
		}
		w.dirty = true
	}
	if w.primary.template != p.Primary.Revision || (p.Primary.Enforce && w.primary.replicas != int(p.Primary.Replicas)) {
		w.primary.template, w.dirty = p.Primary.Revision, true
		if p.Primary.Enforce {
			w.primary.replicas = int(p.Primary.Replicas)
		}
	}
}

func (w *world) doServices(p Plan) {
	if p.Services == nil {
		return
	}
	if p.Services.Apex == SideTarget && w.apex != SideTarget && w.canary.Spec.Primary != nil && !w.leaving {
		w.logf("apex Service: to the target")
	}
	if p.Services.Apex == SidePrimary && w.apex == SideTarget && w.canary.Spec.Primary != nil {
		w.logf("apex Service: to the primary")
	}
	if p.Services.Apex != SideUnknown && w.apex != p.Services.Apex {
		w.apex, w.dirty = p.Services.Apex, true
	}
	if w.pin != p.Services.Pin {
		w.pin, w.dirty = p.Services.Pin, true
	}
}

func (w *world) doRoute(p Plan) {
	if p.Route == nil {
		return
	}
	if p.Route.Version != w.routeVersion() {
		w.conflict = true
		return
	}
	if p.Route.Primary+p.Route.Canary != 100 {
		w.violate("P3: weights %d and %d do not sum to 100", p.Route.Primary, p.Route.Canary)
	}
	var last split
	if n := len(w.routes); n > 0 {
		last = w.routes[n-1]
	}
	if last.fence != nil && !p.Route.KeepFence && last.Split == p.Route.Split && last.viaApex == p.Route.ViaApex {
		// Metadata alone: a provider has nothing to accept.
		w.routes[len(w.routes)-1].fence, w.dirty = nil, true
		return
	}
	if last.at.IsZero() || last.Split != p.Route.Split || last.viaApex != p.Route.ViaApex {
		next := split{at: w.now, Split: p.Route.Split, viaApex: p.Route.ViaApex}
		if p.Route.KeepFence {
			next.fence = last.fence
		}
		w.routes = append(w.routes, next)
		if p.Route.ViaApex {
			w.logf("route: to the apex Service")
		} else {
			w.logf("route: %s", describeSplit(p.Route.Split))
		}
		w.dirty = true
	}
}

func (w *world) doTarget(p Plan) {
	t := p.Target
	if p.TrackTarget {
		w.guarded = p.Guard
	}
	if t == nil {
		return
	}
	if t.Hold && !w.target.held {
		w.target.held, w.dirty = true, true
	}
	if t.Release && w.target.held {
		w.target.held, w.dirty = false, true
	}
	if t.Replicas != nil && w.copies == nil && w.target.replicas != int(*t.Replicas) {
		w.target.replicas, w.dirty = int(*t.Replicas), true
		w.logf("target: scaled to %d", *t.Replicas)
	}
	if t.Restore != "" && w.target.template != templateIn(t.Restore) {
		w.target.template, w.dirty = templateIn(t.Restore), true
	}
}

func (w *world) doChecks(p Plan) {
	asked := map[string]time.Time{}
	for _, c := range p.Checks {
		at, known := w.pending[c.Key]
		if !known {
			at = w.now.Add(answerTime)
			if w.silent != nil && w.silent(c) {
				at = w.now.Add(24 * time.Hour)
			}
			w.calls = append(w.calls, c)
		}
		asked[c.Key] = at
	}
	w.pending = asked
}

func (w *world) violate(format string, args ...any) {
	w.violations = append(w.violations, fmt.Sprintf(format, args...))
	w.logf("VIOLATION "+format, args...)
}
