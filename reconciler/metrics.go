package reconciler

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// scrapeTimeout bounds the reading of Canaries, from the cache, for one scrape.
const scrapeTimeout = 5 * time.Second

// Metrics are what dashboards made for Flagger show, under Flagger's names, and what Sluice adds, under its own. Gauges are read from the status
// of the Canaries at each scrape, so they are right after a restart; all series of a Canary end with it.
type Metrics struct {
	reader client.Reader
	info   prometheus.Gauge
	counts

	total, status, weight, analysis *prometheus.Desc
}

// NewMetrics returns Metrics of the Canaries that reader, a cache, knows, registered with reg. version and provider are what flagger_info tells.
func NewMetrics(reg prometheus.Registerer, reader client.Reader, version, provider string) (*Metrics, error) {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("flagger_canary_"+name, help, labels, nil)
	}
	m := &Metrics{
		reader: reader,
		info: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "flagger_info", Help: "Version and default traffic provider.",
			ConstLabels: prometheus.Labels{"version": version, "mesh_provider": provider},
		}),
		counts:   newCounts(),
		total:    desc("total", "Number of Canaries.", "namespace"),
		status:   desc("status", "Last rollout: 0 is running, 1 went well, 2 failed.", "name", "namespace"),
		weight:   desc("weight", "Share of traffic in per cent.", "workload", "namespace"),
		analysis: desc("metric_analysis", "Last value of a metric check.", "name", "namespace", "metric"),
	}
	m.info.Set(1)
	if err := reg.Register(m); err != nil {
		return nil, fmt.Errorf("register the metrics of Canaries: %w", err)
	}
	return m, nil
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.total, m.status, m.weight, m.analysis} {
		out <- d
	}
	m.info.Describe(out)
	for _, c := range m.collectors() {
		c.Describe(out)
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	m.info.Collect(out)
	for _, c := range m.collectors() {
		c.Collect(out)
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	list := &v1beta1.CanaryList{}
	if err := m.reader.List(ctx, list); err != nil {
		out <- prometheus.NewInvalidMetric(m.total, err)
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	perNamespace := map[string]float64{}
	targets := map[[2]string]bool{}
	for i := range list.Items {
		c := &list.Items[i]
		perNamespace[c.Namespace]++
		// Two Canaries on one target are refused at admission; should they exist, twice the same series would fail the scrape.
		key := [2]string{c.Namespace, c.Spec.TargetRef.Name}
		if targets[key] {
			continue
		}
		targets[key] = true
		m.collect(c, gauge)
	}
	for ns, n := range perNamespace {
		gauge(m.total, n, ns)
	}
}

func (m *Metrics) collect(c *v1beta1.Canary, gauge func(*prometheus.Desc, float64, ...string)) {
	target := c.Spec.TargetRef.Name
	status := 1.0
	switch p := c.Status.Phase; {
	case p == v1beta1.PhaseFailed:
		status = 2
	case p.InRollout(), p == v1beta1.PhaseInitializing, p == "":
		status = 0
	}
	gauge(m.status, status, target, c.Namespace)
	gauge(m.weight, float64(c.Status.CanaryWeight), target, c.Namespace)
	gauge(m.weight, float64(100-c.Status.CanaryWeight), c.PrimaryName(), c.Namespace)
	// The newest result comes first.
	seen := map[string]bool{}
	for _, r := range c.Status.Checks {
		v, err := strconv.ParseFloat(r.Value, 64)
		if r.Kind != v1beta1.CheckMetric || seen[r.Name] || err != nil {
			continue
		}
		seen[r.Name] = true
		gauge(m.analysis, v, target, c.Namespace, r.Name)
	}
}
