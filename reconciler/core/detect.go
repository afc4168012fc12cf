package core

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// detect owns the situation between rollouts: the last good revision serves, and a change of the target starts a rollout.
func detect(d *decision) bool {
	d.serve()
	d.plan.Finalizer, d.plan.TrackTarget = true, true
	d.st.PromotedRevision, d.st.LastPromotedSpec = d.in.Promoted.Digest, d.in.Promoted.Digest
	live := d.in.Live
	if live == nil {
		d.wait("RevisionUnreadable", "%s; nothing is concluded from that", d.unreadable())
		return true
	}
	d.observeLive()
	if d.detectHome() {
		return true
	}
	switch live.Digest {
	case d.in.Promoted.Digest:
		d.st.FailedRevision = ""
		d.releaseIdle()
		d.retain()
		d.idle()
	case d.st.FailedRevision:
		d.retain()
		if !d.home() {
			d.releaseIdle()
		}
		if why := d.restoredInstead(); why != "" {
			d.wait("Restored", "revision %s is not rolled out: %s", live.Digest, why)
			break
		}
		d.wait("RolloutFailed", "revision %s failed and waits for a fix: %s%s", live.Digest, d.failure(), d.leftOnTarget())
	default:
		d.begin(live)
	}
	return true
}

// unreadable says why the live revision is not known.
func (d *decision) unreadable() string {
	text := "the target's template or a config it references cannot be read"
	if missing := d.in.AwaitedConfigs; len(missing) > 0 {
		text += ": the target references " + strings.Join(missing, ", ") + ", which does not exist"
	}
	return text
}

// releaseIdle takes off a hold that no rollout needs any more.
func (d *decision) releaseIdle() {
	if d.in.Target.Held {
		d.plan.Target = &TargetIntent{Release: true}
	}
}

// idle is the ready state between rollouts, unless what serves has yet to follow.
func (d *decision) idle() {
	switch {
	case d.home():
		d.idleAtHome()
		return
	case !d.primaryServes(d.in.Promoted.Digest) && !d.rests():
		d.wait("PrimaryNotReady", "waiting for the primary: %s", d.primaryReadiness())
	case d.in.Traffic.Weighted && !d.routeShows():
		d.reportRoute()
	default:
		d.idleReady("the primary")
	}
	d.ready.Message += d.leftOnTarget()
}

// leftOnTarget says what people meet on a target between rollouts that they would not expect there; "" when nothing is unusual.
func (d *decision) leftOnTarget() string {
	switch t := d.in.Target; {
	case d.home() && t.Held:
		return "; the target is held meanwhile, so kubectl's rollout verbs refuse it: apply a fix or the version before, or retry it"
	case !d.home() && t.Replicas > 0:
		return fmt.Sprintf("; %d replicas were set on the idle target, they serve nobody", t.Replicas)
	}
	return ""
}

// idleReady tells that all is well.
func (d *decision) idleReady(side string) {
	if d.st.Phase == v1beta1.PhaseFailed {
		// The target was taken back to the promoted revision after a failure: all is well, though the last rollout was not.
		d.setReady(metav1.ConditionTrue, "Reverted", "the target is back at the promoted revision "+d.in.Promoted.Digest)
		return
	}
	d.setReady(metav1.ConditionTrue, string(d.st.Phase), side+" serves revision "+d.in.Promoted.Digest)
}

// rolloutID names a rollout that begins now; no two of a Canary have the same.
func rolloutID(what string, now time.Time) string {
	return what + "-" + strconv.FormatInt(now.UnixMilli(), 36)
}

// begin starts a rollout of the live revision.
func (d *decision) begin(live *Revision) {
	replicas := d.in.Target.Replicas
	afresh := !maps.Equal(live.Configs, d.in.Canary.Status.TrackedConfigs)
	var standing *v1beta1.FencedStatus
	overtaken := ""
	if old := d.ro(); old != nil {
		standing, overtaken = old.Fenced, old.Revision
		afresh = afresh || old.Afresh
		if replicas == 0 {
			// The change that this one overtakes was fenced off, and the target with it.
			replicas = old.Replicas
		}
	}
	skipped := d.skipOf(d.ro())
	d.st.Rollout = &v1beta1.RolloutStatus{
		SkippedBy: skipped,
		Replicas:  replicas,
		Fenced:    standing,
		// What an ephemeral primary's target references does not change, and its pods may have users.
		Afresh:     afresh && !d.home() && !d.ephemeral() && !d.departing(),
		ID:         rolloutID(live.Digest, d.in.Now),
		Revision:   live.Digest,
		Stage:      v1beta1.StageSettling,
		StageSince: d.now(),
		Reason:     "new revision detected",
	}
	d.st.FailedChecks, d.st.Iterations, d.st.FailedRevision, d.st.Checks = 0, 0, "", nil
	if r := d.st.Restore; r != nil && r.Begun {
		d.st.Restore = nil
	}
	d.st.AnalysedRevision = live.Digest
	d.setPhase(v1beta1.PhaseProgressing)
	d.tellChanges(live, overtaken)
	for _, p := range d.in.Problems {
		// What does not keep the rollout from starting may be why it ends badly.
		d.warn(p.Reason, "%s", p.Message)
	}
	d.wait("Settling", "revision %s was detected; waiting for further changes of the same apply", live.Digest)
	// The snapshot is taken at once: from here on the change can be told from any later one.
	d.plan.Store = !d.in.Stored[live.Digest]
	d.again(settleTime)
}

// skipOf is who has the analysis of a rollout that begins skipped; empty when nobody does. Objects of one apply that overtake each other are one change.
func (d *decision) skipOf(overtaken *v1beta1.RolloutStatus) string {
	by := d.takeSkip()
	if by == "" && overtaken != nil && overtaken.Stage == v1beta1.StageSettling && overtaken.PromotedBy == "" {
		by = overtaken.SkippedBy
	}
	return by
}

// takeSkip is who has asked for the next rollout to be promoted without an analysis, which holds once; empty when nobody has.
func (d *decision) takeSkip() string {
	by := d.st.SkipNextBy
	d.st.SkipNextBy = ""
	return by
}

// primaryReadiness and canaryReadiness say in words what a side lacks.
func (d *decision) primaryReadiness() string {
	if p := d.in.Primary; d.podless() && p.Exists {
		if d.unlisted() {
			return "it does not lead there yet: " + d.canaryReadiness()
		}
		return endpoints(d.in.Canary.PrimaryName(), d.in.Services.PrimaryReady, p.Total > p.Updated)
	}
	text := readiness(d.in.Primary, d.in.Services.PrimaryReady)
	if p := d.in.Primary; len(d.in.RotatedConfigs) > 0 && p.Exists && !p.RolledOut(100) {
		text += fmt.Sprintf("; its pods are made anew for each content of %s, which nobody analyses: if they do not start, correct it there",
			strings.Join(d.in.RotatedConfigs, ", "))
	}
	return text
}

func (d *decision) canaryReadiness() string {
	if s := d.in.Services; d.podless() {
		_, _, canary := d.in.Canary.ServiceNames()
		return endpoints(canary, s.CanaryReady+s.CanaryOther, s.CanaryOther > 0)
	}
	text := readiness(d.in.Target, d.in.Services.CanaryReady)
	if t := d.in.Target; t.Paused && t.Total > t.Updated {
		text += "; it is paused by its owner: kubectl rollout resume"
	}
	return text
}

func readiness(w Workload, endpoints int32) string {
	if !w.Exists {
		return "it is being created"
	}
	parts := []string{fmt.Sprintf("%d of %d pods updated, %d available, %d behind the Service", w.Updated, w.Replicas, w.Available, endpoints)}
	if old := w.Total - w.Updated; old > 0 {
		parts = append(parts, fmt.Sprintf("%d old ones left", old))
	}
	if !w.Current {
		parts = append(parts, "its controller has not seen the latest change")
	}
	return strings.Join(parts, ", ")
}

// failure is the first line of why the last rollout failed, from the checks that status keeps.
func (d *decision) failure() string {
	for _, c := range d.st.Checks {
		if c.Verdict != v1beta1.VerdictPass {
			return c.Message
		}
	}
	return "see the events of the Canary"
}
