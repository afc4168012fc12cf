package core

import (
	"github.com/sluice-dev/sluice/api/v1beta1"
)

// enterStep puts the weight of the rollout's step in force. The canary has the capacity: callers have seen it ready.
func (d *decision) enterStep() {
	ro, s := d.ro(), d.steps()[d.ro().Step]
	ro.NextCheckAt, ro.ConvergedAt = nil, nil
	ro.Attempt++
	d.st.Iterations = ro.Step + 1
	d.putInForce(s.weight)
	d.normal("Advance", "Advance %s.%s canary %s", d.in.Canary.Name, d.in.Canary.Namespace, s.label)
}

// analyse holds a step: its weight is in force, an interval passes, then rollout hooks and metrics are asked. All good advances to the next
// step, after the last one to the promotion gates.
func analyse(d *decision) v1beta1.Stage {
	const here = v1beta1.StageAnalysing
	ro, steps := d.ro(), d.steps()
	if len(steps) == 0 {
		// The analysis was switched off on the way: an explicit skip.
		return v1beta1.StagePromoting
	}
	// The Canary may have been edited to fewer steps: the last one is still to be passed.
	ro.Step = min(ro.Step, int32(len(steps)-1))
	if stage, held := d.needCanary(here); held {
		return stage
	}
	d.putInForce(steps[ro.Step].weight)
	if !d.converged() {
		d.reportRoute()
		return here
	}
	if ro.NextCheckAt == nil {
		ro.NextCheckAt = d.later(d.spec.Analysis.CheckInterval())
	}
	if !d.primaryServes(d.in.Promoted.Digest) {
		// A comparison, and a way back, need a primary.
		d.wait("PrimaryNotReady", "waiting for the primary: %s", d.primaryReadiness())
		return here
	}
	d.wait("Analysing", "%s of revision %s is being analysed", steps[ro.Step].label, ro.Revision)
	if !d.passed(ro.NextCheckAt.Time) {
		return here
	}
	switch d.askStep() {
	case pending:
		return here
	case failed:
		return d.countFailure(here)
	}
	if int(ro.Step)+1 < len(steps) {
		ro.Step++
		d.enterStep()
		// The stage stays, so the new step is decided on next.
		d.again(0)
		return here
	}
	return v1beta1.StageConfirmingPromotion
}

// askStep asks the checks of a step: the hooks that make load first, the metrics that judge it once those have passed.
func (d *decision) askStep() outcome {
	if r := d.ask(d.hooks(v1beta1.HookRollout)); r != passed {
		return r
	}
	return d.ask(d.metrics())
}

// confirmPromotion asks the confirm-promotion gates at the last step. While one refuses, users stay where they are and the step's checks go on;
// the gates are asked again after each good round.
func confirmPromotion(d *decision) v1beta1.Stage {
	const here = v1beta1.StageConfirmingPromotion
	if stage, held := d.needCanary(here); held {
		return stage
	}
	state := d.gate(v1beta1.HookConfirmPromotion)
	switch state {
	case gateOpen:
		return v1beta1.StagePromoting
	case gateShut:
		if d.st.Phase != v1beta1.PhaseWaitingPromotion {
			d.setPhase(v1beta1.PhaseWaitingPromotion)
			d.warn("WaitingForApproval", "Halt %s.%s advancement waiting for promotion approval %s", d.in.Canary.Name, d.in.Canary.Namespace, d.refusal())
		}
	}
	d.wait("WaitingForPromotion", "revision %s waits for its confirm-promotion gates", d.ro().Revision)
	if state == gateShut {
		return v1beta1.StageAnalysing
	}
	return here
}
