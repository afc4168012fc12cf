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
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_admission_requests_total",
			Help: "Admission requests by path, operation, dry run and outcome (allowed, patched, denied; failed and panicked were allowed too).",
		}, []string{"path", "operation", "dry_run", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sluice_admission_duration_seconds",
			Help:    "Time from the decoded admission request to its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 1.5},
		}, []string{"path"}),
	}
	if err := errors.Join(registerer.Register(m.requests), registerer.Register(m.duration)); err != nil {
		return nil, fmt.Errorf("register the admission metrics: %w", err)
	}
	return m, nil
}

func (m *metrics) observe(path, operation string, dryRun bool, outcome string, took time.Duration) {
	m.requests.WithLabelValues(path, operation, fmt.Sprint(dryRun), outcome).Inc()
	m.duration.WithLabelValues(path).Observe(took.Seconds())
}
