package core

import (
	"fmt"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// step is one stop of an analysis: the canary's share of traffic, 0 to 100, and how people call it.
type step struct {
	weight int32
	label  string
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
		// Without weights users cannot be shared out, whatever the Canary asks for: iterations on a canary that only tests reach.
		name:    "blue-green on services",
		applies: func(_ *v1beta1.CanarySpec, t Traffic) bool { return !t.Weighted },
		steps:   iterations,
	},
	{
		// Iterations on a canary that only tests reach, then once more with all traffic on it.
		name:    "blue-green",
		applies: func(s *v1beta1.CanarySpec, _ Traffic) bool { return s.Analysis.Iterations > 0 },
		steps: func(s *v1beta1.CanarySpec, t Traffic) []step {
			return append(iterations(s, t), weighted(100))
		},
	},
	{
		name:    "canary",
		applies: func(*v1beta1.CanarySpec, Traffic) bool { return true },
		steps: func(s *v1beta1.CanarySpec, _ Traffic) []step {
			var steps []step
			for _, w := range s.Analysis.Steps() {
				steps = append(steps, weighted(w))
			}
			return steps
		},
	},
}

// steps returns the steps of the Canary's analysis; none when the analysis is skipped.
func (d *decision) steps() []step {
	for _, s := range strategies {
		if s.applies(d.spec, d.in.Traffic) {
			return s.steps(d.spec, d.in.Traffic)
		}
	}
	return nil
}

// iterations analyses n times while no user reaches the canary.
func iterations(s *v1beta1.CanarySpec, t Traffic) []step {
	n := s.Analysis.IterationCount(t.Weighted)
	steps := make([]step, n)
	for i := range steps {
		steps[i] = step{label: fmt.Sprintf("iteration %d/%d", i+1, n)}
	}
	return steps
}

// weighted is a step at a share of traffic.
func weighted(w int) step {
	return step{weight: int32(w), label: fmt.Sprintf("weight %d", w)}
}
