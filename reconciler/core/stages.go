package core

import (
	"fmt"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// podHashRetry is how soon the hash of the target's pods is looked for again.
const podHashRetry = 100 * time.Millisecond

// stages is the machine that owns a running rollout. Each function states what must hold while its stage lasts and returns the stage that
// follows, or its own while nothing has ended it; "" ends the rollout.
var stages = map[v1beta1.Stage]func(*decision) v1beta1.Stage{
	v1beta1.StageSettling:            settle,
	v1beta1.StageConfirming:          confirm,
	v1beta1.StageScalingUp:           scaleUp,
	v1beta1.StagePreparing:           prepare,
	v1beta1.StageAnalysing:           analyse,
	v1beta1.StageConfirmingPromotion: confirmPromotion,
	v1beta1.StagePromoting:           promote,
	v1beta1.StageFinalising:          finalise,
	v1beta1.StageFencing:             fenceOff,
	v1beta1.StageRollingBack:         rollBack,
	v1beta1.StageConfirmingRescue:    confirmRescue,
	v1beta1.StageRescuing:            rescue,
	v1beta1.StageTurning:             turn,
	v1beta1.StageReturning:           comeHome,
}

// advance owns the situation of a running rollout: its stage decides, and the stages that follow at once.
func advance(d *decision) bool {
	if d.ro() == nil {
		return false
	}
	// A replace of the target drops labels that it does not name; the next change must be noticed all the same.
	d.plan.Finalizer, d.plan.TrackTarget = true, true
	for range maxTransitions {
		stage := d.ro().Stage
		run, known := stages[stage]
		if !known {
			// Only a newer Sluice writes stages that this one does not know. Going back to the primary is always safe.
			d.rollout(v1beta1.StageRollingBack, fmt.Sprintf("stage %q is unknown to this version", stage))
			continue
		}
		d.keepInForce()
		d.recordImages()
		if why, signalled := d.rollbackSignalled(); signalled {
			d.rollout(d.fail(why), why)
			continue
		}
		next := d.bound(run(d))
		if next == stage || d.ro() == nil {
			return true
		}
		d.rollout(next, d.ro().Reason)
	}
	// A circle is a defect; looking again later keeps it from spinning.
	d.again(time.Second)
	return true
}

// rollout moves the rollout to a stage, with fresh clocks and a new round of checks. What is in force stays in force.
func (d *decision) rollout(stage v1beta1.Stage, reason string) {
	ro := d.ro()
	ro.Stage, ro.StageSince, ro.Reason = stage, d.now(), cut(reason, v1beta1.MaxRolloutReason)
	ro.NextCheckAt, ro.UnreadySince, ro.RefusedGate = nil, nil, ""
	ro.Attempt++
}

// cut shortens text to at most n characters.
func cut(text string, n int) string {
	if r := []rune(text); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return text
}

// settle waits until the change has stayed as it is for a while.
func settle(d *decision) v1beta1.Stage {
	d.setPhase(v1beta1.PhaseProgressing)
	d.plan.Store = d.in.Live != nil && !d.in.Stored[d.ro().Revision]
	// The target has no users, so a hold has done its work; kubectl's rollout verbs refuse a paused Deployment.
	if !d.home() && !d.ephemeral() && !d.departing() {
		d.releaseIdle()
	}
	d.wait("Settling", "revision %s was detected; waiting for further changes of the same apply", d.ro().Revision)
	if !d.passed(d.ro().StageSince.Add(settleTime)) || !d.in.Stored[d.ro().Revision] || !d.startedAfresh() {
		return v1beta1.StageSettling
	}
	if d.in.Target.Paused {
		// Whoever pauses a Deployment collects changes for later. Pods of this one would never come, and the deadline call it bad.
		d.wait("TargetPaused", "revision %s waits: %s %s is paused by its owner; kubectl rollout resume starts the rollout",
			d.ro().Revision, d.spec.TargetRef.Kind, d.spec.TargetRef.Name)
		return v1beta1.StageSettling
	}
	return v1beta1.StageConfirming
}

// startedAfresh sees to it that no pod of the target is older than the configs of the revision: a pod keeps what it read at its start, and a
// manifest that carries replicas may have started it before the last config of the same apply arrived. Where no config changed, pods stay:
// those that go would still be seen in the metrics of the canary.
func (d *decision) startedAfresh() bool {
	if !d.ro().Afresh {
		return true
	}
	if n := d.in.Target.Replicas; n > 0 {
		zero := int32(0)
		d.ro().Replicas = n
		d.plan.Target = &TargetIntent{Replicas: &zero, Release: true}
		return false
	}
	d.ro().Afresh = d.in.Target.Total > 0
	return !d.ro().Afresh
}

// confirm asks the confirm-rollout gates. The phase is Waiting while one refuses.
func confirm(d *decision) v1beta1.Stage {
	if d.paused() {
		return v1beta1.StageConfirming
	}
	switch d.beginGate() {
	case gateOpen:
		d.setPhase(v1beta1.PhaseProgressing)
		d.normal("ScalingUp", "New revision detected! Scaling up %s", d.target())
		return v1beta1.StageScalingUp
	case gateShut:
		d.waitForApproval(v1beta1.PhaseWaiting, "approval")
	}
	d.wait("WaitingForApproval", "revision %s waits for its confirm-rollout gates", d.ro().Revision)
	return v1beta1.StageConfirming
}

// scaleUp brings the target to the capacity that the analysis begins with and waits until its pods, and no others, are ready behind the canary Service.
func scaleUp(d *decision) v1beta1.Stage {
	ro := d.ro()
	d.startTarget()
	if d.in.LivePodHash != "" {
		ro.PodHash = d.in.LivePodHash
		d.ensureServices()
	}
	if ro.PodHash == "" && d.in.Target.Current && !d.in.Target.Held {
		// The hash is read from this stage on only and its ReplicaSet is not watched: if the pods are ready already, as they are when the
		// change itself scaled them up, no event follows.
		d.again(podHashRetry)
	}
	ready := d.canaryServes()
	if d.overdue(ready) {
		return d.fail(fmt.Sprintf("the canary did not become ready within %s: %s", d.in.Canary.ProgressDeadline(), d.canaryReadiness()))
	}
	if !ready {
		d.wait("CanaryNotReady", "waiting for the canary: %s", d.canaryReadiness())
		return v1beta1.StageScalingUp
	}
	if d.awaitPrimary() {
		return v1beta1.StageScalingUp
	}
	if !d.passed(ro.StageSince.Add(admissionLag)) {
		d.wait("ScalingUp", "the canary is ready; admission is about to hold further changes")
		return v1beta1.StageScalingUp
	}
	if len(d.steps()) == 0 {
		if d.paused() {
			return v1beta1.StageScalingUp
		}
		d.normal("AnalysisSkipped", "Analysis of %s is skipped", d.target())
		return v1beta1.StagePromoting
	}
	d.normal("StartingAnalysis", "Starting canary analysis for %s", d.target())
	return v1beta1.StagePreparing
}

// startTarget plans a target that runs: with as many pods as the change asked for, else as many as the analysis begins with. While nobody can tell what
// it is a hold stays: it may be on a newer change.
func (d *decision) startTarget() {
	d.plan.Target = &TargetIntent{Release: d.in.Live != nil}
	if d.in.Target.Replicas > 0 {
		return
	}
	n := d.ro().Replicas
	if n == 0 {
		n = d.canaryStart()
	}
	d.plan.Target.Replicas = &n
}

// prepare runs the pre-rollout hooks while no user reaches the canary. A failed one counts like a failed check.
func prepare(d *decision) v1beta1.Stage {
	if len(d.steps()) == 0 {
		if d.paused() {
			return v1beta1.StagePreparing
		}
		// The analysis was switched off on the way: an explicit skip.
		return v1beta1.StagePromoting
	}
	if stage, held := d.needCanary(v1beta1.StagePreparing); held {
		return stage
	}
	// A refused gate was asked after the hooks had passed; they are not run again for it.
	if d.ro().RefusedGate == "" {
		hooks := d.hooks(v1beta1.HookPreRollout)
		d.wait("PreRollout", "running %d pre-rollout hooks", len(hooks))
		switch d.ask(hooks) {
		case pending:
			return v1beta1.StagePreparing
		case failed:
			return d.countFailure(v1beta1.StagePreparing)
		}
	}
	if d.paused() || !d.mayIncrease(d.steps()[0]) {
		return v1beta1.StagePreparing
	}
	for _, h := range d.hooks(v1beta1.HookPreRollout) {
		d.normal("PreRolloutPassed", "Pre-rollout check %s passed", h.Name)
	}
	d.ro().Step, d.ro().Course = 0, d.course()
	d.enterStep()
	return v1beta1.StageAnalysing
}

// needCanary tells whether the canary's pods are not what the stage needs. A canary that is merely not ready is waited for up to the progress
// deadline; one that lost all its pods while users are on it is fenced off at once.
func (d *decision) needCanary(stage v1beta1.Stage) (v1beta1.Stage, bool) {
	ready := d.canaryServes()
	switch {
	case d.st.CanaryWeight > 0 && d.in.Services.CanaryReady == 0:
		d.warn("CanaryLost", "no pod of %s is ready; its traffic returns to the primary", d.target())
		d.st.FailedChecks++
		if int(d.st.FailedChecks) >= d.spec.Analysis.FailureThreshold() {
			return d.fail("the canary lost all its ready pods"), true
		}
		d.ro().Reason = "the canary lost all its ready pods"
		return v1beta1.StageFencing, true
	case d.overdue(ready):
		return d.fail(fmt.Sprintf("the canary was not ready for %s: %s", d.in.Canary.ProgressDeadline(), d.canaryReadiness())), true
	case !ready:
		d.wait("CanaryNotReady", "waiting for the canary: %s", d.canaryReadiness())
		return stage, true
	}
	return "", false
}
