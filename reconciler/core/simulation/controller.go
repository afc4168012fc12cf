package simulation

import (
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// This file models when the controller decides: woken by what its caches show, by its own writes, by answers, or at the time it asked for.

const (
	// conflictRetry is how soon it decides again after a conflict, at the earliest.
	conflictRetry = 20 * time.Millisecond
	// restartTime is how long a killed one is away.
	restartTime = 300 * time.Millisecond
	// spinning is how many decisions may follow one another at one moment.
	spinning = 60
)

type controller struct {
	awake  bool
	wakeAt moment
	// killIn is how many more effects the controller lives to carry out; -1 for all.
	killIn int
	// downUntil is when it is back; 0 while it runs.
	downUntil moment
	// conflicted tells that a write met something newer than was decided on.
	conflicted bool
	// untold tells that caches have caught up with something that woke nobody, and nothing has since.
	untold bool
	// delivered counts what caches have caught up with, decisions all decisions, atOnce those of this moment.
	delivered, decisions, atOnce int
	decidedAt                    moment
	// rule made the last plan.
	rule        string
	storedSet   map[string]bool
	storedKnown uint32
	// scratch is reused for each decision, which does not keep it.
	scratch v1beta1.Canary
}

func newController() controller { return controller{killIn: -1, wakeAt: never} }

func (w *World) alive() bool { return w.downUntil == 0 }

// kill ends the controller: what it has in memory is lost.
func (w *World) kill(down time.Duration) {
	w.say("controller: killed")
	w.killIn, w.downUntil, w.wakeAt, w.awake = -1, w.now+down, never, false
	w.answers = w.answers[:0]
}

// restart is the beginning of a new process, with caches that were just filled.
func (w *World) restart() {
	w.downUntil, w.awake = 0, true
	w.canary.catchUp()
	w.target.catchUp()
	w.primary.catchUp()
	w.services.catchUp()
	w.endpoints.catchUp()
	w.route.catchUp()
	w.snapshots.catchUp()
	w.config.catchUp()
}

// conflict has the controller decide again once its cache may have caught up.
func (w *World) conflict(due moment) {
	w.conflicted = true
	at := w.now + conflictRetry
	if due != never {
		at = max(at, due)
	}
	w.wakeAt = at
	w.cover.fault(faultConflict)
}

// act lets the controller decide as long as it is awake.
func (w *World) act() {
	for w.awake && w.alive() && !w.canary.real.gone && len(w.violations) == 0 {
		w.decide()
	}
	if w.canary.real.gone {
		w.awake = false
	}
	w.hold()
}

// decide is one reconcile.
func (w *World) decide() {
	w.awake, w.untold, w.wakeAt, w.conflicted = false, false, never, false
	if w.decidedAt != w.now {
		w.decidedAt, w.atOnce = w.now, 0
	}
	w.decisions++
	w.atOnce++
	if w.atOnce > spinning {
		w.violate(promiseLivelock, "more than %d decisions at one moment, the last by %s", spinning, w.rule)
		return
	}
	in := w.observe()
	plan := core.Decide(in)
	w.rule = plan.Rule
	w.cover.decided(w.canary.seen.status, &plan)
	w.judgePlan(&in, &plan)
	if plan.RequeueAfter > 0 {
		w.wakeAt = w.now + plan.RequeueAfter
	}
	w.carry(&in, &plan)
	if w.conflicted {
		w.awake = false
	}
}
