package simulation

import (
	"slices"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// This file holds plans against what they were decided on.

// judgePlan holds a plan against what it was decided on.
func (w *World) judgePlan(in *core.Observed, p *core.Plan) {
	w.collect(in, p)
	w.judgeRoute(in, p)
	w.judgeTarget(in, p)
	w.judgeRelease(in, p)
	w.judgeDesertion(p)
	w.judgeMarks(in, p)
	w.judgeSuspension(in, p)
}

// judgeSuspension: nothing starts and nothing advances.
func (w *World) judgeSuspension(in *core.Observed, p *core.Plan) {
	if !in.Canary.Spec.Suspend || in.Leaving {
		return
	}
	if from, to := stageOf(&in.Canary.Status), stageOf(&p.Status); from != to {
		switch to {
		case v1beta1.StagePromoting, v1beta1.StageFinalising:
			if p.Status.Rollout.RestoredBy != "" {
				// An operator's way back is not held up.
				break
			}
			w.violate(promiseChanges, "a suspended rollout goes on from %s to %s", orNone(from), to)
		case "", v1beta1.StageFencing, v1beta1.StageRollingBack, v1beta1.StageSettling:
		default:
			w.violate(promiseChanges, "a suspended rollout goes on from %s to %s", orNone(from), to)
		}
	}
	if ro := p.Status.Rollout; p.Status.CanaryWeight > in.Canary.Status.CanaryWeight && (ro == nil || ro.Shelter == 0) {
		w.violate(promiseChanges, "the canary of a suspended rollout gets weight %d in place of %d", p.Status.CanaryWeight, in.Canary.Status.CanaryWeight)
	}
}

// judgeRoute: weights sum to 100, and capacity comes before traffic, as observed.
func (w *World) judgeRoute(in *core.Observed, p *core.Plan) {
	if p.Route == nil {
		return
	}
	w.judgeSplit(p.Route)
	if !in.Route.Exists || in.Route.ViaApex || p.Route.ViaApex {
		return
	}
	w.judgeCanaryShare(in, p.Route)
	if !w.mayOverload(in, p) {
		w.judgePrimaryShare(in, p.Route)
	}
}

// judgeSplit: the shares add up, and nobody is picked for a canary that gets nobody.
func (w *World) judgeSplit(r *core.RouteIntent) {
	if r.Primary+r.Canary != 100 || r.Primary < 0 || r.Canary < 0 {
		w.violate(promiseTraffic, "weights %d and %d do not sum to 100", r.Primary, r.Canary)
	}
	if r.Canary == 0 && r.Cookie != "" || r.Matched && r.Canary+r.Mirror == 0 || r.Mirror < 0 || r.Mirror > 100 {
		w.violate(promiseTraffic, "the split makes no sense: %s", split{Split: r.Split})
	}
}

// judgeCanaryShare: more users come to a canary only if it is pinned, and ready unless the primary is not ready either.
func (w *World) judgeCanaryShare(in *core.Observed, r *core.RouteIntent) {
	ready := in.Services.CanaryReady
	if in.Leaving {
		// Whoever leaves analyses nothing: its pods are those that the Service is pinned to.
		ready += in.Services.CanaryOther
	}
	if r.Canary > in.Route.Canary && (ready == 0 && in.Services.PrimaryReady > 0 || in.Services.PinnedHash == "") {
		w.violate(promiseTraffic, "the canary gets weight %d in place of %d with %d ready pods, pinned to %q", r.Canary, in.Route.Canary,
			ready, in.Services.PinnedHash)
	}
}

// judgePrimaryShare: more users come to a primary only as far as its ready pods go, all of them if as many are ready as the Canary asks for.
func (w *World) judgePrimaryShare(in *core.Observed, r *core.RouteIntent) {
	wanted := max(in.Primary.Replicas, 1)
	capacity := int(min(in.Services.PrimaryReady, wanted)) * 100 / int(wanted)
	enough := capacity
	if int(in.Services.PrimaryReady) >= max(1, int(wanted)*in.Canary.Spec.Analysis.PrimaryReadyPercent()/100) {
		enough = 100
	}
	if r.Primary > in.Route.Primary && r.Primary > enough && in.Route.Canary <= int(in.Canary.Status.CanaryWeight) {
		w.violate(promiseTraffic, "the primary gets weight %d in place of %d with capacity for %d", r.Primary, in.Route.Primary, capacity)
	}
}

// mayOverload tells of what goes before the capacity of the primary: nobody else serves, or a newer revision waits and nobody else has served well for
// long, or the shares before were of other users.
func (w *World) mayOverload(in *core.Observed, p *core.Plan) bool {
	sheltered := p.Status.Rollout != nil && p.Status.Rollout.Shelter > 0
	gaveUp := slices.ContainsFunc(p.Events, func(e core.Event) bool {
		return e.Reason == "PrimaryUnhealthy" || e.Reason == "CapacityShort" && !sheltered
	})
	return !in.Target.Exists || in.Services.CanaryReady == 0 || gaveUp ||
		in.Route.Matched && !p.Route.Matched && (p.Route.Canary > 0 || len(in.Canary.Spec.Analysis.Match) == 0)
}

// judgeTarget: traffic leaves before pods do, and the only healthy copy stays.
func (w *World) judgeTarget(in *core.Observed, p *core.Plan) {
	if !empties(in, p) {
		return
	}
	if in.Route.Exists && in.Route.Canary > 0 && !in.Route.ViaApex {
		w.violate(promiseTraffic, "the target goes to zero while the route says %d", in.Route.Canary)
	}
	if i := slices.IndexFunc(w.splits, split.sends); i >= 0 {
		w.violate(promiseTraffic, "the target goes to zero while requests still arrive at weight %d", w.splits[i].Canary)
		return
	}
	if in.Services.Apex == sideTarget {
		w.violate(promiseHealthy, "the target goes to zero while users are on it")
	}
	if in.Promoted == nil && in.Services.PrimaryReady == 0 && in.Target.Available > 0 {
		w.violate(promiseHealthy, "the target goes to zero and the primary has no ready pod")
	}
}

// empties tells whether a plan takes all pods of a target away.
func empties(in *core.Observed, p *core.Plan) bool {
	return p.Target != nil && p.Target.Replicas != nil && *p.Target.Replicas <= 0 && in.Target.Replicas != 0
}

// judgeMarks: what is marked as promoted runs as primary.
func (w *World) judgeMarks(in *core.Observed, p *core.Plan) {
	if p.MarkPromoted == "" || wasPromoted(in, p.MarkPromoted) {
		return
	}
	r, _ := parse(p.MarkPromoted)
	if w.strategy.ephemeral && w.initialising() {
		// What served when Sluice came.
		w.trusted |= r.bit()
	}
	if w.hurtLately() && !in.Primary.Exists {
		// Somebody has just deleted it; it is made again from what is marked.
		return
	}
	if !w.marksTarget(in, r) && !w.marksPrimary(in, p.MarkPromoted) {
		w.violate(promiseAnalysed, "%s is marked as promoted, the primary runs %s with %d pods of it", p.MarkPromoted, in.Primary.Revision, in.Primary.Updated)
	}
	w.holdAnalysed(r, p.MarkPromoted+" is marked as promoted")
}

// marksPrimary tells whether what is marked as promoted is what the primary runs, with a pod of it unless somebody took those away.
func (w *World) marksPrimary(in *core.Observed, digest string) bool {
	return in.Primary.Revision == digest && (in.Primary.Updated != 0 || w.hurtLately())
}

// holdAnalysed holds that what becomes of a revision, said in a few words, comes after its analysis. From then on it is trusted.
func (w *World) holdAnalysed(r revision, becomes string) {
	if w.trusted&r.bit() != 0 {
		return
	}
	if problem := w.incomplete(r); problem != "" {
		w.violate(promiseAnalysed, "%s: %s", becomes, problem)
	}
	w.trusted |= r.bit()
}

// wasPromoted tells whether a revision is marked as promoted already, or was: its snapshot was lost and is stored again.
func wasPromoted(in *core.Observed, digest string) bool {
	return in.Promoted != nil && in.Promoted.Digest == digest || in.Canary.Status.PromotedRevision == digest
}

// primaryWritten: the primary is given the last good revision or one that was analysed.
func (w *World) primaryWritten(r revision, p *core.Plan) {
	if w.initialising() {
		w.trusted |= r.bit()
		return
	}
	if w.keepsPrimary(r) {
		return
	}
	if w.evidence.inPrimary && w.evidence.rev == r {
		// The sides have changed their parts: what is analysed is the primary, and users are elsewhere.
		for _, s := range w.splits {
			if s.others() {
				w.violate(promiseUsers, "the primary is given %s, which nobody has analysed, while users are there by %s", r.digest(), s)
			}
		}
		return
	}
	if problem := w.incomplete(r); problem != "" {
		w.violate(promiseAnalysed, "the primary is given %s in %s: %s", r.digest(), p.Rule, problem)
		return
	}
	w.trusted |= r.bit()
}

// keepsPrimary tells whether the primary runs r already, or is given it back as the last good one.
func (w *World) keepsPrimary(r revision) bool {
	if d := w.primary.seen; d.exists && d.spec == r {
		return true
	}
	s := w.snapshots.seen
	return s.hasPromoted && s.promoted == r && w.trusted&r.bit() != 0
}
