package core

import (
	"github.com/sluice-dev/sluice/api/v1beta1"
)

// enterStep puts the rollout's step in force, as soon as the canary has the capacity: callers have seen it ready as it is, which is all
// that it needs unless an autoscaler has sized it.
func (d *decision) enterStep() {
	ro, s := d.ro(), d.steps()[d.ro().Step]
	ro.NextCheckAt, ro.ConvergedAt = nil, nil
	ro.Attempt++
	d.st.Iterations = ro.Step + 1
	// Those whom the primary keeps by cookie get another chance to meet the canary at each step.
	d.st.PrimarySessionAffinityCookie = ""
	if !d.canaryShort(s) {
		d.putStep(s)
	}
	d.normal("Advance", "Advance %s.%s canary %s", d.in.Canary.Name, d.in.Canary.Namespace, s.label)
}

// analyse holds a step: its weight is in force, an interval passes, then rollout hooks and metrics are asked. All good advances to the next
// step, after the last one to the promotion gates.
func analyse(d *decision) v1beta1.Stage {
	const here = v1beta1.StageAnalysing
	if stage, edited := d.followEdit(); edited {
		return stage
	}
	ro, steps := d.ro(), d.steps()
	if stage, held := d.needCanary(here); held {
		return stage
	}
	if !d.stepInForce(steps[ro.Step]) {
		return here
	}
	if ro.NextCheckAt == nil {
		ro.NextCheckAt = d.later(d.spec.Analysis.CheckInterval())
	}
	if d.awaitPrimary() {
		return here
	}
	d.wait("Analysing", "%s of revision %s is being analysed", steps[ro.Step].label, ro.Revision)
	d.waitForGate()
	d.paused()
	if !d.passed(ro.NextCheckAt.Time) {
		return here
	}
	switch d.askStep() {
	case pending:
		return here
	case failed:
		return d.countFailure(here)
	}
	return d.afterStep(steps)
}

// stepInForce gives the canary the pods for a step, then the step's share of users, and tells whether the provider has followed.
func (d *decision) stepInForce(s step) bool {
	if d.canaryShort(s) {
		return false
	}
	d.putStep(s)
	if !d.converged() {
		d.reportRoute()
		return false
	}
	return true
}

// afterStep is what follows a good round of a step's checks.
func (d *decision) afterStep(steps []step) v1beta1.Stage {
	const here = v1beta1.StageAnalysing
	if d.paused() {
		d.judgedOn()
		return here
	}
	switch next := int(d.ro().Step) + 1; {
	case next < len(steps) && !steps[next].confirm:
		if !d.mayIncrease(steps[next]) {
			return here
		}
		d.advanceStep()
		// The stage stays, so the new step is decided on next.
		d.again(0)
		return here
	case next == len(steps) && steps[d.ro().Step].confirm:
		return v1beta1.StagePromoting
	}
	return v1beta1.StageConfirmingPromotion
}

// advanceStep enters the step after the rollout's.
func (d *decision) advanceStep() {
	d.ro().Step++
	d.enterStep()
}

// askStep asks the checks of a step: the hooks that make load first, the metrics that judge it once those have passed.
func (d *decision) askStep() outcome {
	if r := d.ask(d.hooks(v1beta1.HookRollout)); r != passed {
		return r
	}
	return d.ask(d.metrics())
}

// confirmPromotion asks the confirm-promotion gates: after the last step, or before one that is the promotion as users see it. While one refuses, users
// stay where they are and the step's checks go on; the gates are asked again after each good round.
func confirmPromotion(d *decision) v1beta1.Stage {
	const here = v1beta1.StageConfirmingPromotion
	if stage, edited := d.followEdit(); edited {
		return stage
	}
	if stage, held := d.needCanary(here); held {
		return stage
	}
	if d.paused() {
		return v1beta1.StageAnalysing
	}
	state := d.gate(v1beta1.HookConfirmPromotion)
	switch state {
	case gateOpen:
		if steps := d.steps(); int(d.ro().Step)+1 < len(steps) {
			d.setPhase(v1beta1.PhaseProgressing)
			d.advanceStep()
			return v1beta1.StageAnalysing
		}
		return v1beta1.StagePromoting
	case gateShut:
		d.waitForApproval(v1beta1.PhaseWaitingPromotion, "promotion approval")
	}
	d.wait("WaitingForPromotion", "revision %s waits for its confirm-promotion gates", d.ro().Revision)
	if state == gateShut {
		return v1beta1.StageAnalysing
	}
	return here
}
