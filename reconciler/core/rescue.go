package core

import (
	"fmt"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// This file ships a fix after a promotion that failed so badly that the primary cannot take users with any revision it was given. The target's pods
// are then the only healthy copy, and the newer revision must not cost them. So the sides change their parts: all users go to the target's pods, which
// passed their analysis and are held as they are, and the newer revision is analysed in the primary, with the Canary's own steps and checks.

// rescuable tells whether a newer revision may be analysed in the primary.
func (d *decision) rescuable() bool {
	s, ro := d.in.Services, d.ro()
	sheltered := ro.Shelter > 0 && d.in.Traffic.Weighted && ro.PodHash != "" && s.PinnedHash == ro.PodHash && s.CanaryReady > 0
	return !d.spec.Suspend && sheltered && d.primaryStuck() && d.overtaken()
}

// beginRescue starts a rollout of the live revision in the primary.
func (d *decision) beginRescue() v1beta1.Stage {
	old := d.ro()
	d.begin(d.in.Live)
	ro := d.ro()
	ro.PodHash, ro.Shelter, ro.InPrimary, ro.Afresh = old.PodHash, old.Shelter, true, false
	// One that takes the place of another in the same stage stays there; it never settles, which would take the pods away.
	ro.Stage = v1beta1.StageConfirmingRescue
	ro.Reason = fmt.Sprintf("the primary cannot take users back, so revision %s is analysed there", ro.Revision)
	const message = "The primary of %s cannot take users back and the pods of %s are all that serves them: these stay, and revision %s is analysed in the primary"
	d.warn("Rescue", message, d.target(), d.spec.TargetRef.Name, ro.Revision)
	return v1beta1.StageConfirmingRescue
}

// confirmRescue settles the change, asks its gates, and takes all users to the target's pods, so that none is on the primary when it is given the newer
// revision.
func confirmRescue(d *decision) v1beta1.Stage {
	const here = v1beta1.StageConfirmingRescue
	if next, moved := d.rescueMoved(here); moved {
		return next
	}
	ro := d.ro()
	d.put(allUsers, false, 0)
	d.plan.Store = d.in.Live != nil && !d.in.Stored[ro.Revision]
	d.wait("Rescuing", "%s; its users go to the pods of %s first", ro.Reason, d.spec.TargetRef.Name)
	if !d.passed(ro.StageSince.Add(settleTime)) || !d.in.Stored[ro.Revision] || d.st.CanaryWeight < allUsers || !d.drained() {
		return here
	}
	if d.paused() {
		return here
	}
	switch d.beginGate() {
	case gateOpen:
		d.setPhase(v1beta1.PhaseProgressing)
		ro.Step, d.st.Iterations = 0, 0
		return v1beta1.StageRescuing
	case gateShut:
		d.waitForApproval(v1beta1.PhaseWaiting, "approval")
	}
	d.wait("WaitingForApproval", "revision %s waits for its confirm-rollout gates", ro.Revision)
	return here
}

// rescueMoved tells whether what a rescue relies on has changed: there are no pods of the target left to keep, or the change was overtaken or taken
// back.
func (d *decision) rescueMoved(here v1beta1.Stage) (v1beta1.Stage, bool) {
	ro, live := d.ro(), d.in.Live
	switch {
	case d.in.Services.CanaryReady == 0:
		ro.Shelter, ro.InPrimary, ro.Reason = 0, false, "no pod of the target is left to serve users"
		return v1beta1.StageFencing, true
	case live == nil || live.Digest == ro.Revision:
		return here, false
	case live.Digest == d.in.Promoted.Digest:
		d.normal("Reverted", "%s is back at the promoted revision %s; the rollout of %s is over", d.target(), live.Digest, ro.Revision)
		ro.Reason = "the target is back at the promoted revision"
		d.setPhase(v1beta1.PhaseSucceeded)
		return v1beta1.StageRollingBack, true
	}
	d.normal("Superseded", "Revision %s of %s was overtaken by %s before its analysis ended", ro.Revision, d.target(), live.Digest)
	return d.beginRescue(), true
}

// rescue gives the primary the newer revision and, once it is ready, users by the steps of the analysis. What fails goes back to the target's pods.
func rescue(d *decision) v1beta1.Stage {
	const here = v1beta1.StageRescuing
	if next, moved := d.rescueMoved(here); moved {
		return next
	}
	if stage, lost := d.regain(here); lost {
		return stage
	}
	ro := d.ro()
	if d.in.Primary.Revision != ro.Revision {
		if d.put(allUsers, false, 0); d.st.CanaryWeight < allUsers || !d.drained() {
			// Something else had sent users there.
			d.wait("Rescuing", "%s; its users go to the pods of %s first", ro.Reason, d.spec.TargetRef.Name)
			return here
		}
	}
	d.plan.Primary = &PrimaryIntent{Revision: ro.Revision, Replicas: d.primaryReplicas(d.in.Promoted)}
	ready := d.primaryServes(ro.Revision)
	if d.overdue(ready) {
		return d.fail(d.neverReady())
	}
	if !ready {
		ro.NextCheckAt = nil
		d.put(allUsers, false, 0)
		d.wait("PrimaryNotReady", "%s; waiting for it: %s", ro.Reason, d.primaryReadiness())
		return here
	}
	steps := d.steps()
	if len(steps) == 0 {
		if d.paused() {
			return here
		}
		d.normal("AnalysisSkipped", "Analysis of %s is skipped", d.target())
		return v1beta1.StageFinalising
	}
	ro.Step = min(ro.Step, int32(len(steps)-1))
	return d.rescueStep(steps)
}

// rescueStep holds a step of a rescue: its share is on the primary, an interval passes, then the checks are asked about the primary.
func (d *decision) rescueStep(steps []step) v1beta1.Stage {
	const here = v1beta1.StageRescuing
	ro, s := d.ro(), steps[d.ro().Step]
	d.putRescueStep(s)
	if !d.converged() {
		d.reportRoute()
		return here
	}
	if ro.NextCheckAt == nil {
		ro.NextCheckAt = d.later(d.spec.Analysis.CheckInterval())
	}
	d.wait("Analysing", "%s of revision %s is being analysed in the primary", s.label, ro.Revision)
	if !d.passed(ro.NextCheckAt.Time) {
		return here
	}
	switch d.askStep() {
	case pending:
		return here
	case failed:
		return d.countFailure(here)
	}
	if d.paused() {
		d.judgedOn()
		return here
	}
	if int(ro.Step)+1 == len(steps) {
		return d.confirmRescued()
	}
	ro.Step++
	ro.NextCheckAt, ro.ConvergedAt = nil, nil
	ro.Attempt++
	d.again(0)
	return here
}

// putRescueStep puts the share of a step on the primary, and says so when it is new.
func (d *decision) putRescueStep(s step) {
	weight := s.weight
	if s.match {
		// A route tells those who match from the others for the canary only: nobody is sent to the primary instead of everybody.
		weight = 0
	}
	d.put(allUsers-weight, false, 0)
	if d.st.Iterations != d.ro().Step+1 {
		d.st.Iterations = d.ro().Step + 1
		d.normal("Advance", "Advance %s.%s primary %s", d.in.Canary.Name, d.in.Canary.Namespace, s.label)
	}
}

// confirmRescued asks the confirm-promotion gates after the last step; while one refuses, that step is judged on.
func (d *decision) confirmRescued() v1beta1.Stage {
	ro := d.ro()
	due := ro.NextCheckAt
	switch d.gate(v1beta1.HookConfirmPromotion) {
	case gateOpen:
		return v1beta1.StageFinalising
	case gateShut:
		d.waitForApproval(v1beta1.PhaseWaitingPromotion, "promotion approval")
		ro.NextCheckAt = d.later(d.spec.Analysis.CheckInterval())
	case gateAsked:
		ro.NextCheckAt = due
	}
	d.wait("WaitingForPromotion", "revision %s waits for its confirm-promotion gates", ro.Revision)
	return v1beta1.StageRescuing
}
