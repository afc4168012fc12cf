package compare

import (
	"fmt"
	"math"
	"slices"
)

// MaxWindows is how many windows of each side Rank looks at, which bounds its cost.
const MaxWindows = 50

// Rank finds a canary worse that lies above (or below) its primary more consistently than chance would have it, and by enough to matter.
//
// After each window the Mann-Whitney test is made on all windows so far, against Alpha/Looks. By Boole's inequality the chance that any of at most
// Looks tests finds a difference where there is none is no more than Alpha, however the tests depend on each other (Bonferroni; as a schedule of
// alpha spending it is the uniform one of Lan and DeMets, Biometrika 70, 1983, made without regard to the correlation of looks, so it is valid and
// a little slow).
//
// The promise needs values that are exchangeable where both sides are alike. So give it one value per side and window, and no overlapping
// windows: points of a range query share most of their requests, and noise that lasts for longer than a window makes more false alarms. What
// moves both sides together, as the load of the day does, made fewer alarms of either kind in the simulations, not more.
type Rank struct {
	Direction Direction
	// Alpha is the accepted share of rollouts with a false alarm, above 0 and below 1.
	Alpha float64
	// Looks is how many windows the rollout has at most, 1 to MaxWindows; later ones are Unjudged.
	Looks int
	// MinEffect is the least chance that a value of the canary is worse than one of the primary, 0.5 to 1; see Test.Effect.
	MinEffect float64
}

// Judge compares all windows so far, one value of each side per window. Fewer windows than could ever show a difference, more than planned, values
// that are not finite, and a Rank with fields out of range are Unjudged.
func (r Rank) Judge(canary, primary []float64) Outcome {
	if problem := r.problem(canary, primary); problem != "" {
		return Outcome{Message: "compare: " + problem}
	}
	level := r.Alpha / float64(r.Looks)
	if need := r.Needed(); len(canary) < need {
		return Outcome{Message: fmt.Sprintf("compare: %d of at least %d windows that can show a difference", len(canary), need)}
	}
	if r.Direction == LowerIsWorse {
		canary, primary = negated(canary), negated(primary)
	}
	t := MannWhitney(canary, primary)
	what := fmt.Sprintf("compare: canary worse than primary with chance %s over %d windows, p %s", short(t.Effect), len(canary), short(t.P))
	switch {
	case t.P > level:
		return Outcome{NotWorse, fmt.Sprintf("%s, not below %s", what, short(level))}
	case t.Effect < r.MinEffect:
		return Outcome{NotWorse, fmt.Sprintf("%s, but the chance is below %s", what, exact(r.MinEffect))}
	}
	return Outcome{Worse, fmt.Sprintf("%s, below %s", what, short(level))}
}

// Needed returns how many windows it takes at least until the test can find anything: n windows a side have a smallest p of 1/C(2n,n).
func (r Rank) Needed() int {
	smallest := 1.0
	for n := 1; ; n++ {
		smallest *= float64(n) / float64(2*(2*n-1))
		if smallest <= r.Alpha/float64(r.Looks) {
			return n
		}
	}
}

func (r Rank) problem(canary, primary []float64) string {
	switch {
	case !(r.Alpha > 0 && r.Alpha < 1):
		return fmt.Sprintf("alpha %v is not between 0 and 1; use for example 0.05", r.Alpha)
	case r.Looks < 1 || r.Looks > MaxWindows:
		return fmt.Sprintf("looks %d is out of range; use 1 to %d", r.Looks, MaxWindows)
	case !(r.MinEffect >= 0.5 && r.MinEffect <= 1):
		return fmt.Sprintf("minEffect %v is not between 0.5 and 1; use for example 0.7", r.MinEffect)
	case len(canary) != len(primary):
		return fmt.Sprintf("canary has %d windows and primary %d; give one value of each per window", len(canary), len(primary))
	case len(canary) > r.Looks:
		return fmt.Sprintf("%d windows, but only %d looks were planned; plan as many as the rollout has", len(canary), r.Looks)
	}
	return notFinite(slices.Concat(canary, primary))
}

// notFinite says which value cannot be ranked; empty where all can.
func notFinite(values []float64) string {
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Sprintf("one window has the value %v; leave out windows without requests", v)
		}
	}
	return ""
}

func negated(values []float64) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = -v
	}
	return out
}
