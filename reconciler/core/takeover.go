package core

import (
	"strconv"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// NeedsInheritance tells whether nothing was promoted here of a Canary that was initialised all the same, so that a decision looks at what its primary
// runs. Looking costs reads from the API server.
func NeedsInheritance(c *v1beta1.Canary) bool {
	st := &c.Status
	return st.PromotedRevision == "" && st.Phase != "" && st.Phase != v1beta1.PhaseInitializing
}

// takeOver owns the situation of a Canary that Flagger has driven until now. What the primary runs becomes the last good revision, as it is: no pod is
// replaced for it. Flagger's hash of the target says nothing to anybody else, so whether there is something to roll out is found by comparing what
// the target is now with what the primary runs.
func takeOver(d *decision) bool {
	if !NeedsInheritance(d.in.Canary) {
		return false
	}
	inherited := d.in.Inherited
	if d.in.Promoted == nil {
		if inherited == nil {
			return false
		}
		// Until the mark is seen to be set nothing else is done, so that a crash in between does no harm.
		d.plan.Inherit, d.plan.MarkPromoted = true, inherited.Digest
		d.wait("TakingOver", "storing revision %s, which the primary of an earlier controller runs", inherited.Digest)
		return true
	}
	d.st.PromotedRevision, d.st.LastPromotedSpec = d.in.Promoted.Digest, d.in.Promoted.Digest
	d.normal("TakenOver", "%s is taken over with revision %s, which its primary runs; no pod is replaced", d.target(), d.in.Promoted.Digest)
	d.inheritPhase()
	// What the phase asks for is looked at next.
	d.plan.Finalizer, d.plan.TrackTarget = true, true
	d.again(0)
	return true
}

// inheritPhase turns the phase that Flagger left into one that can go on: a rollout that was under way returns to the primary first and then starts
// afresh, if the target still is something else.
func (d *decision) inheritPhase() {
	live, rollout := d.in.Live, d.st.Phase.InRollout()
	if d.st.Phase == v1beta1.PhaseFailed {
		if live != nil && live.Digest != d.in.Promoted.Digest {
			// It has been judged.
			d.st.FailedRevision, d.st.AnalysedRevision = live.Digest, live.Digest
		}
		// Flagger leaves users on the target where the primary could not be promoted.
		rollout = d.st.CanaryWeight > 0
	}
	if !rollout {
		return
	}
	if d.st.Phase != v1beta1.PhaseFailed {
		d.setPhase(v1beta1.PhaseSucceeded)
	}
	const reason = "taken over in the middle of a rollout; users return to the primary first"
	revision := d.in.Promoted.Digest
	if live != nil {
		revision = live.Digest
	}
	d.st.Rollout = &v1beta1.RolloutStatus{
		ID: revision + "-" + strconv.FormatInt(d.in.Now.UnixMilli(), 36), Revision: revision,
		Stage: v1beta1.StageRollingBack, StageSince: d.now(), Reason: reason,
	}
	d.wait("RollingBack", "%s", reason)
}
