package core

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// settleTime is how long a change must stay as it is before a rollout does anything that others notice: the objects of one
// "kubectl apply -f dir/" arrive one by one and are one change.
const settleTime = 2 * time.Second

// missingTargetRetry is how often a missing target is looked for. Admission announces it earlier where it can.
const missingTargetRetry = 5 * time.Second

// maxTransitions bounds the stages that one decision may walk through; more would be a circle.
const maxTransitions = 16

// rule is one step of the ladder. It returns true when it owns the situation, so that nothing below it is looked at.
type rule struct {
	name  string
	apply func(*decision) bool
}

// ladder is the order in which situations take precedence.
var ladder = []rule{
	// What belongs to another Canary is not this one's to touch, not even to give back.
	{"yield", yield},
	// Giving the application back must work whatever else is wrong.
	{"leave", leave},
	// A decision on half-read facts would be a guess; what could not be read is reported and read again.
	{"blocked", blocked},
	// Without a target there is nothing to roll out, but what serves must go on serving.
	{"target missing", targetMissing},
	// What an earlier controller made is taken over as it is, before anything is done with it.
	{"take over", takeOver},
	// Without the last good revision there is no way back, so nothing may move.
	{"snapshot lost", snapshotLost},
	// What an operator asks for is noted as an intent; those below carry it out.
	{"verb", heed},
	// A newer change must not reach users through the older one's open route, whatever stage that is in, suspended or not.
	{"fence", fence},
	// What is about to change must not reach users either; nothing moves on before it has changed.
	{"fenced", fenced},
	// A suspended Canary keeps what is in force.
	{"suspended", suspended},
	// Until a first good revision serves as primary there is nothing to compare a change with.
	{"initialise", initialise},
	// A running rollout is owned by its stage.
	{"rollout", advance},
	// Between rollouts: look for a change.
	{"detect", detect},
}

// Decide returns what follows from what was observed. It is a pure function.
func Decide(in Observed) Plan {
	d := newDecision(in)
	d.observeFence()
	for _, r := range ladder {
		if r.apply(d) {
			d.ruleName(r.name)
			break
		}
	}
	d.reportScaler()
	d.planScalers()
	d.finish()
	return d.plan
}

// decision is the working state of one call of Decide.
type decision struct {
	in   *Observed
	spec *v1beta1.CanarySpec
	st   *v1beta1.CanaryStatus
	plan Plan
	// fence stands on the route: the canary's share may only shrink.
	fence bool
	// aside are checks that no stage judges.
	aside []Check
	// ready is the Ready condition that the decision arrives at.
	ready v1beta1.Condition
}

func newDecision(in Observed) *decision {
	d := &decision{in: &in, spec: &in.Canary.Spec}
	in.Canary.Status.DeepCopyInto(&d.plan.Status)
	d.st = &d.plan.Status
	return d
}

// now is the time of the decision in the form that status stores.
func (d *decision) now() metav1.MicroTime { return metav1.NewMicroTime(d.in.Now) }

// ro is the rollout in progress; nil between rollouts.
func (d *decision) ro() *v1beta1.RolloutStatus { return d.st.Rollout }

// ruleName records which rule made the plan.
func (d *decision) ruleName(name string) {
	d.plan.Rule = name
	if d.ro() != nil {
		d.plan.Rule += "/" + string(d.ro().Stage)
	}
}

// normal and warn add an event to the plan; the reconciler records and logs it with the same words.
func (d *decision) normal(reason, format string, args ...any) {
	d.plan.Events = append(d.plan.Events, Event{Type: "Normal", Reason: reason, Message: fmt.Sprintf(format, args...)})
}

func (d *decision) warn(reason, format string, args ...any) {
	d.plan.Events = append(d.plan.Events, Event{Type: "Warning", Reason: reason, Message: fmt.Sprintf(format, args...)})
}

// wait sets the reason for which nothing moves on.
func (d *decision) wait(reason, format string, args ...any) {
	d.setReady(metav1.ConditionFalse, reason, fmt.Sprintf(format, args...))
}

// again asks for a decision after at most dur, whatever else asks.
func (d *decision) again(dur time.Duration) {
	if dur <= 0 {
		dur = time.Millisecond
	}
	if d.plan.RequeueAfter == 0 || dur < d.plan.RequeueAfter {
		d.plan.RequeueAfter = dur
	}
}

// againAt asks for a decision at t.
func (d *decision) againAt(t time.Time) { d.again(t.Sub(d.in.Now)) }

// target is how people call the target: name.namespace.
func (d *decision) target() string { return d.spec.TargetRef.Name + "." + d.in.Canary.Namespace }

// yield owns the situation of a Canary whose target belongs to another one. It takes over by itself once that one is gone.
func yield(d *decision) bool {
	if d.in.Winner == "" {
		return false
	}
	if d.in.Leaving {
		d.plan.LetGo = true
		return true
	}
	d.report(Problem{Reason: "TargetConflict", Message: fmt.Sprintf(
		"%s %s belongs to the Canary %s, which was there first; give this Canary another target, or delete one of the two",
		d.spec.TargetRef.Kind, d.spec.TargetRef.Name, d.in.Winner)})
	return true
}

// blocked owns the situation when something that a decision needs could not be read. What is in force stays in force.
func blocked(d *decision) bool {
	for _, p := range d.in.Problems {
		if !p.Blocks {
			continue
		}
		d.report(p)
		d.again(missingTargetRetry)
		if d.initialising() && stalled(d.in.Canary, d.in.Now) {
			d.releaseIdle()
		}
		return true
	}
	return false
}

// report tells of a problem: as the Ready condition and, when it is new, as an event.
func (d *decision) report(p Problem) {
	if c := d.in.Canary.Status.Condition(v1beta1.ConditionReady); c == nil || c.Reason != p.Reason || c.Message != p.Message {
		d.warn(p.Reason, "%s", p.Message)
	}
	d.wait(p.Reason, "%s", p.Message)
}

// targetMissing owns the situation when the target does not exist. A primary that serves is kept.
func targetMissing(d *decision) bool {
	if d.in.Target.Exists {
		return false
	}
	d.report(Problem{Reason: "TargetNotFound", Message: fmt.Sprintf(
		"%s %s does not exist in namespace %s; it is picked up as soon as it is created", d.spec.TargetRef.Kind, d.spec.TargetRef.Name, d.in.Canary.Namespace)})
	switch {
	case d.in.Promoted != nil:
		if d.home() {
			// Nobody serves there any more, and what is created in its place may be another revision.
			d.leaveHome()
		}
		d.serveFromPrimary()
	case d.st.Phase == "":
		d.setPhase(v1beta1.PhaseInitializing)
	case !d.initialising():
		// The canary has gone with the target.
		d.ensureServices()
		d.putInForce(d.returnWeight())
	}
	d.again(missingTargetRetry)
	return true
}

// initialising is the same of the status that this decision has arrived at so far.
func (d *decision) initialising() bool {
	return d.st.Phase == "" || d.st.Phase == v1beta1.PhaseInitializing
}

// snapshotLost owns the situation when the snapshot of the last good revision was deleted. It is stored again if the target still is that
// revision; otherwise what is in force stays as it is, primary included, until somebody puts the target back.
func snapshotLost(d *decision) bool {
	if d.in.Promoted != nil || d.initialising() {
		return false
	}
	live, ro := d.in.Live, d.ro()
	d.ensureServices()
	d.keepSplit()
	if ro != nil && !d.rescuing() && (d.in.Services.CanaryReady == 0 || live != nil && live.Digest != ro.Revision) {
		// The canary is going or gone.
		d.takeBack()
	}
	if live != nil && live.Digest == d.st.PromotedRevision {
		d.plan.Store, d.plan.MarkPromoted = true, live.Digest
		d.wait("SnapshotLost", "storing the snapshot of the promoted revision %s again", live.Digest)
		return true
	}
	d.report(Problem{Reason: "SnapshotLost", Message: fmt.Sprintf(
		"the snapshot of the promoted revision %s was deleted, so nothing can be rolled back to it; "+
			"set the target back to that revision, or delete and recreate the Canary",
		d.st.PromotedRevision)})
	return true
}

// suspended owns the situation of a suspended Canary: nothing starts and nothing advances, what is in force is kept. The way back to the
// primary is never held up, nor is an operator who restores a revision.
func suspended(d *decision) bool {
	if !d.spec.Suspend || d.returning() || d.restoring() {
		return false
	}
	if d.initialising() {
		d.releaseIdle()
		d.wait("Suspended", "the Canary is suspended; set spec.suspend to false to initialise it")
		return true
	}
	d.keepInForce()
	if d.ro() != nil && d.in.Services.CanaryReady == 0 {
		// Nobody is left where there is nothing.
		d.takeBack()
	}
	d.observeLive()
	// What pods may have read before a change is found out when a rollout of it begins.
	d.st.TrackedConfigs = d.in.Canary.Status.TrackedConfigs
	if d.ro() != nil {
		// The time of a suspension is not held against a workload.
		d.ro().UnreadySince = nil
	}
	d.wait("Suspended", "the Canary is suspended; set spec.suspend to false to go on")
	return true
}
