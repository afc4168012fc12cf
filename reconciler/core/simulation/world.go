package simulation

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// beginning is the time of the world at moment 0.
var beginning = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// canary is the Canary as stored. Neither spec nor status is ever changed in place.
type canary struct {
	generation    int64
	deleted, gone bool
	spec          *v1beta1.CanarySpec
	status        *v1beta1.CanaryStatus
	// verb is what an operator asks for by its annotation; nil without one.
	verb *core.VerbRequest
}

// faults are what is wrong for a while; each holds until the moment given.
type faults struct {
	brokenUntil [kinds]moment
	// webhookAway, slow answers, failing metrics, failing hooks, refusing gates, configs that cannot be read, events that wake nobody.
	webhookUntil, slowUntil, metricsUntil, hooksUntil, gatesUntil, unreadableUntil, lostUntil moment
}

// World is the model. It is used by one goroutine.
type World struct {
	now      moment
	dice     dice
	strategy *Strategy
	canary   object[canary]
	target   workload
	primary  workload
	traffic
	copies
	snapshots object[snapshots]
	config    object[int8]
	configs
	faults
	controller
	autoscaler
	answers []answer
	// lagging is how far behind caches usually are, at most.
	lagging time.Duration
	books
	// mid is an action that comes between two writes, after midIn of them.
	mid   *Action
	midIn int
	// told is the story, kept only where somebody reads it.
	told  []string
	tells bool
	cover *Coverage
}

// NewWorld is a cluster in which an application serves and a Canary has just been created for it, or one that has been at rest for long.
func NewWorld(s *Strategy, seed uint64) *World {
	d := dice{seed: seed}
	variant, fresh := d.roll(diceSetting, s.variants()), d.roll(diceSetting, 4) == 0
	w := s.restingWorld(variant)
	if fresh {
		w = newWorld(s, s.spec(variant))
		if d.roll(diceSetting, 2) == 0 {
			// Admission was there when the Canary was created.
			w.snapshots.real = snapshots{baseline: revision{}, hasBaseline: true}.with(revision{})
			w.snapshots.catchUp()
		}
	}
	w.mounted = d.roll(diceSetting, 2) == 0
	w.lagging = []time.Duration{0, 5 * time.Millisecond, 40 * time.Millisecond, 400 * time.Millisecond}[d.roll(diceSetting, 4)]
	w.dice = d
	return w
}

// newWorld is the one with a new Canary.
func newWorld(s *Strategy, spec *v1beta1.CanarySpec) *World {
	w := &World{strategy: s}
	w.canary = stored(canary{generation: 1, spec: spec, status: &v1beta1.CanaryStatus{}})
	w.admissionSees, w.admissionAt = w.canary.real, never
	w.config = stored(int8(0))
	w.target = workload{kind: kindTarget, daemonSet: s.daemonSet, controllerAt: never, made: 1}
	w.primary = workload{kind: kindPrimary, daemonSet: s.daemonSet, controllerAt: never}
	w.target.object = stored(deployment{exists: true, replicas: 2, generation: 1, observed: 1, total: 2, updated: 2, available: 2})
	w.primary.object = stored(deployment{})
	for range 2 {
		w.target.pods = append(w.target.pods, pod{syncAt: never})
	}
	w.services = stored(services{apex: true, side: sideTarget, pin: unpinned, apexPin: unpinned})
	w.route = stored(route{})
	w.snapshots = stored(snapshots{})
	w.endpoints = stored(w.countEndpoints())
	w.acceptAt, w.followAt, w.endpointsAt = never, never, never
	w.controller, w.autoscaler = newController(), newAutoscaler(s)
	w.books = newBooks()
	if s.ephemeral {
		// What serves when Sluice comes goes on to do so.
		w.trusted = revision{}.bit()
	}
	if s.service {
		w.serviceWorld()
	}
	w.awake = true
	return w
}

// rested is a world in which the first revision serves as primary.
func rested(s *Strategy, spec *v1beta1.CanarySpec) *World {
	w := newWorld(s, spec)
	w.cover = NewCoverage()
	w.Run(settling, func() bool { return w.unsettled() == "" })
	w.Run(w.now+rest, nil)
	return w
}

// clone is a world that goes its own way. What is never changed in place is shared.
func (w *World) clone() *World {
	c := *w
	c.target.pods, c.primary.pods, c.splits = slices.Clone(w.target.pods), slices.Clone(w.primary.pods), slices.Clone(w.splits)
	c.front.pods = slices.Clone(w.front.pods)
	c.answers, c.landings = slices.Clone(w.answers), slices.Clone(w.landings)
	return &c
}

// at is a moment as objects store it.
func at(m moment) time.Time { return beginning.Add(m) }

// status is the stored one.
func (w *World) status() *v1beta1.CanaryStatus { return w.canary.real.status }

// initialising tells whether the Canary's first primary is yet to be made, so that what the target is serves.
func (w *World) initialising() bool {
	p := w.status().Phase
	return p == "" || p == v1beta1.PhaseInitializing
}

// lag is how far behind a cache is this time.
func (w *World) lag() time.Duration {
	if w.dice.roll(diceLag, 24) == 0 {
		return time.Duration(w.dice.roll(diceLag, 1000)) * time.Millisecond
	}
	return w.lagging
}

// slow is up to d once in n times, else nothing.
func (w *World) slow(p purpose, n int, d time.Duration) time.Duration {
	if w.dice.roll(p, n) != 0 {
		return 0
	}
	return time.Duration(1+w.dice.roll(p, int(d/time.Millisecond))) * time.Millisecond
}

// next is when something happens next.
func (w *World) next() moment {
	next := min(w.acceptAt, w.followAt, w.endpointsAt, w.target.controllerAt, w.primary.controllerAt, w.target.nextPod(w.now), w.primary.nextPod(w.now),
		w.front.nextPod(w.now),
		w.canary.due, w.target.due, w.primary.due, w.services.due, w.endpoints.due, w.route.due, w.snapshots.due, w.config.due, w.admissionAt, w.roundAt)
	for i := range w.landings {
		next = min(next, w.landings[i].at)
	}
	if w.mounted {
		for i := range w.target.pods {
			next = min(next, w.target.pods[i].syncAt)
		}
	}
	if w.alive() {
		next = min(next, w.wakeAt)
	} else {
		next = min(next, w.downUntil)
	}
	for i := range w.answers {
		if a := &w.answers[i]; !a.heard {
			next = min(next, a.at)
		}
	}
	return max(next, w.now)
}

// Run lets time pass until a moment, or until cond holds, which is asked after each event.
func (w *World) Run(until moment, cond func() bool) bool {
	for w.now < until && len(w.violations) == 0 {
		if cond != nil && cond() {
			return true
		}
		if w.awake && w.alive() {
			w.act()
			continue
		}
		next := w.next()
		if next > until {
			w.now = until
			w.carryOver()
			break
		}
		w.now = next
		w.happen()
		w.act()
	}
	return cond != nil && cond()
}

// happen is all that happens at this moment without the controller.
func (w *World) happen() {
	w.carryOver()
	w.landConfigs()
	if w.strategy.service {
		w.passCopies()
	} else {
		w.pass(&w.target)
		w.pass(&w.primary)
	}
	w.autoscale()
	w.flow()
	w.deliver()
	w.answer()
	if w.wakeAt <= w.now {
		w.wakeAt, w.awake = never, true
	}
	if w.downUntil != 0 && w.downUntil <= w.now {
		w.restart()
	}
}

// deliver shows the controller what its caches have caught up with.
func (w *World) deliver() {
	before := w.delivered
	catchUp(w, &w.canary)
	catchUp(w, &w.target.object)
	catchUp(w, &w.primary.object)
	catchUp(w, &w.services)
	catchUp(w, &w.endpoints)
	catchUp(w, &w.route)
	catchUp(w, &w.snapshots)
	catchUp(w, &w.config)
	if w.delivered != before {
		w.untold = w.lostUntil > w.now
		w.awake = w.awake || !w.untold
	}
	if w.admissionAt <= w.now {
		w.admissionAt, w.admissionSees = never, w.canary.real
	}
}

func catchUp[T comparable](w *World, o *object[T]) {
	if o.due <= w.now {
		o.catchUp()
		w.delivered++
	}
}

func (w *World) telling() bool { return w.tells }

// say adds a line to the story.
func (w *World) say(format string, args ...any) {
	if w.tells {
		w.told = append(w.told, fmt.Sprintf("%7.2fs  ", w.now.Seconds())+fmt.Sprintf(format, args...))
	}
}

// micro is now as status stores it.
func (w *World) micro() metav1.MicroTime { return metav1.NewMicroTime(at(w.now)) }

// Story is what has happened, one event a line.
func (w *World) Story() []string { return slices.Clone(w.told) }
