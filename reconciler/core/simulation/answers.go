package simulation

import (
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// This file models metrics and hooks.

const (
	answerTime = 250 * time.Millisecond
	slowTime   = 7 * time.Second
)

// answer is what becomes of a check that was asked.
type answer struct {
	key   string
	at    moment
	heard bool
	core.Answer
}

// ask asks the checks of a plan. A question that was asked already is not asked again; answers that nobody wants any more are dropped.
func (w *World) ask(checks []core.Check) {
	kept := w.answers[:0]
	for _, a := range w.answers {
		for i := range checks {
			if checks[i].Key == a.key {
				kept = append(kept, a)
				break
			}
		}
	}
	w.answers = kept
	for i := range checks {
		if !w.asked(checks[i].Key) {
			w.answers = append(w.answers, w.judge(&checks[i]))
		}
	}
}

func (w *World) asked(key string) bool {
	for i := range w.answers {
		if w.answers[i].key == key {
			return true
		}
	}
	return false
}

// judge makes up the answer to a check. The same question gets the same answer, so that asking twice cannot help.
func (w *World) judge(c *core.Check) answer {
	a := answer{key: c.Key, at: w.now + answerTime, Answer: core.Answer{Verdict: v1beta1.VerdictPass}}
	if w.slowUntil > w.now {
		a.at = w.now + slowTime
	}
	if w.bad(c) {
		a.Verdict, a.Message = v1beta1.VerdictFail, "bad"
	}
	a.At = at(a.at)
	return a
}

// bad tells whether a check fails: by chance, for its revision, or for what is wrong at the moment.
func (w *World) bad(c *core.Check) bool {
	unlucky := !w.quiet && w.dice.hashed(c.Key, 24) == 0
	if c.Kind == v1beta1.CheckMetric {
		r, _ := parse(c.Checksum)
		return unlucky || w.metricsUntil > w.now || r.template == badTemplate
	}
	failing := unlucky || w.hooksUntil > w.now
	switch w.canary.real.spec.Analysis.Webhooks[c.Index].EffectiveType() {
	case v1beta1.HookRollback:
		// Its yes ends the rollout.
		return w.quiet || w.dice.hashed(c.Key, 40) != 0
	case v1beta1.HookConfirmRollout, v1beta1.HookConfirmPromotion, v1beta1.HookConfirmTrafficIncrease:
		// A person opens these gates.
		return failing || w.gatesUntil > w.now
	}
	return failing
}

// answer wakes the controller for answers that have come.
func (w *World) answer() {
	for i := range w.answers {
		if a := &w.answers[i]; !a.heard && a.at <= w.now {
			a.heard, w.awake = true, true
		}
	}
}
