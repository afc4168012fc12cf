package simulation

import (
	"cmp"
	"slices"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// Strategy is a kind of rollout, with what the model must know of it.
type Strategy struct {
	// Name is how -strategy calls it.
	Name string
	// weighted tells that the provider has a route with weights; daemonSet what the target is.
	weighted, daemonSet bool
	// service tells that the target is a Service.
	service bool
	// scaled tells that the Canary names an autoscaler.
	scaled bool
	// ephemeral tells that the primary is there during rollouts only.
	ephemeral bool
	// analysis is the part of the spec that makes the strategy.
	analysis v1beta1.CanaryAnalysis
	// skip asks for no analysis at all.
	skip  bool
	specs []*v1beta1.CanarySpec
	// resting are worlds at rest, one for each spec.
	resting []*World
}

// Strategies are all that are simulated.
func Strategies() []*Strategy {
	match := []v1beta1.AnalysisMatch{{Headers: map[string]v1beta1.StringMatch{"x-beta": {Exact: "yes"}}}}
	cookies := &v1beta1.SessionAffinity{CookieName: "canary", PrimaryCookieName: "primary"}
	list := []*Strategy{
		{Name: "canary", weighted: true, analysis: v1beta1.CanaryAnalysis{StepWeight: 25, MaxWeight: 50}},
		{Name: "step-weights", weighted: true, analysis: v1beta1.CanaryAnalysis{StepWeights: []int32{10, 60}}},
		{Name: "promotion-by-steps", weighted: true, analysis: v1beta1.CanaryAnalysis{StepWeight: 50, MaxWeight: 100, StepWeightPromotion: 40}},
		{Name: "ab-testing", weighted: true, analysis: v1beta1.CanaryAnalysis{Iterations: 2, Match: match}},
		{Name: "blue-green", weighted: true, analysis: v1beta1.CanaryAnalysis{Iterations: 2}},
		{Name: "blue-green-services", analysis: v1beta1.CanaryAnalysis{Iterations: 2}},
		{Name: "mirrored-canary", weighted: true, analysis: v1beta1.CanaryAnalysis{StepWeight: 30, MaxWeight: 60, Mirror: true, MirrorWeight: 80}},
		{Name: "mirrored-blue-green", weighted: true, analysis: v1beta1.CanaryAnalysis{Iterations: 2, Mirror: true}},
		{Name: "session-affinity", weighted: true, analysis: v1beta1.CanaryAnalysis{StepWeight: 25, MaxWeight: 50, SessionAffinity: cookies}},
		{Name: "skip", weighted: true, skip: true, analysis: v1beta1.CanaryAnalysis{StepWeight: 25, MaxWeight: 50}},
		{Name: "autoscaled", weighted: true, scaled: true, analysis: v1beta1.CanaryAnalysis{StepWeight: 30, MaxWeight: 60}},
		{Name: "autoscaled-blue-green", weighted: true, scaled: true, analysis: v1beta1.CanaryAnalysis{Iterations: 2}},
		{Name: "daemonset", weighted: true, daemonSet: true, analysis: v1beta1.CanaryAnalysis{StepWeight: 30, MaxWeight: 60}},
		{Name: "service", weighted: true, service: true, analysis: v1beta1.CanaryAnalysis{StepWeight: 25, MaxWeight: 50}},
		{Name: "service-blue-green", weighted: true, service: true, analysis: v1beta1.CanaryAnalysis{Iterations: 2}},
		{Name: "ephemeral", weighted: true, ephemeral: true, analysis: v1beta1.CanaryAnalysis{StepWeight: 25, MaxWeight: 50}},
		{Name: "ephemeral-blue-green", weighted: true, ephemeral: true, analysis: v1beta1.CanaryAnalysis{Iterations: 2}},
		{Name: "ephemeral-services", ephemeral: true, analysis: v1beta1.CanaryAnalysis{Iterations: 2}},
		{Name: "ephemeral-autoscaled", weighted: true, ephemeral: true, scaled: true, analysis: v1beta1.CanaryAnalysis{StepWeight: 30, MaxWeight: 60}},
		{Name: "ephemeral-daemonset", weighted: true, ephemeral: true, daemonSet: true, analysis: v1beta1.CanaryAnalysis{StepWeight: 30, MaxWeight: 60}},
	}
	for _, s := range list {
		s.specs = s.makeSpecs()
		for _, spec := range s.specs {
			s.resting = append(s.resting, rested(s, spec))
		}
	}
	return list
}

// stop is a place of an analysis at which checks must be good: the canary's share of users, whether it is of those who match only, and the share of
// copied requests.
type stop struct {
	weight  int
	matched bool
	mirror  int
}

// rounds are the stops of an analysis, in order. It says what is asked for in other words than the core's.
func (s *Strategy) rounds(a *v1beta1.CanaryAnalysis) []stop {
	n := int(a.Iterations)
	switch {
	case !s.weighted:
		return make([]stop, cmp.Or(n, v1beta1.DefaultIterations))
	case n > 0 && len(a.Match) > 0:
		return slices.Repeat([]stop{{100, true, 0}}, n)
	case n > 0:
		// Once more with everybody on it.
		return append(slices.Repeat([]stop{{0, false, copied(a)}}, n), stop{weight: 100})
	}
	return steps(a)
}

// steps are the stops of an analysis that goes up by weights.
func steps(a *v1beta1.CanaryAnalysis) []stop {
	var out []stop
	matched := len(a.Match) > 0
	if mirror := copied(a); mirror > 0 {
		out = append(out, stop{0, matched, mirror})
	}
	for _, step := range a.StepWeights {
		out = append(out, stop{int(step), matched, 0})
	}
	for step := a.StepWeight; step > 0; step += a.StepWeight {
		out = append(out, stop{int(min(step, a.MaxWeight)), matched, 0})
		if step >= a.MaxWeight {
			break
		}
	}
	return out
}

// copied is the share of requests that an analysis has copied to the canary, in percent.
func copied(a *v1beta1.CanaryAnalysis) int {
	if !a.Mirror {
		return 0
	}
	return cmp.Or(int(a.MirrorWeight), 100)
}

// makeSpecs are the variants of a strategy: without hooks, with hooks of every type, and with fractions of pods that suffice.
func (s *Strategy) makeSpecs() []*v1beta1.CanarySpec {
	deadline := int32(20)
	base := v1beta1.CanarySpec{SkipAnalysis: s.skip, ProgressDeadlineSeconds: &deadline, Analysis: s.analysis}
	base.Analysis.Interval, base.Analysis.Threshold = "3s", 2
	base.Analysis.Metrics = []v1beta1.CanaryMetric{{Name: "request-success-rate"}}
	if s.scaled {
		base.AutoscalerRef = reference()
	}
	if s.ephemeral {
		base.Primary = ephemeral()
	}
	hooked := base
	for _, t := range []v1beta1.HookType{
		v1beta1.HookConfirmRollout, v1beta1.HookPreRollout, v1beta1.HookRollout, v1beta1.HookConfirmTrafficIncrease, v1beta1.HookConfirmPromotion,
		v1beta1.HookPostRollout, v1beta1.HookRollback, v1beta1.HookEvent,
	} {
		hooked.Analysis.Webhooks = append(hooked.Analysis.Webhooks, v1beta1.CanaryWebhook{Name: string(t), Type: t})
	}
	half := int32(50)
	lenient := base
	lenient.Analysis.Threshold = 3
	lenient.Analysis.PrimaryReadyThreshold, lenient.Analysis.CanaryReadyThreshold = &half, &half
	return []*v1beta1.CanarySpec{&base, &hooked, &lenient}
}

// restingWorld is a world of its own, at rest.
func (s *Strategy) restingWorld(n int) *World { return s.resting[n].clone() }

func (s *Strategy) variants() int { return len(s.specs) }

func (s *Strategy) spec(n int) *v1beta1.CanarySpec { return s.specs[n] }

// traffic is what the provider can do.
func (s *Strategy) traffic() core.Traffic {
	return core.Traffic{Weighted: s.weighted, Matches: s.weighted, Mirrors: s.weighted, Cookies: s.weighted, Drain: drainTime}
}

// split is what a plan asks the provider for.
func (s *Strategy) split(r *core.RouteIntent) split {
	return split{Split: r.Split, viaApex: r.ViaApex}
}
