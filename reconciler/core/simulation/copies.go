package simulation

import (
	"time"

	"github.com/sluice-dev/sluice/reconciler/core"
)

// This file models a target that is a Service. The pods behind it are there whatever Sluice does. Three Services lead to them: the target, as users push it;
// the primary's copy, which is the primary; and the canary's copy, which is what services.pin says. Endpoints follow each of them on their own, a little
// later; until then users meet those of before. Admission does not look at it.

// behind is how many pods of each revision there are.
const behind = 2

// listing is what is listed for a Service: the pods of a template, or nothing. Those of what it leads to by now are listed when due.
type listing struct {
	listed int8
	due    moment
}

// copies are the pods of all revisions, and what is listed of them.
type copies struct {
	readyAt                       [templates][behind]moment
	atPrimary, atCanary, atTarget listing
	front                         workload
	// stuck tells that nothing new is listed for the primary's copy.
	stuck bool
}

// newCopies are those of an application that serves.
func newCopies() copies {
	none := listing{listed: nothing, due: never}
	c := copies{atPrimary: none, atCanary: none, atTarget: listing{due: never}, front: workload{kind: kindTarget}}
	for i := range c.readyAt[brokenTemplate] {
		c.readyAt[brokenTemplate][i] = never
	}
	return c
}

// serviceWorld makes the target of a new world a Service.
func (w *World) serviceWorld() {
	w.copies = newCopies()
	w.target.object = stored(deployment{exists: true, generation: 1, observed: 1})
	w.services = stored(services{apex: true, side: sidePrimary, pin: unpinned, apexPin: unpinned})
	w.relist()
	w.endpoints = stored(w.countEndpoints())
	w.endpointsAt = never
}

// leads is where the Services lead by now, each with what is listed for it and where those pods are kept.
func (w *World) leads() [3]struct {
	to   int8
	at   *listing
	pods *[]pod
} {
	to := func(wl *workload) int8 {
		if !wl.real.exists {
			return nothing
		}
		return wl.real.spec.template
	}
	canary := nothing
	if w.services.real.canary {
		canary = w.services.real.pin
	}
	return [3]struct {
		to   int8
		at   *listing
		pods *[]pod
	}{{to(&w.primary), &w.atPrimary, &w.primary.pods}, {canary, &w.atCanary, &w.target.pods}, {to(&w.target), &w.atTarget, &w.front.pods}}
}

// follow says when endpoints are listed anew.
func (w *World) follow() {
	for _, l := range w.leads() {
		switch {
		case l.to == l.at.listed:
			l.at.due = never
		case l.to == nothing:
			l.at.due = w.now
		case w.stuck && l.at == &w.atPrimary:
			l.at.due = never
		case l.at.due == never:
			l.at.due = w.now + endpointLag + w.slow(dicePods, 12, 3*time.Second)
		}
		w.endpointsAt = min(w.endpointsAt, l.at.due)
	}
}

// relist lists the endpoints that are due.
func (w *World) relist() {
	for _, l := range w.leads() {
		if l.at.due <= w.now {
			l.at.listed, l.at.due = l.to, never
		}
		w.endpointsAt = min(w.endpointsAt, l.at.due)
		*l.pods = (*l.pods)[:0]
		for i := range behind {
			if t := l.at.listed; t != nothing {
				r := revision{template: t}
				*l.pods = append(*l.pods, pod{spec: r, content: r, syncAt: never, readyAt: w.readyAt[t][i]})
			}
		}
	}
}

// passCopies has endpoints follow Services that were written and pods that become ready.
func (w *World) passCopies() {
	for _, wl := range []*workload{&w.primary, &w.target, &w.front} {
		if wl.controllerAt <= w.now {
			wl.controllerAt = never
			w.moved()
		}
		for i := range wl.pods {
			if wl.pods[i].readyAt == w.now {
				w.moved()
			}
		}
	}
}

// hurtCopies changes the pods of what a side leads to, behind the back of everybody.
func (w *World) hurtCopies(template int8, change func(*pod)) {
	if template == nothing {
		return
	}
	for i := range behind {
		p := pod{spec: revision{template: template}, readyAt: w.readyAt[template][i]}
		change(&p)
		w.readyAt[template][i] = p.readyAt
	}
	w.relist()
	w.moved()
}

// sickenCopy has nothing new be listed for the primary's copy until it heals, and what is listed go at once if emptied.
func (w *World) sickenCopy(emptied bool) {
	w.say("cluster: endpoints of the primary's Service do not follow for now")
	if w.stuck = true; emptied {
		w.atPrimary.listed = nothing
	}
	w.relist()
	w.moved()
}

// healCopies has all be well again but the broken template.
func (w *World) healCopies() {
	w.stuck = false
	for t := range int8(templates) {
		w.hurtCopies(t, func(p *pod) {
			if p.readyAt > w.now && t != brokenTemplate {
				p.readyAt = w.now + podStart
			}
		})
	}
}

// listedFor is the template that is listed for a side.
func (w *World) listedFor(wl *workload) int8 {
	if wl.kind == kindPrimary {
		return w.atPrimary.listed
	}
	return w.atCanary.listed
}

// countCopies looks which pods are ready behind the three Services, and by which revision they were listed.
func (w *World) countCopies() endpoints {
	e := endpoints{pin: w.atCanary.listed, primaryBy: w.atPrimary.listed, targetBy: w.atTarget.listed}
	e.primary, e.apexTarget = w.primary.ready(w.now, nil), w.front.ready(w.now, nil)
	if e.pin != nothing {
		e.canary[e.pin] = w.target.ready(w.now, nil)
	}
	return e
}

// observeCopies is the gathering of what differs.
func (w *World) observeCopies(in *core.Observed, hash string) {
	t, p, s, e := &w.target.seen, &w.primary.seen, &w.services.seen, &w.endpoints.seen
	in.Target, in.Primary = core.Workload{}, core.Workload{}
	if t.exists {
		in.Target = core.Workload{Exists: true, Current: true, Template: t.spec.hash()}
	}
	if p.exists {
		in.Primary = core.Workload{Exists: true, Current: true, Revision: p.spec.digest(), Replicas: 1, Total: int32(min(1, e.primary))}
		if e.primaryBy == p.spec.template {
			in.Primary.Updated, in.Primary.Available = in.Primary.Total, in.Primary.Total
		}
	}
	o := core.Services{PrimaryReady: int32(e.primary)}
	if s.canary {
		o.PinnedHash = revision{template: s.pin}.hash()
		o.Ready = p.exists
	}
	want, known := parse(hash)
	for template, n := range e.canary {
		if known && int8(template) == want.template {
			o.CanaryReady += int32(n)
		} else {
			o.CanaryOther += int32(n)
		}
	}
	if e.targetBy == e.primaryBy {
		o.ApexReady = int32(min(e.apexTarget, e.primary))
		o.ApexOther = int32(e.apexTarget) - o.ApexReady
	} else {
		o.ApexOther = int32(e.apexTarget)
	}
	in.Services = o
}

// carryCopies has both copies lead where the plan says: from snapshots, unless one leads there already.
func (w *World) carryCopies(p *core.Plan) {
	if p.Services == nil || p.Services.Apex == sideTarget {
		return
	}
	d := w.primary.seen
	if p.Primary != nil && !w.leadPrimary(p, &d) {
		return
	}
	w.leadCanary(p, &d)
}

// leadPrimary has the primary's copy lead where the plan says, and tells whether it was written.
func (w *World) leadPrimary(p *core.Plan, d *deployment) bool {
	r, ok := parse(p.Primary.Revision)
	switch kept := d.exists && d.spec == r; {
	case !ok || !kept && !w.snapshots.seen.has(r):
		w.violate(promiseRestore, "the primary is to lead to %q, of which there is no snapshot", p.Primary.Revision)
		return false
	case !kept:
		w.primaryWritten(r, p)
		d.exists, d.spec, d.replicas = true, r, 1
	}
	w.own(&w.primary, *d)
	return !w.conflicted && w.lives()
}

// leadCanary has the canary's copy lead where the plan says; without a pin to where the primary's leads.
func (w *World) leadCanary(p *core.Plan, d *deployment) {
	s := w.services.seen
	pin := pinned(p.Services.Pin)
	if pin == unpinned {
		if !d.exists {
			return
		}
		pin = d.spec.template
	}
	if (!s.canary || s.pin != pin) && !w.snapshots.seen.has(revision{template: pin}) {
		// An error, and so another attempt later.
		w.conflict(w.now + time.Second)
		return
	}
	s.canary, s.pin = true, pin
	if write(w, &w.services, s) {
		w.moved()
	}
}

// heldElsewhere tells that what users of the apex Service find is held by holdHome or holdFront.
func (s *Strategy) heldElsewhere() bool { return s.ephemeral || s.service }

// holdFront: who is sent to the target itself finds what was analysed there, unless it was changed a moment ago and nobody could know.
func (w *World) holdFront() {
	if !w.strategy.service || w.asAsked || w.hurtLately() {
		return
	}
	for i := range w.splits {
		if !w.splits[i].viaApex {
			continue
		}
		if w.front.ready(w.now, nil) == 0 {
			w.violate(promiseTraffic, "users at the target find no endpoint")
		} else if t := w.atTarget.listed; !w.trustedTemplate(t) && w.now-w.unseenAt > reaction {
			w.violate(promiseUsers, "users at the target are served by %s, which nobody has analysed", revision{template: t}.hash())
		}
	}
}

// unsettledCopies says what is not as it is to be at rest.
func (w *World) unsettledCopies() string {
	promoted := w.snapshots.real.promoted.template
	if s := w.services.real; !s.canary || s.pin != promoted || w.atPrimary.listed != promoted || w.atCanary.listed != promoted {
		return "a copy does not lead to the promoted revision"
	}
	return ""
}
