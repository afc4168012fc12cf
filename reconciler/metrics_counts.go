package reconciler

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// Parts of a reconcile, as sluice_decision_duration_seconds calls them.
const (
	partGather = "gather"
	partDecide = "decide"
	partApply  = "apply"
)

// Bounds of the histograms, in seconds: a decision takes microseconds and what it writes some requests, a phase takes seconds to days.
var (
	decisionBuckets = []float64{.0001, .0005, .001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	phaseBuckets    = []float64{1, 5, 15, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600}
)

// counts are the metrics that count what happened since this replica started.
type counts struct {
	successes, failures *prometheus.CounterVec
	rounds              *prometheus.HistogramVec

	rules, unseen, drifts, asked, answered *prometheus.CounterVec
	parts, phases                          *prometheus.HistogramVec

	// targets remembers by which name the series of a Canary go.
	targets *sync.Map
}

func newCounts() counts {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	ends := []string{"name", "namespace", "deployment_strategy", "analysis_status"}
	return counts{
		successes: counter("flagger_canary_successes_total", "Rollouts that were promoted.", ends...),
		failures:  counter("flagger_canary_failures_total", "Rollouts that were rolled back.", ends...),
		rounds: histogram("flagger_canary_duration_seconds", "How long one round of a rollout took: what was gathered, decided and written.",
			prometheus.DefBuckets, "name", "namespace"),
		rules:    counter("sluice_decisions_total", "Decisions by the rule that made them.", "rule"),
		unseen:   counter("sluice_changes_caught_up_total", "Changes of targets and configs that were made while admission was away.", "kind"),
		drifts:   counter("sluice_route_repairs_total", "Changes that somebody else made to objects of routes and that were put back.", "kind"),
		asked:    counter("sluice_checks_asked_total", "Checks that were put to metric providers and hooks.", "kind"),
		answered: counter("sluice_checks_answered_total", "Answers of metric providers and hooks.", "kind", "verdict"),
		parts: histogram("sluice_decision_duration_seconds", "How long gathering, deciding and carrying out took, each time that a Canary was looked at.",
			decisionBuckets, "part"),
		phases:  histogram("sluice_phase_duration_seconds", "How long Canaries were in a phase that they have left, to the second.", phaseBuckets, "phase"),
		targets: &sync.Map{},
	}
}

func (m *counts) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.successes, m.failures, m.rounds, m.rules, m.unseen, m.drifts, m.asked, m.answered, m.parts, m.phases}
}

// decided counts a decision.
func (m *counts) decided(rule string) { m.rules.WithLabelValues(rule).Inc() }

// took records how long a part of a reconcile took.
func (m *counts) took(part string, dur time.Duration) {
	m.parts.WithLabelValues(part).Observe(dur.Seconds())
}

// round records how long a whole reconcile of a Canary took, if a rollout is on.
func (m *counts) round(c *v1beta1.Canary, dur time.Duration) {
	if c.Status.Rollout != nil {
		m.rounds.WithLabelValues(m.named(c), c.Namespace).Observe(dur.Seconds())
	}
}

// caughtUp counts changes that admission has not seen, given by the kinds of what was changed.
func (m *counts) caughtUp(kinds []string) {
	for _, kind := range kinds {
		m.unseen.WithLabelValues(kind).Inc()
	}
}

// asks counts a check that is asked for the first time, answers one whose answer came.
func (m *counts) asks(kind v1beta1.CheckKind) { m.asked.WithLabelValues(string(kind)).Inc() }

func (m *counts) answers(kind v1beta1.CheckKind, v v1beta1.Verdict) {
	m.answered.WithLabelValues(string(kind), string(v)).Inc()
}

// moved counts a change of phase, and the end of a rollout if it is one. before is the status until then.
func (m *counts) moved(c *v1beta1.Canary, before *v1beta1.CanaryStatus, t core.Traffic) {
	if c.Status.Phase == before.Phase {
		return
	}
	if before.Phase != "" {
		m.phases.WithLabelValues(string(before.Phase)).Observe(c.Status.LastTransitionTime.Sub(before.LastTransitionTime.Time).Seconds())
	}
	analysed, ro := "completed", before.Rollout
	if ro != nil && ro.RestoredBy != "" {
		// What an operator restores is no rollout.
		return
	}
	if c.Spec.SkipAnalysis || ro != nil && ro.SkippedBy != "" {
		analysed = "skipped"
	}
	labels := []string{m.named(c), c.Namespace, string(c.Spec.Analysis.Strategy(t.Weighted)), analysed}
	switch {
	case c.Status.Phase == v1beta1.PhaseFailed:
		m.failures.WithLabelValues(labels...).Inc()
	case c.Status.Phase == v1beta1.PhaseSucceeded && before.Phase == v1beta1.PhaseFinalising:
		m.successes.WithLabelValues(labels...).Inc()
	}
}

// named returns the name that Flagger's metrics have for a Canary, that of its target.
func (m *counts) named(c *v1beta1.Canary) string {
	target := c.Spec.TargetRef.Name
	m.targets.Store(types.NamespacedName{Namespace: c.Namespace, Name: c.Name}, target)
	return target
}

// forget ends the series of a Canary that is gone.
func (m *counts) forget(canary types.NamespacedName) {
	target, known := m.targets.LoadAndDelete(canary)
	if !known {
		return
	}
	series := prometheus.Labels{"name": target.(string), "namespace": canary.Namespace}
	m.successes.DeletePartialMatch(series)
	m.failures.DeletePartialMatch(series)
	m.rounds.DeletePartialMatch(series)
}
