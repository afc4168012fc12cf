package simulation

import (
	"fmt"
	"slices"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// evidence is what the model itself has seen of the rollout under way.
type evidence struct {
	id  string
	rev revision
	// served tells that users have met it, passed are the weights at which a round of checks was good, in order.
	served bool
	passed []stop
	// failed counts rounds that were not, edited tells that somebody changed the analysis meanwhile, skipped that it was switched off.
	failed          int
	edited, skipped bool
	// inPrimary tells that it is analysed in the primary, rescued that it was begun so.
	inPrimary, rescued bool
	// before are what was analysed in the primary before it, until a moment before it began, as bits.
	before uint32
	// since is when it was begun.
	since moment
	// fencing tells that its users are being taken off the canary.
	fencing bool
	// spec is what the rollout began with, last and lastKey are the bad and the good round that were counted last.
	spec    *v1beta1.CanarySpec
	last    int32
	lastKey string
	// lastBefore is the bad round before the last one, as long as the last one is only known to a controller that has yet to store it; else the same.
	lastBefore int32
}

// statusStored looks what the controller has just stored as its intent.
func (w *World) statusStored() {
	st := w.status()
	w.noteFailure(st)
	w.noteVerb(st)
	ro := st.Rollout
	if ro == nil || ro.Stage == v1beta1.StageLeaving || moves(ro) {
		return
	}
	w.everRescued = w.everRescued || ro.InPrimary
	if ro.ID == w.evidence.id {
		w.evidence.goOn(ro)
		w.evidence.skipped = w.evidence.skipped || w.skips(ro)
		return
	}
	if ro.RestoredBy == "" {
		w.holdBeginning(ro.Revision)
	} else {
		w.holdRestoring(ro)
	}
	w.evidence = w.begin(ro)
	w.evidence.skipped = w.evidence.skipped || w.skips(ro)
}

// noteFailure notes which revision has failed, and after how many changes.
func (w *World) noteFailure(st *v1beta1.CanaryStatus) {
	if st.Phase != v1beta1.PhaseFailed || st.FailedRevision == "" {
		return
	}
	if r, _ := parse(st.FailedRevision); !w.failedBefore || w.failed != r {
		w.failed, w.failedAfter, w.failedBefore = r, w.changes, true
	}
}

// holdBeginning holds that a rollout begins for a change only.
func (w *World) holdBeginning(digest string) {
	r, ok := parse(digest)
	promoted := w.snapshots.real
	switch {
	case !ok || w.seenLive&r.bit() == 0 && w.target.fresh() && w.config.fresh():
		w.violate(promiseChanges, "a rollout of %s starts, which the target never was", digest)
	case promoted.hasPromoted && promoted.promoted == r:
		w.violate(promiseChanges, "a rollout of %s starts, which is promoted", digest)
	case w.failedBefore && w.failed == r && w.failedAfter == w.changes:
		w.violate(promiseChanges, "a rollout of %s starts, which has failed, and nothing was changed since", digest)
	}
}

// begin is the evidence of a rollout that begins.
func (w *World) begin(ro *v1beta1.RolloutStatus) evidence {
	old, spec := &w.evidence, w.canary.real.spec
	r, _ := parse(ro.Revision)
	e := evidence{
		id: ro.ID, rev: r, since: w.now, spec: spec, passed: old.passed[:0], skipped: spec.SkipAnalysis, inPrimary: ro.InPrimary, rescued: ro.InPrimary,
	}
	if old.rescued {
		e.before = old.rev.bit()
		if w.now-old.since <= reaction {
			e.before |= old.before
		}
	}
	return e
}

// goOn follows a rollout that is under way.
func (e *evidence) goOn(ro *v1beta1.RolloutStatus) {
	if e.fencing && ro.Stage != v1beta1.StageFencing {
		// It starts at its first step again.
		e.passed = e.passed[:0]
		// Called off, it only loses the users that it has.
		e.served = e.served && ro.Stage == v1beta1.StageRollingBack
	}
	e.fencing = ro.Stage == v1beta1.StageFencing
	e.inPrimary = ro.InPrimary
}

// specChanged notes an edit of the Canary.
func (w *World) specChanged(spec *v1beta1.CanarySpec) {
	w.evidence.edited = true
	w.evidence.skipped = w.evidence.skipped || spec.SkipAnalysis
}

// round is a round of checks and what has come of it.
type round struct {
	// key is that of its last metric, whole tells that it asks for all of them.
	key   string
	whole bool
	// good tells that every check has passed.
	good bool
}

// collect notes a round of checks whose answers a plan was decided on.
func (w *World) collect(in *core.Observed, p *core.Plan) {
	ro := in.Canary.Status.Rollout
	if ro == nil || ro.Stage != v1beta1.StageAnalysing && ro.Stage != v1beta1.StageRescuing || ro.ID != w.evidence.id {
		return
	}
	if w.strategy.weighted && !in.Route.Accepted {
		// Nobody knows whom the checks are about.
		return
	}
	w.evidence.lastBefore = w.evidence.last
	if r, answered := roundOf(in, p); answered {
		w.evidence.count(in, r)
	}
}

// forget takes a bad round back that the controller has not lived to store, or not been able to: it is asked once more, and may be good then.
func (e *evidence) forget() {
	if e.last != e.lastBefore {
		e.last = e.lastBefore
		e.failed--
	}
}

// roundOf is the round that a plan asks for, as far as its checks decide on weights; false as long as one of them is unanswered.
func roundOf(in *core.Observed, p *core.Plan) (round, bool) {
	metrics, r := 0, round{good: true}
	for i := range p.Checks {
		c := &p.Checks[i]
		switch {
		case c.Kind == v1beta1.CheckMetric:
			metrics++
			r.key = c.Key
		case in.Canary.Spec.Analysis.Webhooks[c.Index].EffectiveType() != v1beta1.HookRollout:
			continue
		}
		a, answered := in.Answers[c.Key]
		if !answered {
			return round{}, false
		}
		r.good = r.good && a.Verdict == v1beta1.VerdictPass
	}
	r.whole = metrics == len(in.Canary.Spec.Analysis.Metrics)
	return r, true
}

// count counts a round of checks once. Hooks that fail end a round before its metrics are asked.
func (e *evidence) count(in *core.Observed, r round) {
	switch {
	case !r.good && in.Canary.Status.Rollout.Attempt != e.last:
		e.last = in.Canary.Status.Rollout.Attempt
		e.failed++
	case r.good && r.whole && r.key != e.lastKey && (in.Route.Fence == nil || e.inPrimary):
		e.lastKey = r.key
		share := in.Route.Canary
		if e.inPrimary {
			share = in.Route.Primary
		}
		e.passed = append(e.passed, stop{share, in.Route.Matched, in.Route.Mirror})
	}
}

// incomplete says what is missing of an analysis of r; "" when it is whole.
func (w *World) incomplete(r revision) string {
	e := &w.evidence
	switch {
	case e.id == "" || e.rev != r:
		return fmt.Sprintf("%s is analysed", e.rev.digest())
	case e.skipped:
		return ""
	case e.edited:
		if len(e.passed) == 0 {
			return "no round of checks was good"
		}
		return ""
	case e.failed >= e.spec.Analysis.FailureThreshold():
		return fmt.Sprintf("%d rounds of checks have failed", e.failed)
	}
	if want := w.stops(); !inOrder(e.passed, want) {
		return fmt.Sprintf("checks were good at %+v, they are asked for at %+v", e.passed, want)
	}
	return ""
}

// inOrder tells whether all the wanted stops are among those passed, in their order.
func inOrder(passed, wanted []stop) bool {
	for _, s := range passed {
		if len(wanted) > 0 && s == wanted[0] {
			wanted = wanted[1:]
		}
	}
	return len(wanted) == 0
}

// stops are those of the analysis under way, on the side where it takes place.
func (w *World) stops() []stop {
	stops := w.strategy.rounds(&w.evidence.spec.Analysis)
	if w.evidence.inPrimary {
		return swapped(stops)
	}
	return stops
}

// swapped are the stops of an analysis in the primary: there are no copies, and those who match cannot be told.
func swapped(stops []stop) []stop {
	out := make([]stop, 0, len(stops))
	for _, s := range stops {
		if s.matched {
			s.weight = 0
		}
		out = append(out, stop{weight: s.weight})
	}
	return out
}

// servedFirst holds that the first users of a rollout come at the weight of its first step that has users.
func (w *World) servedFirst(s *split) {
	e := &w.evidence
	if e.served {
		return
	}
	e.served = true
	if e.edited || e.skipped || e.rescued && w.hurtLately() {
		// In a rescue users go where there is anybody to serve them.
		return
	}
	stops := w.stops()
	i := slices.IndexFunc(stops, func(at stop) bool { return at.weight > 0 })
	if i < 0 {
		return
	}
	// Behind a fence it may be less: what the primary cannot take.
	if first := stops[i]; s.Canary > first.weight || first.matched && !s.Matched {
		w.violate(promiseUsers, "%s gets its first users by %s, its analysis begins at %+v", e.rev.digest(), s, first)
	}
}
