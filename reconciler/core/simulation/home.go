package simulation

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// This file models and holds what is particular to an ephemeral primary: users are on the target between rollouts, which is guarded, and turn from one side
// to the other by the apex Service.

// ephemeral is the part of a Canary's spec that asks for one. It is kept for long enough to be met as a way back.
func ephemeral() *v1beta1.PrimarySpec {
	return &v1beta1.PrimarySpec{Lifecycle: v1beta1.LifecycleEphemeral, Retain: "15s"}
}

// isEphemeral tells whether the Canary asks for one now.
func (w *World) isEphemeral() bool {
	p := w.canary.real.spec.Primary
	return p != nil && p.Lifecycle == v1beta1.LifecycleEphemeral
}

// serving is the workload that users reach unless they are sent to the canary.
func (w *World) serving() *workload {
	if w.strategy.ephemeral && w.services.real.side == sideTarget {
		return &w.target
	}
	return &w.primary
}

// refused tells whether admission is away and a change of the target is denied for that.
func (w *World) refused() bool {
	if !w.target.real.guarded || w.webhook() {
		return false
	}
	w.say("API server: denies the change, for admission is away and the target is guarded")
	return true
}

// switchLifecycle is a user's change of how the primary lives.
func switchLifecycle(w *World, a, _ int) {
	w.editSpec(func(s *v1beta1.CanarySpec) {
		if s.Primary = nil; a%3 != 0 {
			s.Primary = ephemeral()
		}
	})
}

// carryTracking labels the target.
func (w *World) carryTracking(_ *core.Observed, p *core.Plan) {
	if d := w.target.seen; p.TrackTarget && d.exists && d.guarded != p.Guard {
		d.guarded = p.Guard
		write(w, &w.target.object, d)
	}
}

// turnedHome holds that users are taken to what was analysed, and that its pods are enough for them.
func (w *World) turnedHome() {
	if !w.strategy.ephemeral || w.canary.real.deleted || w.initialising() {
		return
	}
	w.say("apex Service: to the target")
	r := revision{w.target.running.template, w.config.real}
	w.holdAnalysed(r, "users turn to the target's pods of "+r.digest())
	w.holdRoomAtHome()
}

// holdRoomAtHome: an autoscaled target has the pods for the users that turn to it, unless they were there already, or autoscalers have had no time.
func (w *World) holdRoomAtHome() {
	if !w.strategy.scaled || w.scalersBehind() || w.now-(w.roundAt-scalerRound) < 2*time.Second {
		return
	}
	if len(w.splits) > 0 && w.newest().Canary == 100 {
		return
	}
	if have := w.target.real.replicas; have < w.users {
		w.violate(promiseTraffic, "users turn to the target with %d pods, they need %d", have, w.users)
	}
}

// found counts the ready pods of a side that users find who are not sent to the canary.
func (w *World) found(side *workload) int8 {
	if pin := w.services.real.apexPin; side.kind == kindTarget && pin != unpinned {
		return side.ready(w.now, &revision{template: pin})
	}
	return side.ready(w.now, nil)
}

// turnedAway holds that the primary is as large as what users leave.
func (w *World) turnedAway() {
	if !w.strategy.ephemeral {
		return
	}
	if w.strategy.scaled && w.target.real.replicas < w.users {
		// They bring no more pods along than autoscalers had given them.
		w.loadAt = w.now
	}
	if w.canary.real.deleted || w.hurtLately() || w.blinded {
		return
	}
	w.say("apex Service: to the primary")
	have, left := int(w.primary.ready(w.now, nil)), int(min(w.target.ready(w.now, nil), w.target.real.replicas))
	if have < left*w.canary.real.spec.Analysis.PrimaryReadyPercent()/100 {
		w.violate(promiseTraffic, "users turn to the primary with %d ready pods, the target has %d", have, left)
	}
}

// holdHome: users at home find a ready pod, and nothing but what served before or was analysed.
func (w *World) holdHome() {
	if !w.strategy.ephemeral || !w.services.real.apex || w.asAsked || w.initialising() {
		return
	}
	side := w.serving()
	if side.kind == kindTarget {
		if p := w.strangerAtHome(); p != nil {
			w.violate(promiseUsers, "users of the apex Service are served by %s, which nobody has analysed", p.content.digest())
			return
		}
	}
	if w.found(side) == 0 && !w.hurtLately() && (side.kind == kindPrimary || side.real.replicas > 0) {
		w.violate(promiseTraffic, "users of the apex Service find no ready pod")
	}
}

// strangerAtHome is a pod of the target that serves users at home with what nobody has analysed. One that is given back in a hurry may have some.
func (w *World) strangerAtHome() *pod {
	if w.status().Phase == v1beta1.PhaseTerminating && w.hurtLately() {
		return nil
	}
	if w.target.real.held && w.target.daemonSet && !w.target.fresh() {
		// It was changed and has lost pods at once, and the controller cannot have seen the change.
		return nil
	}
	pin := w.services.real.apexPin
	for i := range w.target.pods {
		p := &w.target.pods[i]
		if serves := p.readyAt <= w.now && (pin == unpinned || p.spec.template == pin); serves && w.stranger(p) {
			return p
		}
	}
	return nil
}

// stranger tells that nobody has analysed what a pod runs.
func (w *World) stranger(p *pod) bool {
	return !w.trustedTemplate(p.spec.template) && w.strays&(1<<p.spec.template) == 0
}

// judgeRelease: a target with users is not let go to what nobody has analysed.
func (w *World) judgeRelease(in *core.Observed, p *core.Plan) {
	if p.Target == nil || !p.Target.Release || in.Live == nil {
		return
	}
	r, _ := parse(in.Live.Digest)
	if w.initialising() {
		// It is not looked after yet, and must be able to change.
		w.trusted |= r.bit()
	}
	if w.keptAtHome(in) && w.trusted&r.bit() == 0 {
		w.violate(promiseUsers, "the hold on %s is released while users are on the target", in.Live.Digest)
	}
}

// keptAtHome tells whether a hold keeps users at home on what was promoted.
func (w *World) keptAtHome(in *core.Observed) bool {
	return w.strategy.ephemeral && in.Target.Held && in.Services.Apex == sideTarget && in.Promoted != nil && !in.Leaving
}

// judgeDesertion: users are turned to a primary without a ready pod only if nobody serves them where they are.
func (w *World) judgeDesertion(p *core.Plan) {
	if !slices.ContainsFunc(p.Events, func(e core.Event) bool { return e.Reason == "TargetUnhealthy" }) {
		return
	}
	if w.target.ready(w.now, nil) > 0 && !w.hurtLately() && w.target.fresh() && w.endpoints.fresh() {
		w.violate(promiseHealthy, "users turn to a primary without a ready pod, the target has some")
	}
	w.hurtAt = w.now
}

// marksTarget tells whether what is marked as promoted is what users at home are on, or were a moment ago.
func (w *World) marksTarget(in *core.Observed, r revision) bool {
	if in.Services.Apex != sideTarget || !in.Target.Exists || !w.strategy.ephemeral {
		return false
	}
	return w.target.running.template == r.template || w.trusted&r.bit() != 0
}

// moves tells of rollouts that move users only.
func moves(ro *v1beta1.RolloutStatus) bool {
	return strings.HasPrefix(ro.ID, "return-") || strings.HasPrefix(ro.ID, "turn-")
}

// unsettledHome says what is not as it is to be at rest under an ephemeral primary.
func (w *World) unsettledHome() string {
	st, marked := w.status(), w.snapshots.real
	switch {
	case !marked.hasPromoted || st.PromotedRevision != marked.promoted.digest():
		return "status says that " + st.PromotedRevision + " is promoted, marked is " + marked.promoted.digest()
	case w.services.real.side != sideTarget:
		return "users are on the primary"
	case w.primary.real.exists:
		return "the primary is still there"
	}
	return cmp.Or(w.unsettledTargetHome(), w.unsettledRouteHome())
}

func (w *World) unsettledTargetHome() string {
	t, promoted, pin := &w.target, w.snapshots.real.promoted, w.services.real.apexPin
	switch {
	case t.real.held != (w.live() != promoted):
		return "the hold on the target is not as it is to be"
	case int8(t.count(promoted.bare())) != t.real.replicas || t.ready(w.now, nil) != t.real.replicas:
		return "the target lacks ready pods of the promoted revision"
	case t.real.replicas == 0 && !w.idleReplicas:
		return "the target has no replicas"
	case pin != unpinned && !t.real.held || !t.real.guarded:
		return "the pin or the guard is not as it is to be"
	}
	return ""
}

func (w *World) unsettledRouteHome() string {
	if r := w.route.real; w.strategy.weighted && (!r.exists || !r.accepted || r.fence != nil || !r.split.viaApex || len(w.splits) != 1) {
		return "the route does not lead to the apex Service"
	}
	return ""
}

// restsAtHome tells whether an ephemeral primary is to be gone at rest: nothing has failed, or no primary could be made.
func (w *World) restsAtHome() bool {
	return w.isEphemeral() && (w.status().TargetServes || w.live().digest() == w.status().PromotedRevision)
}

// topUp is what becomes of a held DaemonSet: pods are not replaced, but each node without one gets one of the stored template.
func (w *World) topUp(wl *workload, want int) {
	for len(wl.pods) > want {
		w.drop(wl, func(*pod) bool { return true })
	}
	running := wl.running
	wl.running = wl.real.spec
	for len(wl.pods) < want {
		wl.made |= 1 << wl.real.spec.template
		wl.pods = append(wl.pods, w.newPod(wl))
		if w.status().ServingHash == "" {
			w.strays |= 1 << wl.real.spec.template
		}
	}
	wl.running = running
}

// replaceNode takes a node away, with the pods there, and another one joins.
func replaceNode(w *World, _, _ int) {
	if !w.target.daemonSet {
		return
	}
	w.say("cluster: a node is replaced by another one")
	w.hurtIf(true)
	for _, wl := range []*workload{&w.target, &w.primary} {
		if len(wl.pods) > 0 {
			wl.pods = wl.pods[1:]
		}
		w.hurt(wl, func(*pod) {})
	}
}
