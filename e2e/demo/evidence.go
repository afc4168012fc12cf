package demo

import (
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/harness"
	"github.com/sluice-dev/sluice/e2e/traffic"
)

// Times around a change of weight in which a request may go by either weight:
// after it the gateway takes the change up, before it the news of the change
// may have been late here.
const (
	settle = 1500 * time.Millisecond
	guard  = 300 * time.Millisecond
)

// evidence is all that was seen of one rollout.
type evidence struct {
	// version is rolled out over previous.
	version, previous string
	// bad tells that the version fails its users and must be rolled back.
	bad bool
	// deployed is when kubectl apply had returned, noticed when the Canary's
	// status showed it, ended when the rollout was over; zero if never.
	deployed, noticed, ended time.Time
	// phase that the rollout ended in.
	phase v1beta1.CanaryPhase
	// serving is the version of the primary after it.
	serving string
	// moments begin before the rollout.
	moments []harness.Moment
	// recording is what users saw, from before the rollout until after it.
	recording traffic.Recording
}

// window is a part of a rollout in which one thing is expected of the shares.
type window struct {
	name     string
	kind     kind
	from, to time.Time
	// weight by the route, 0 to 100.
	weight int
}

// kind says what is expected in a window.
type kind int

const (
	// before: the new version serves nobody.
	before kind = iota
	// step: it serves the weight's share.
	step
	// promoting: the primary changes from the old version to the new one, so
	// both serve in no known proportion.
	promoting
	// after: the primary serves everybody.
	after
)

// expected is the new version's share in per cent, and whether there is one.
func (e evidence) expected(w window) (weight int, known bool) {
	switch {
	case w.kind == promoting:
		return 0, false
	case w.kind == after && e.bad, w.kind == before:
		return 0, true
	case w.kind == after:
		return 100, true
	}
	return w.weight, true
}

// windows cuts the rollout where the route's weight or the meaning of the
// shares changed, and leaves out the times of the change itself.
func (e evidence) windows() []window {
	var out []window
	for _, m := range e.moments {
		next := e.windowOf(m, len(out) > 0 && out[len(out)-1].kind != before)
		if len(out) == 0 {
			next.from = time.Time{} // all that was asked before is before, too
			out = append(out, next)
			continue
		}
		last := &out[len(out)-1]
		if last.kind == next.kind && last.weight == next.weight {
			continue
		}
		last.to = m.At.Add(-guard)
		next.from = m.At.Add(settle)
		out = append(out, next)
	}
	return out
}

// windowOf tells what a moment belongs to. started means that the new version
// had its first step before.
func (e evidence) windowOf(m harness.Moment, started bool) window {
	weight := max(m.RouteWeight, 0)
	stage := m.Stage()
	switch {
	case weight == 0 && !started:
		return window{name: "before", kind: before}
	case weight == 0 && e.bad:
		return window{name: "rolled back", kind: after}
	case weight == 0:
		return window{name: "promoted", kind: after}
	case stage == v1beta1.StageAnalysing || stage == v1beta1.StageConfirmingPromotion || stage == v1beta1.StagePreparing || stage == v1beta1.StageScalingUp:
		return window{name: "step", kind: step, weight: weight}
	case e.bad:
		return window{name: "step", kind: step, weight: weight}
	}
	return window{name: "promoting", kind: promoting, weight: weight}
}
