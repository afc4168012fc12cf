package webhook

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// outcomes of a request, as the label of the counter tells them.
const (
	outcomeAllowed = "allowed"
	outcomePatched = "patched"
	outcomeDenied  = "denied"
	// outcomeFailed is an internal error or timeout, outcomePanicked a panic; both are answered by "allowed".
	outcomeFailed   = "failed"
	outcomePanicked = "panicked"
)

// metrics count what is asked and how it is answered. Labels never name an object or a user.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	fences   *prometheus.CounterVec
	unheld   *prometheus.CounterVec
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := unregistered()
	if err := m.register(registerer); err != nil {
		return nil, fmt.Errorf("register the admission metrics: %w", err)
	}
	return m, nil
}

// Collectors returns the metrics of admission, registered nowhere and counting nothing, for who wants to know which there are.
func Collectors() []prometheus.Collector { return unregistered().collectors() }

func unregistered() *metrics {
	return &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_admission_requests_total",
			Help: "Admission requests by path, operation, dry run and outcome (allowed, patched, denied; failed and panicked were allowed too).",
		}, []string{"path", "operation", "dry_run", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sluice_admission_duration_seconds",
			Help:    "Time from the decoded admission request to its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 1.5},
		}, []string{"path"}),
		fences: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_admission_fences_total",
			Help: "Routes from which users were to be taken before a change landed, by outcome " +
				"(written, failed; after a failure the change is let through and the controller catches up).",
		}, []string{"outcome"}),
		unheld: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_admission_unheld_total",
			Help: "Changes during a rollout that were about to land without what the mutating phase does for them, by kind of object. The controller catches up.",
		}, []string{"kind"}),
	}
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.requests, m.duration, m.fences, m.unheld}
}

func (m *metrics) register(registerer prometheus.Registerer) error {
	var err error
	for _, c := range m.collectors() {
		err = errors.Join(err, registerer.Register(c))
	}
	return err
}

// fenced counts the routes of one request.
func (m *metrics) fenced(written, failed int) {
	m.fences.WithLabelValues("written").Add(float64(written))
	m.fences.WithLabelValues("failed").Add(float64(failed))
}

func (m *metrics) observe(path, operation string, dryRun bool, outcome string, took time.Duration) {
	m.requests.WithLabelValues(path, operation, fmt.Sprint(dryRun), outcome).Inc()
	m.duration.WithLabelValues(path).Observe(took.Seconds())
}
