package compare

import (
	"fmt"
	"math"
	"strconv"
)

// Ratio accepts a canary whose value is at most Limit times as bad as the primary's.
type Ratio struct {
	Direction Direction
	// Limit is 1 or more. Where higher is worse canary/primary must not be above it, where lower is worse primary/canary.
	Limit float64
	// Floor is 0 or more: what is below counts as Floor, so that no tiny value makes a large ratio.
	Floor float64
	// MinSamples is how many requests each side must have had; 0 asks for none.
	MinSamples float64
}

// Side is what was measured of one side in a window.
type Side struct {
	// Value is 0 or more.
	Value float64
	// Samples is how many requests stand behind the value.
	Samples float64
}

// Judge compares one window. Two values of 0 are alike; where just the divisor is 0, and no floor lifts it, any other value is worse. Too few
// requests, negative values and those that are no finite numbers are Unjudged, and so is a Ratio with fields out of range.
func (r Ratio) Judge(canary, primary Side) Outcome {
	if problem := r.problem(canary, primary); problem != "" {
		return Outcome{Message: "compare: " + problem}
	}
	bad, good := max(canary.Value, r.Floor), max(primary.Value, r.Floor)
	name := "canary/primary"
	if r.Direction == LowerIsWorse {
		bad, good, name = good, bad, "primary/canary"
	}
	ratio := 1.0
	if bad != good {
		ratio = bad / good
	}
	what := fmt.Sprintf("compare: canary %s vs primary %s: ratio %s %s", short(canary.Value), short(primary.Value), name, short(ratio))
	if ratio > r.Limit {
		return Outcome{Worse, fmt.Sprintf("%s above %s", what, exact(r.Limit))}
	}
	return Outcome{NotWorse, fmt.Sprintf("%s, accepted <= %s", what, exact(r.Limit))}
}

// problem says why two sides cannot be judged; empty where they can.
func (r Ratio) problem(canary, primary Side) string {
	switch {
	case !(r.Limit >= 1) || math.IsInf(r.Limit, 0):
		return fmt.Sprintf("limit %v is not 1 or more; use for example 1.1", r.Limit)
	case !(r.Floor >= 0) || math.IsInf(r.Floor, 0):
		return fmt.Sprintf("floor %v is not 0 or more; use the smallest value that matters", r.Floor)
	}
	for _, s := range []struct {
		name string
		Side
	}{{"canary", canary}, {"primary", primary}} {
		switch {
		case !(s.Value >= 0) || math.IsInf(s.Value, 0):
			return fmt.Sprintf("%s has the value %v, of which no ratio can be taken; check its query and whether requests reach it", s.name, s.Value)
		case r.MinSamples > 0 && !(s.Samples >= r.MinSamples):
			return fmt.Sprintf("%s had %v requests, fewer than %v; send more or lengthen the interval", s.name, s.Samples, r.MinSamples)
		}
	}
	return ""
}

// short writes a number with four digits.
func short(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }

// exact writes a number with all its digits.
func exact(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
