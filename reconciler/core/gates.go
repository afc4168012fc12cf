package core

import (
	"fmt"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// This file holds the hooks that are asked beside the stages of a rollout: the gates before each increase of the canary's share, and those that may
// call the whole rollout off.

// mayIncrease asks the confirm-traffic-increase gates before the canary's share grows to that of a step. While one refuses, the step in force is held
// and its checks go on; the gates are asked again after each good round, and nothing is counted against the canary. People are told once.
//
// As with Flagger, the gates are those of the progressive canary: other strategies give the canary all of its users at once, which
// confirm-promotion guards.
func (d *decision) mayIncrease(to step) bool {
	const gates = v1beta1.HookConfirmTrafficIncrease
	ro := d.ro()
	if to.weight <= d.st.CanaryWeight || d.spec.Analysis.Strategy(d.in.Traffic.Weighted) != v1beta1.StrategyCanary {
		return true
	}
	if d.paused() {
		return false
	}
	due := ro.NextCheckAt
	switch d.gate(gates) {
	case gateOpen:
		ro.RefusedGate = ""
		return true
	case gateAsked:
		ro.NextCheckAt = due
	case gateShut:
		if ro.RefusedGate != gates {
			ro.RefusedGate = gates
			d.warn("WaitingForApproval", "Halt %s.%s advancement waiting for traffic increase approval %s",
				d.in.Canary.Name, d.in.Canary.Namespace, d.refusal())
		}
		if d.st.CanaryWeight > 0 {
			// The step goes on to be judged at the Canary's own pace.
			ro.NextCheckAt = d.later(d.spec.Analysis.CheckInterval())
		}
	}
	d.waitForGate()
	return false
}

// waitForGate says so while a gate holds the rollout up at its step.
func (d *decision) waitForGate() {
	if ro := d.ro(); ro.RefusedGate != "" {
		d.wait("WaitingForTrafficIncrease", "revision %s stays at weight %d until its %s gates agree", ro.Revision, d.st.CanaryWeight, ro.RefusedGate)
	}
}

// beginGate asks the confirm-rollout gates, unless an operator has them passed over.
func (d *decision) beginGate() gateState {
	if d.ro().PromotedBy != "" {
		return gateOpen
	}
	return d.gate(v1beta1.HookConfirmRollout)
}

// rollbackSignalled asks the rollback hooks, once in an interval for as long as the rollout may still be called off, and tells why it is. Unlike all
// others these say yes to ask for the end; no answer, or any other, means nothing.
func (d *decision) rollbackSignalled() (string, bool) {
	hooks := d.rollbackHooks()
	if len(hooks) == 0 {
		return "", false
	}
	ro := d.ro()
	answered := true
	for i := range hooks {
		hooks[i].Key = fmt.Sprintf("%s/%s/%s/%d/%s/%d", d.in.Canary.Namespace, d.in.Canary.Name, ro.ID, ro.RollbackRound, v1beta1.HookRollback, hooks[i].Index)
		a, known := d.in.Answers[hooks[i].Key]
		answered = answered && known
		if known && a.Verdict == v1beta1.VerdictPass {
			return fmt.Sprintf("manual webhook invoked: rollback check %s signalled", hooks[i].Name), true
		}
	}
	if ro.RollbackAskedAt == nil {
		now := d.now()
		ro.RollbackAskedAt = &now
	}
	if answered && d.passed(ro.RollbackAskedAt.Add(d.spec.Analysis.CheckInterval())) {
		now := d.now()
		ro.RollbackAskedAt = &now
		ro.RollbackRound++
		d.again(0)
		return "", false
	}
	// Answers are kept by being asked for until the next round.
	d.aside = append(d.aside, hooks...)
	return "", false
}

// rollbackHooks are the hooks that may call the rollout off in its present stage.
func (d *decision) rollbackHooks() []Check {
	switch d.ro().Stage {
	case v1beta1.StageConfirming, v1beta1.StagePreparing, v1beta1.StageAnalysing, v1beta1.StageConfirmingPromotion:
		return d.hooks(v1beta1.HookRollback)
	}
	return nil
}

// waitForApproval tells once that gates refuse, and moves to the phase that says so.
func (d *decision) waitForApproval(p v1beta1.CanaryPhase, what string) {
	if d.st.Phase != p {
		d.setPhase(p)
		d.warn("WaitingForApproval", "Halt %s.%s advancement waiting for %s %s", d.in.Canary.Name, d.in.Canary.Namespace, what, d.refusal())
	}
}
