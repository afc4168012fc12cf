package simulation

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// Coverage counts what schedules have visited. It is used by one goroutine; Add brings several together.
type Coverage struct {
	Schedules, Decisions int
	Phases               map[v1beta1.CanaryPhase]int
	Rules                map[string]int
	// Transitions are counted by the stages that they lead from and to; "" is no rollout.
	Transitions map[[2]v1beta1.Stage]int
	// Faults are counted by name, During by the stage in which they came.
	Faults map[string]int
	During map[v1beta1.Stage]int
	// Ends are counted by the phase in which schedules end.
	Ends map[v1beta1.CanaryPhase]int
}

// NewCoverage is empty.
func NewCoverage() *Coverage {
	return &Coverage{
		Phases: map[v1beta1.CanaryPhase]int{}, Rules: map[string]int{}, Transitions: map[[2]v1beta1.Stage]int{}, Faults: map[string]int{},
		During: map[v1beta1.Stage]int{}, Ends: map[v1beta1.CanaryPhase]int{},
	}
}

func stageOf(st *v1beta1.CanaryStatus) v1beta1.Stage {
	if st == nil || st.Rollout == nil {
		return ""
	}
	return st.Rollout.Stage
}

// decided counts a decision.
func (c *Coverage) decided(before *v1beta1.CanaryStatus, p *core.Plan) {
	c.Decisions++
	c.Rules[p.Rule]++
	if before.Phase != p.Status.Phase {
		c.Phases[p.Status.Phase]++
	}
	if from, to := stageOf(before), stageOf(&p.Status); from != to {
		c.Transitions[[2]v1beta1.Stage{from, to}]++
	}
}

func (c *Coverage) fault(name string) { c.Faults[name]++ }

func (c *Coverage) during(st *v1beta1.CanaryStatus) { c.During[stageOf(st)]++ }

func (c *Coverage) played(w *World) {
	c.Schedules++
	end := w.status().Phase
	if w.handedBack {
		end = v1beta1.PhaseTerminated
	}
	c.Ends[end]++
}

// Add adds the counts of another one.
func (c *Coverage) Add(o *Coverage) {
	c.Schedules += o.Schedules
	c.Decisions += o.Decisions
	add(c.Phases, o.Phases)
	add(c.Rules, o.Rules)
	add(c.Transitions, o.Transitions)
	add(c.Faults, o.Faults)
	add(c.During, o.During)
	add(c.Ends, o.Ends)
}

func add[K comparable](to, from map[K]int) {
	for k, n := range from {
		to[k] += n
	}
}

// enough is the share of schedules, one in so many, that must have visited each state; fewer schedules than this prove nothing.
const enough = 400

// edges are transitions that every strategy must take.
var edges = [][2]v1beta1.Stage{
	{"", v1beta1.StageSettling}, {v1beta1.StageSettling, v1beta1.StageScalingUp}, {v1beta1.StageScalingUp, v1beta1.StageFencing},
	{v1beta1.StageScalingUp, v1beta1.StageRollingBack}, {v1beta1.StageFencing, v1beta1.StageSettling}, {v1beta1.StageFencing, v1beta1.StageRollingBack},
	{v1beta1.StagePromoting, v1beta1.StageFinalising}, {v1beta1.StageFinalising, ""},
	{v1beta1.StageRollingBack, ""}, {"", v1beta1.StageLeaving},
}

// analysisEdges are those of every strategy that analyses.
var analysisEdges = [][2]v1beta1.Stage{
	{v1beta1.StageSettling, v1beta1.StageConfirming}, {v1beta1.StageConfirming, v1beta1.StageScalingUp}, {v1beta1.StageScalingUp, v1beta1.StageAnalysing},
	{v1beta1.StageScalingUp, v1beta1.StagePreparing}, {v1beta1.StagePreparing, v1beta1.StageAnalysing}, {v1beta1.StageAnalysing, v1beta1.StageFencing},
	{v1beta1.StageAnalysing, v1beta1.StageRollingBack}, {v1beta1.StageAnalysing, v1beta1.StageConfirmingPromotion},
	{v1beta1.StageAnalysing, v1beta1.StagePromoting},
}

// edgesAtHome and analysisEdgesAtHome are those under an ephemeral primary.
var (
	edgesAtHome = [][2]v1beta1.Stage{
		{"", v1beta1.StageSettling}, {v1beta1.StageSettling, v1beta1.StageTurning}, {v1beta1.StageTurning, v1beta1.StageScalingUp},
		{v1beta1.StageTurning, v1beta1.StageSettling}, {v1beta1.StageTurning, ""}, {v1beta1.StageScalingUp, v1beta1.StageFencing},
		{v1beta1.StageScalingUp, v1beta1.StageRollingBack}, {v1beta1.StageFencing, v1beta1.StageSettling}, {v1beta1.StageRollingBack, ""},
		{"", v1beta1.StageReturning}, {v1beta1.StageReturning, ""}, {"", v1beta1.StageLeaving},
	}
	analysisEdgesAtHome = [][2]v1beta1.Stage{
		{v1beta1.StageSettling, v1beta1.StageConfirming}, {v1beta1.StageConfirming, v1beta1.StageTurning}, {v1beta1.StageScalingUp, v1beta1.StageAnalysing},
		{v1beta1.StageScalingUp, v1beta1.StagePreparing}, {v1beta1.StagePreparing, v1beta1.StageAnalysing}, {v1beta1.StageAnalysing, v1beta1.StageFencing},
		{v1beta1.StageAnalysing, v1beta1.StageRollingBack}, {v1beta1.StageAnalysing, v1beta1.StageConfirmingPromotion},
		{v1beta1.StageAnalysing, v1beta1.StageReturning},
	}
)

// edges are the transitions that schedules of a strategy must visit.
func (s *Strategy) edges() [][2]v1beta1.Stage {
	switch {
	case s.ephemeral:
		return slices.Concat(edgesAtHome, analysisEdgesAtHome)
	case s.skip:
		return edges
	}
	must := slices.Concat(edges, analysisEdges)
	if s.service {
		// It has no pods to wait for, so the way back is over at once.
		must = slices.DeleteFunc(must, func(e [2]v1beta1.Stage) bool { return e[0] == v1beta1.StageFencing && e[1] == v1beta1.StageRollingBack })
	}
	return must
}

// hollow lists what n schedules of a strategy have visited too rarely.
func (c *Coverage) hollow(s *Strategy, n int) []string {
	least := n / enough
	var out []string
	note := func(what string, times int) {
		if times < least {
			out = append(out, fmt.Sprintf("%s: %d times, less than %d", what, times, least))
		}
	}
	for _, a := range s.deeds() {
		if a.share > 0 {
			note(a.name, c.Faults[a.name])
		}
	}
	note(faultConflict, c.Faults[faultConflict])
	for _, e := range s.edges() {
		note(label(e), c.Transitions[e])
		if s.weighted {
			// Without a route some stages are over at once.
			note("an action during "+orNone(e[0]), c.During[e[0]])
		}
	}
	for _, p := range []v1beta1.CanaryPhase{
		v1beta1.PhaseInitialized, v1beta1.PhaseSucceeded, v1beta1.PhaseFailed, v1beta1.PhaseTerminated,
	} {
		note("an end as "+string(p), c.Ends[p])
	}
	return out
}

// String is a report for people.
func (c *Coverage) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d schedules, %d decisions\n", c.Schedules, c.Decisions)
	section(&b, "phases entered", c.Phases)
	section(&b, "rules", c.Rules)
	section(&b, "transitions", c.Transitions)
	section(&b, "faults", c.Faults)
	section(&b, "actions during stages", c.During)
	section(&b, "ends", c.Ends)
	return b.String()
}

func section[K comparable](b *strings.Builder, title string, counts map[K]int) {
	fmt.Fprintf(b, "  %s:", title)
	keys := slices.Collect(maps.Keys(counts))
	slices.SortFunc(keys, func(x, y K) int { return strings.Compare(label(x), label(y)) })
	for _, k := range keys {
		fmt.Fprintf(b, " %s %d;", label(k), counts[k])
	}
	b.WriteString("\n")
}

func label(k any) string {
	if t, ok := k.([2]v1beta1.Stage); ok {
		return orNone(t[0]) + ">" + orNone(t[1])
	}
	return orNone(v1beta1.Stage(fmt.Sprint(k)))
}

func orNone(s v1beta1.Stage) string {
	if s == "" {
		return "none"
	}
	return string(s)
}
