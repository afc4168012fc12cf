package harness

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"strings"
)

// flowSchemas make the API server count Sluice's requests apart from all
// others, and its leases and watches apart from the rest.
//
//go:embed manifests/flowschemas.yaml
var flowSchemas string

const (
	requestsMetric = "apiserver_flowcontrol_dispatched_requests_total"
	schemaLeases   = "sluice-leases"
	schemaWatches  = "sluice-watches"
	schemaOther    = "sluice"
)

// Requests that Sluice's service account sent since the API server started. A
// watch counts once, when it is opened; client libraries open each again every
// few minutes.
type Requests struct{ Leases, Watches, Other int }

// Minus counts what came after an earlier count.
func (r Requests) Minus(earlier Requests) Requests {
	return Requests{Leases: r.Leases - earlier.Leases, Watches: r.Watches - earlier.Watches, Other: r.Other - earlier.Other}
}

// SluiceRequests reads the API server's own counter.
func (h *Harness) SluiceRequests(ctx context.Context) (Requests, error) {
	text, err := h.Cluster.Kubectl(ctx, "", "get", "--raw", "/metrics")
	if err != nil {
		return Requests{}, fmt.Errorf("read the API server's metrics: %w", err)
	}
	return countRequests(text)
}

// countRequests adds up the samples of the flow schemas.
func countRequests(metrics string) (Requests, error) {
	var total Requests
	for line := range strings.Lines(metrics) {
		if !strings.HasPrefix(line, requestsMetric+"{") {
			continue
		}
		labels, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		count, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return Requests{}, fmt.Errorf("the API server's metric %q: %w", strings.TrimSpace(line), err)
		}
		switch {
		case strings.Contains(labels, `flow_schema="`+schemaLeases+`"`):
			total.Leases += int(count)
		case strings.Contains(labels, `flow_schema="`+schemaWatches+`"`):
			total.Watches += int(count)
		case strings.Contains(labels, `flow_schema="`+schemaOther+`"`):
			total.Other += int(count)
		}
	}
	return total, nil
}
