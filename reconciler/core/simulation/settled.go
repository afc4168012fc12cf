package simulation

import (
	"fmt"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// settle ends the noise and holds that the world comes to rest, as it should, and stays there. Now and then it holds afterwards that a good revision is
// promoted, and, whatever ails the primary, that a fix is.
func (w *World) settle() {
	w.calm()
	if !w.comesToRest() || w.handedBack {
		return
	}
	if w.dice.roll(diceSetting, 8) == 0 {
		w.encore(w.dice.roll(diceSetting, 3) == 0)
		return
	}
	if w.strategy.scaled {
		// They may have yet to see what the load is.
		w.Run(w.now+2*scalerRound, nil)
	}
	before := w.decisions
	if w.Run(w.now+rest, nil); len(w.violations) > 0 {
		return
	}
	if w.strategy.scaled {
		// They may act at this very moment.
		w.Run(w.now+scalerRound/3, func() bool { return w.unsettled() == "" })
	}
	switch why := w.unsettled(); {
	case why != "":
		w.violate(promiseChanges, "it had come to rest, but now %s", why)
	case w.decisions-before > restless:
		w.violate(promiseLivelock, "%d decisions while nothing happens", w.decisions-before)
	}
}

func (w *World) comesToRest() bool {
	if w.Run(w.now+settling, func() bool { return w.unsettled() == "" }); len(w.violations) > 0 {
		return false
	}
	if why := w.unsettled(); why != "" {
		w.violate(promiseChanges, "%s after the noise has stopped: %s", settling, why)
		return false
	}
	return true
}

// encore is one more change, a good one; ailing has the primary fail before, for good.
func (w *World) encore(ailing bool) {
	if w.stuckBeforeFirst() {
		return
	}
	promoted := w.snapshots.real.promoted.template
	if ailing {
		w.fail(promoted)
		w.Run(w.now+w.slow(diceSetting, 2, time.Minute), nil)
	}
	next := int8(0)
	for next == promoted || next == w.live().template {
		next++
	}
	w.push(next)
	if w.comesToRest() && w.snapshots.real.promoted != w.live() {
		p := promiseChanges
		if ailing {
			p = promiseHealthy
		}
		w.violate(p, "%s is good, but it was not promoted: %s", w.live().digest(), w.reported().Message)
	}
}

// calm ends everything that is wrong. What nobody can mend by waiting is mended by a user, as the Canary asks for.
func (w *World) calm() {
	w.say("the noise stops")
	w.quiet, w.faults, w.killIn, w.hurtAt = true, faults{}, -1, w.now
	w.awayUntil = w.now
	if w.acceptAt != never {
		w.acceptAt = min(w.acceptAt, w.now+acceptTime)
	}
	if w.route.real.problem {
		w.acceptAt = w.now + acceptTime
	}
	if w.alive() {
		w.restart()
	}
	w.heal()
	if w.verbs > 0 {
		w.setVerb("resume")
	}
	if w.canary.real.spec.Suspend {
		w.editSpec(func(s *v1beta1.CanarySpec) { s.Suspend = false })
	}
	if !w.target.real.exists {
		w.recreateTarget()
	}
	if s := w.snapshots.real; !s.hasPromoted && w.status().PromotedRevision != "" {
		// It says: set the target back to that revision.
		r, _ := parse(w.status().PromotedRevision)
		w.say("user: sets the target back to %s", r.digest())
		w.push(r.template)
		w.landings = w.landings[:0]
		w.land(landing{content: r.config, fenced: -1, seen: true})
	}
	w.awake = true
}

// reported is what people are told of the state.
func (w *World) reported() v1beta1.Condition {
	if c := w.status().Condition(v1beta1.ConditionReady); c != nil {
		return *c
	}
	return v1beta1.Condition{}
}

// unsettled says what is not as it is to be at rest; "" when all is.
func (w *World) unsettled() string {
	switch c := &w.canary.real; {
	case c.deleted && c.gone:
		return ""
	case c.deleted:
		return fmt.Sprintf("the Canary is not gone, its phase is %s", c.status.Phase)
	case len(w.landings) > 0:
		return "a change is about to land"
	case w.stuckBeforeFirst():
		return ""
	}
	if w.restsAtHome() {
		for _, part := range []func() string{w.unsettledStatus, w.unsettledHome, w.unexplained} {
			if why := part(); why != "" {
				return why
			}
		}
		return ""
	}
	for _, part := range []func() string{
		w.unsettledStatus, w.unsettledPrimary, w.unsettledServices, w.unsettledTarget, w.unsettledRoute, w.unexplained,
	} {
		if why := part(); why != "" {
			return why
		}
	}
	return ""
}

// stuckBeforeFirst tells of an application that never was healthy since Sluice came: users are where they were, and it is said what is awaited.
func (w *World) stuckBeforeFirst() bool {
	if w.strategy.ephemeral && w.services.real.side == sideTarget {
		return w.initialising() && w.live().template == brokenTemplate && !w.target.real.held && w.reported().Reason == "TargetNotReady"
	}
	broken := w.live().template == brokenTemplate && w.primary.real.spec.template == brokenTemplate
	untouched := w.untouched()
	return w.status().Phase == v1beta1.PhaseInitializing && broken && untouched && w.reported().Reason == "PrimaryNotReady"
}

// untouched tells whether users are on a target that nobody holds.
func (w *World) untouched() bool {
	return (w.services.real.side == sideTarget || w.strategy.service) && !w.target.real.held
}

func (w *World) unsettledStatus() string {
	st := w.status()
	if ro := st.Rollout; ro != nil {
		return fmt.Sprintf("a rollout of %s is in %s: %s", ro.Revision, ro.Stage, w.reported().Message)
	}
	switch st.Phase {
	case v1beta1.PhaseInitialized, v1beta1.PhaseSucceeded, v1beta1.PhaseFailed:
		return ""
	}
	return fmt.Sprintf("the phase is %s: %s", st.Phase, w.reported().Message)
}

func (w *World) unsettledPrimary() string {
	st, p, marked := w.status(), &w.primary, w.snapshots.real
	ready := p.ready(w.now, nil)
	switch {
	case !marked.hasPromoted || !p.real.exists || p.real.spec != marked.promoted:
		return fmt.Sprintf("the primary runs %s, promoted is %s", p.real.spec.digest(), marked.promoted.digest())
	case st.PromotedRevision != marked.promoted.digest():
		return fmt.Sprintf("status says that %s is promoted, marked is %s", st.PromotedRevision, marked.promoted.digest())
	case p.real.replicas == 0 || ready < p.real.replicas || len(p.pods) > int(p.real.replicas) && !w.strategy.scaled && !w.strategy.service:
		return fmt.Sprintf("%d of %d pods of the primary are ready", ready, p.real.replicas)
	}
	return ""
}

func (w *World) unsettledServices() string {
	if w.strategy.service {
		return w.unsettledCopies()
	}
	if s := w.services.real; !s.primary || !s.canary || !s.apex || s.side != sidePrimary || s.pin != unpinned {
		return fmt.Sprintf("the Services are %+v", s)
	}
	return ""
}

func (w *World) unsettledTarget() string {
	switch t := w.target.real; {
	case t.held:
		return "the target is held"
	case t.replicas != 0 && !w.idleReplicas:
		return fmt.Sprintf("the target has %d replicas", t.replicas)
	}
	return ""
}

func (w *World) unsettledRoute() string {
	r := w.route.real
	if !w.strategy.weighted {
		return ""
	}
	if s := r.split; !r.exists || !r.accepted || r.fence != nil || s.Canary+s.Mirror > 0 || s.Matched || s.Cookie != "" || s.viaApex || len(w.splits) != 1 {
		return fmt.Sprintf("the route is %+v", r)
	}
	return ""
}

// unexplained says what has become of the last change, if that is nothing that may have become of it.
func (w *World) unexplained() string {
	st, live := w.status(), w.live()
	ready := w.reported()
	switch live.digest() {
	case st.PromotedRevision:
		if w.trusted&live.bit() == 0 {
			return fmt.Sprintf("%s is promoted, nobody has analysed it", live.digest())
		}
		if ready.Status != "True" {
			return fmt.Sprintf("all is well, but Ready says %s: %s", ready.Reason, ready.Message)
		}
		return ""
	case st.FailedRevision:
		if st.Phase != v1beta1.PhaseFailed || ready.Reason != "RolloutFailed" && ready.Reason != "Restored" {
			return fmt.Sprintf("%s has failed, but the phase is %s, and Ready says %s", live.digest(), st.Phase, ready.Reason)
		}
		return ""
	}
	return fmt.Sprintf("the target is %s, promoted is %s, failed %q", live.digest(), st.PromotedRevision, st.FailedRevision)
}
