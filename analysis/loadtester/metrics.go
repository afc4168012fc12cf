package loadtester

import "github.com/prometheus/client_golang/prometheus"

// metrics counts what the load tester does. No label carries what a caller sent.
type metrics struct {
	started, duplicates prometheus.Counter
	failed, refused     *prometheus.CounterVec // by reason
	requests            *prometheus.CounterVec // by code
	checks              *prometheus.CounterVec // by type and outcome
	running, queued     prometheus.Gauge
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := unregistered()
	registry.MustRegister(m.collectors()...)
	return m
}

// Collectors returns the load tester's metrics, registered nowhere and counting nothing, for who wants to know which there are.
func Collectors() []prometheus.Collector { return unregistered().collectors() }

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.started, m.duplicates, m.failed, m.refused, m.requests, m.checks, m.running, m.queued}
}

func unregistered() *metrics {
	name := func(n string) string { return "sluice_loadtester_" + n }
	return &metrics{
		started: prometheus.NewCounter(prometheus.CounterOpts{Name: name("tasks_started_total"), Help: "Load tasks that began to run."}),
		duplicates: prometheus.NewCounter(prometheus.CounterOpts{Name: name("tasks_duplicate_total"),
			Help: "Load tasks asked for while the same one was queued or running."}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: name("tasks_failed_total"),
			Help: "Load tasks that were cut off (timeout, stopped), got no answer at all (unanswered), or broke (internal)."}, []string{"reason"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: name("calls_refused_total"),
			Help: "Calls that were refused, by HTTP status."}, []string{"code"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: name("requests_total"),
			Help: "Requests sent by finished load tasks, by HTTP status, or error where there was no answer."}, []string{"code"}),
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{Name: name("checks_total"),
			Help: "HTTP checks and programs that callers waited for, by metadata.type and outcome: passed or failed."}, []string{"type", "outcome"}),
		running: prometheus.NewGauge(prometheus.GaugeOpts{Name: name("tasks_running"), Help: "Load tasks that run now."}),
		queued:  prometheus.NewGauge(prometheus.GaugeOpts{Name: name("tasks_queued"), Help: "Load tasks that wait for a place to run."}),
	}
}

func (m *metrics) sent(s Summary) {
	for code, n := range s.Codes {
		m.requests.WithLabelValues(code).Add(float64(n))
	}
	if n := s.Failed(); n > 0 {
		m.requests.WithLabelValues("error").Add(float64(n))
	}
}
