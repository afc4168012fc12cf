package validation

import (
	"slices"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/mesh/capability"
)

const (
	fieldIterations  = "spec.analysis.iterations"
	fieldStepWeight  = "spec.analysis.stepWeight"
	fieldStepWeights = "spec.analysis.stepWeights"
	fieldMaxWeight   = "spec.analysis.maxWeight"
	percentHint      = "use 0 to 100 per cent"
)

// strategy denies an analysis that asks for no strategy, for two, or for one that the provider cannot run.
func (r *review) strategy() {
	a := &r.canary.Spec.Analysis
	asked := 0
	for _, set := range []bool{a.Iterations != 0, a.StepWeight != 0, len(a.StepWeights) > 0} {
		if set {
			asked++
		}
	}
	switch {
	case asked == 0:
		r.deny("spec.analysis", nil, "has no steps; set one of stepWeight, stepWeights (canary) or iterations (A/B testing, blue/green)")
		return
	case asked > 1:
		r.deny("spec.analysis", nil, "has more than one of stepWeight, stepWeights and iterations; keep one")
		return
	}
	if !r.known {
		return
	}
	if !r.can.Splits {
		r.unsplit(a)
		return
	}
	r.available(a)
}

// unsplit handles a provider that can only turn all traffic at once.
func (r *review) unsplit(a *v1beta1.CanaryAnalysis) {
	if len(a.Match) > 0 {
		r.deny("spec.analysis.match", nil, "cannot be expressed by provider %s, so A/B testing is not possible; remove it",
			r.can.Name)
	}
	field, value := fieldStepWeights, any(a.StepWeights)
	switch {
	case a.Iterations != 0:
		return
	case a.StepWeight != 0:
		field, value = fieldStepWeight, a.StepWeight
	}
	r.warn(field, value, "cannot be realised: provider %s does not divide traffic; runs as blue/green with %d iterations, "+
		"set %s instead", r.can.Name, v1beta1.DefaultIterations, fieldIterations)
}

// available handles what the provider's routes cannot express, and what this build cannot run yet.
func (r *review) available(a *v1beta1.CanaryAnalysis) {
	s := a.Strategy(r.can.Splits)
	can, have := supports(r.can.Strategies, s), supports(r.can.Available, s)
	field, value := fieldIterations, any(a.Iterations)
	if s == v1beta1.StrategyCanary {
		field, value = fieldStepWeight, a.StepWeight
		if a.StepWeight == 0 {
			field, value = fieldStepWeights, a.StepWeights
		}
	}
	switch {
	case !can:
		r.deny(field, value, "asks for %s, which provider %s cannot express; use stepWeight, or iterations without match",
			words(s), r.can.Name)
	case !have:
		r.deny(field, value, "asks for %s, which is not available with provider %s in this version; use %s",
			words(s), r.can.Name, remedy(r.can.Available))
	}
}

func supports(s capability.Strategies, strategy v1beta1.Strategy) bool {
	switch strategy {
	case v1beta1.StrategyCanary:
		return s.Canary
	case v1beta1.StrategyABTesting:
		return s.ABTesting
	case v1beta1.StrategyBlueGreen:
		return s.BlueGreen
	}
	return false
}

func words(s v1beta1.Strategy) string {
	switch s {
	case v1beta1.StrategyABTesting:
		return "A/B testing"
	case v1beta1.StrategyBlueGreen:
		return "blue/green"
	}
	return "weighted steps"
}

// remedy names the fields that lead to what a provider has.
func remedy(s capability.Strategies) string {
	if s.Canary {
		return "stepWeight or stepWeights"
	}
	return "iterations without match"
}

// weights denies numbers that are no shares of traffic.
func (r *review) weights() {
	a := &r.canary.Spec.Analysis
	if a.Iterations < 0 {
		r.deny(fieldIterations, a.Iterations, "is out of range; use 1 or more")
	}
	if a.StepWeight != 0 {
		r.percent(fieldStepWeight, a.StepWeight, 1, "use 1 to 100 per cent")
	}
	r.stepList(a.StepWeights)
	r.percent(fieldMaxWeight, a.MaxWeight, 0, percentHint)
	r.percent("spec.analysis.stepWeightPromotion", a.StepWeightPromotion, 0, percentHint)
	r.percent("spec.analysis.mirrorWeight", a.MirrorWeight, 0, percentHint)
	if p := a.PrimaryReadyThreshold; p != nil {
		r.percent("spec.analysis.primaryReadyThreshold", *p, 0, percentHint)
	}
	if p := a.CanaryReadyThreshold; p != nil {
		r.percent("spec.analysis.canaryReadyThreshold", *p, 0, percentHint)
	}
	if a.Threshold < 0 {
		r.deny("spec.analysis.threshold", a.Threshold, "is out of range; use 1 or more failed checks")
	}
	if len(a.StepWeights) > 0 && a.MaxWeight > 0 && a.MaxWeight != a.StepWeights[len(a.StepWeights)-1] {
		r.warn(fieldMaxWeight, a.MaxWeight, "has no effect beside stepWeights, whose last entry is the last step; remove it")
	}
}

func (r *review) stepList(steps []int32) {
	if slices.ContainsFunc(steps, func(w int32) bool { return w < 1 || w > 100 }) {
		r.deny(fieldStepWeights, steps, "has an entry out of range; use 1 to 100 per cent")
		return
	}
	for i := 1; i < len(steps); i++ {
		if steps[i] <= steps[i-1] {
			r.deny(fieldStepWeights, steps, "does not ascend at entry %d; use for example [5 20 50]", i)
			return
		}
	}
}

// timing denies durations that do not parse and deadlines that cannot be met.
func (r *review) timing() {
	a := &r.canary.Spec.Analysis
	if a.Interval == "" {
		r.deny("spec.analysis.interval", nil, "is required; use for example 30s or 1m")
	}
	r.duration("spec.analysis.interval", a.Interval, v1beta1.MinInterval)
	if s := r.canary.Spec.ProgressDeadlineSeconds; s != nil && *s < 0 {
		r.deny("spec.progressDeadlineSeconds", *s, "is out of range; use seconds, 600 when absent")
	}
}
