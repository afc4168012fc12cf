package simulation

import (
	"slices"
	"time"

	"github.com/sluice-dev/sluice/reconciler/core"
)

// This file models what Kubernetes does with a Deployment or a DaemonSet.

const (
	// podStart is how long a pod takes to become ready at least, controllerLag how long a workload's controller takes to look.
	podStart      = 700 * time.Millisecond
	controllerLag = 30 * time.Millisecond
	// nodes is the number of pods of a DaemonSet.
	nodes = 2
)

// deployment is a Deployment or DaemonSet as stored: what is wanted, and what its controller reports.
type deployment struct {
	exists, held, guarded bool
	// spec is what pods are to run: a template, or of a primary a whole revision.
	spec revision
	// replicas is 0 of an idle DaemonSet, and the number of nodes of any other.
	replicas                  int8
	generation, observed      int32
	total, updated, available int8
}

// nothing is the template of a workload that has never rolled out.
const nothing = int8(-1)

type pod struct {
	// spec is the template that it was made from, content what it has read.
	spec, content revision
	readyAt       moment
	// syncAt is when it reads its config anew.
	syncAt moment
}

type workload struct {
	object[deployment]
	kind      kind
	daemonSet bool
	// running is what the controller rolls out: the spec, unless that is held.
	running revision
	pods    []pod
	// controllerAt is when the controller looks next.
	controllerAt moment
	// made are the templates of which there is a ReplicaSet.
	made uint16
	// rotten templates do not become ready any more.
	rotten uint16
}

// edit changes the stored spec and has the controller look.
func (w *World) edit(wl *workload, d deployment) {
	if d == wl.real {
		return
	}
	d.generation++
	set(w, wl.kind, &wl.object, d)
	wl.controllerAt = min(wl.controllerAt, w.now+controllerLag)
}

// ready counts the ready pods of a template, or all for none.
func (wl *workload) ready(now moment, of *revision) int8 {
	var n int8
	for i := range wl.pods {
		if p := &wl.pods[i]; p.readyAt <= now && (of == nil || p.spec == *of) {
			n++
		}
	}
	return n
}

// nextPod is when a pod becomes ready.
func (wl *workload) nextPod(now moment) moment {
	next := never
	for i := range wl.pods {
		if at := wl.pods[i].readyAt; at > now {
			next = min(next, at)
		}
	}
	return next
}

// operate is one look of the workload's controller. It brings the pods to the spec and reports.
func (w *World) operate(wl *workload) {
	d := &wl.real
	wl.controllerAt = never
	if !d.exists {
		if len(wl.pods) > 0 {
			wl.pods = wl.pods[:0]
			w.moved()
		}
		return
	}
	if !d.held {
		wl.running = d.spec
		wl.made |= 1 << d.spec.template
	}
	if wl.running.template == nothing {
		// It was created with a hold, so there is no template to make pods of.
		w.report(wl)
		return
	}
	before := len(wl.pods)
	if wl.daemonSet {
		w.replaceInPlace(wl)
	} else {
		w.replaceAndSurge(wl)
	}
	if len(wl.pods) != before {
		w.moved()
	}
	w.report(wl)
}

// replaceAndSurge makes all new pods at once; old ones go as new ones become ready.
func (w *World) replaceAndSurge(wl *workload) {
	want := int(wl.real.replicas)
	fresh := wl.count(wl.running)
	for ; fresh < want; fresh++ {
		wl.pods = append(wl.pods, w.newPod(wl))
	}
	for ; fresh > want; fresh-- {
		w.drop(wl, func(p *pod) bool { return p.spec == wl.running })
	}
	old := len(wl.pods) - fresh
	keep := max(0, want-int(wl.ready(w.now, &wl.running)))
	for ; old > keep; old-- {
		w.drop(wl, func(p *pod) bool { return p.spec != wl.running })
	}
}

// replaceInPlace replaces one pod after another.
func (w *World) replaceInPlace(wl *workload) {
	want := int(wl.real.replicas)
	if w.strategy.ephemeral && wl.real.held {
		w.topUp(wl, want)
		return
	}
	for len(wl.pods) > want {
		w.drop(wl, func(*pod) bool { return true })
	}
	// Old pods that are no use go at once, the others one at a time.
	wl.pods = slices.DeleteFunc(wl.pods, func(p pod) bool { return p.spec != wl.running && p.readyAt > w.now })
	if len(wl.pods) == want && int(wl.ready(w.now, nil)) == want {
		w.drop(wl, func(p *pod) bool { return p.spec != wl.running })
	}
	for len(wl.pods) < want {
		wl.pods = append(wl.pods, w.newPod(wl))
	}
}

// drop removes a pod, an unready one first.
func (w *World) drop(wl *workload, which func(*pod) bool) {
	at := -1
	for i := range wl.pods {
		if which(&wl.pods[i]) && (at < 0 || wl.pods[i].readyAt > w.now) {
			at = i
		}
	}
	if at >= 0 {
		wl.pods = slices.Delete(wl.pods, at, at+1)
		w.moved()
	}
}

func (wl *workload) count(spec revision) int {
	n := 0
	for i := range wl.pods {
		if wl.pods[i].spec == spec {
			n++
		}
	}
	return n
}

func (w *World) newPod(wl *workload) pod {
	p := pod{spec: wl.running, content: wl.running, syncAt: never, readyAt: w.now + podStart + w.slow(dicePods, 12, 3*time.Second)}
	if wl.kind == kindTarget {
		p.content.config = w.config.real
	}
	if wl.running.template == brokenTemplate || wl.rotten&(1<<wl.running.template) != 0 {
		p.readyAt = never
	}
	w.moved()
	return p
}

// report writes what the controller counts.
func (w *World) report(wl *workload) {
	d := wl.real
	d.observed = d.generation
	d.total, d.updated, d.available = int8(len(wl.pods)), int8(wl.count(wl.running)), wl.ready(w.now, nil)
	if wl.running != d.spec {
		d.updated = 0
	}
	if wl.daemonSet && w.strategy.ephemeral {
		d.updated = int8(wl.count(d.spec))
	}
	set(w, wl.kind, &wl.object, d)
}

// pass lets pods become ready and the controller look.
func (w *World) pass(wl *workload) {
	if wl.controllerAt > w.now {
		became := false
		for i := range wl.pods {
			became = became || wl.pods[i].readyAt == w.now
		}
		if !became {
			return
		}
		w.moved()
	}
	w.operate(wl)
}

// hurt changes pods behind the back of everybody.
func (w *World) hurt(wl *workload, change func(*pod)) {
	if w.strategy.service {
		w.hurtCopies(w.listedFor(wl), change)
		return
	}
	for i := range wl.pods {
		change(&wl.pods[i])
	}
	w.moved()
	wl.controllerAt = min(wl.controllerAt, w.now+controllerLag)
}

// observed is a workload as the core is told of it.
func (wl *workload) observed() core.Workload {
	d := &wl.seen
	if !d.exists {
		return core.Workload{}
	}
	o := core.Workload{
		Exists: true, Generation: int64(d.generation), Current: d.observed >= d.generation, Held: d.held,
		Replicas: int32(d.replicas), Total: int32(d.total), Updated: int32(d.updated), Available: int32(d.available),
	}
	if wl.daemonSet && d.replicas > 0 && !o.Current {
		// How many nodes it wants is what its controller says.
		o.Replicas = max(1, int32(d.total))
	}
	return o
}
