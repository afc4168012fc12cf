package core

import (
	"fmt"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// step is one stop of an analysis.
type step struct {
	// weight is the canary's share of users, 0 to 100.
	weight int32
	// match limits the share to the requests that meet the analysis' conditions.
	match bool
	// mirror is the share of requests that are copied to the canary, 0 to 100.
	mirror int32
	// confirm tells that the step is the promotion as users see it: the confirm-promotion gates are asked before it, and not again after it.
	confirm bool
	// label is how people call the step.
	label string
}

// strategy plans the steps of an analysis. The first strategy that applies is used.
type strategy struct {
	name string
	// applies tells whether the Canary asks for the strategy, given what the provider can do.
	applies func(*v1beta1.CanarySpec, Traffic) bool
	steps   func(*v1beta1.CanarySpec, Traffic) []step
}

// strategies in the order in which they are tried.
var strategies = []strategy{
	{
		// An explicit skip wins over everything: no step, no check.
		name:    "skip",
		applies: func(s *v1beta1.CanarySpec, _ Traffic) bool { return s.SkipAnalysis },
		steps:   func(*v1beta1.CanarySpec, Traffic) []step { return nil },
	},
	{
		// Without weights users cannot be shared out, and without matches those meant cannot be told, whatever the Canary asks for: iterations on a
		// canary that only tests reach.
		name: "blue-green on services",
		applies: func(s *v1beta1.CanarySpec, t Traffic) bool {
			return !t.Weighted || len(s.Analysis.Match) > 0 && !t.Matches
		},
		steps: func(s *v1beta1.CanarySpec, _ Traffic) []step {
			return iterations(s.Analysis.IterationCount(false), step{})
		},
	},
	{
		// Iterations with all requests that meet a condition on the canary, and everybody else on the primary.
		name: "ab-testing",
		applies: func(s *v1beta1.CanarySpec, _ Traffic) bool {
			return s.Analysis.Iterations > 0 && len(s.Analysis.Match) > 0
		},
		steps: func(s *v1beta1.CanarySpec, _ Traffic) []step {
			return iterations(int(s.Analysis.Iterations), step{weight: 100, match: true})
		},
	},
	{
		// Iterations on a canary that only tests reach, and copies of requests where those are asked for; then once more with all traffic on it.
		name:    "blue-green",
		applies: func(s *v1beta1.CanarySpec, _ Traffic) bool { return s.Analysis.Iterations > 0 },
		steps: func(s *v1beta1.CanarySpec, t Traffic) []step {
			all := weighted(100)
			all.confirm = true
			return append(iterations(int(s.Analysis.Iterations), step{mirror: mirrored(s, t)}), all)
		},
	},
	{
		// Growing shares of traffic, after a stop with copies only where those are asked for.
		name:    "canary",
		applies: func(*v1beta1.CanarySpec, Traffic) bool { return true },
		steps: func(s *v1beta1.CanarySpec, t Traffic) []step {
			var steps []step
			limited := len(s.Analysis.Match) > 0
			if share := mirrored(s, t); share > 0 {
				steps = append(steps, step{mirror: share, match: limited, label: fmt.Sprintf("mirror %d", share)})
			}
			for _, w := range s.Analysis.Steps() {
				next := weighted(w)
				next.match = limited
				steps = append(steps, next)
			}
			return steps
		},
	},
}

// strategy returns the strategy of the Canary.
func (d *decision) strategy() strategy {
	if ro := d.ro(); ro != nil && ro.SkippedBy != "" {
		return strategies[0]
	}
	for _, s := range strategies {
		if s.applies(d.spec, d.in.Traffic) {
			return s
		}
	}
	return strategy{steps: func(*v1beta1.CanarySpec, Traffic) []step { return nil }}
}

// steps returns the steps of the Canary's analysis; none when the analysis is skipped.
func (d *decision) steps() []step { return d.strategy().steps(d.spec, d.in.Traffic) }

// iterations are n steps alike.
func iterations(n int, like step) []step {
	steps := make([]step, n)
	for i := range steps {
		steps[i] = like
		steps[i].label = fmt.Sprintf("iteration %d/%d", i+1, n)
	}
	return steps
}

// weighted is a step at a share of traffic.
func weighted(w int) step {
	return step{weight: int32(w), label: fmt.Sprintf("weight %d", w)}
}

// mirrored is the share of requests to copy, 0 for none. A Canary that asks for copies and names no share means all.
func mirrored(s *v1beta1.CanarySpec, t Traffic) int32 {
	a := &s.Analysis
	switch {
	case !a.Mirror || !t.Mirrors:
		return 0
	case a.MirrorWeight <= 0:
		return 100
	}
	return min(a.MirrorWeight, 100)
}
