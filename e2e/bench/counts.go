package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/rest"
)

// counts are what a number of changes caused.
type counts struct {
	changes int
	// calls of the webhook by the API server, answered what Sluice says that it
	// answered, failed those that it could not handle completely.
	calls, answered, failed int
	// requests of Sluice to the API server, watches and the lease aside, as
	// "verb resource".
	requests []string
}

// counter reads what the parties count by themselves.
type counter struct {
	k *cluster
}

// reading is the state of all counters at one moment.
type reading struct {
	noop, sluice, answered, failed int
	// logged is the length of the audit log.
	logged int64
}

func (c counter) read(ctx context.Context) (reading, error) {
	var r reading
	text, err := get(ctx, c.k.gated, "/metrics")
	if err != nil {
		return r, fmt.Errorf("metrics of the API server: %w", err)
	}
	calls := sum(string(text), "apiserver_admission_webhook_request_total", func(labels string) bool { return strings.Contains(labels, `.sluice.dev"`) })
	r.noop = sum(string(text), "apiserver_admission_webhook_request_total", func(labels string) bool { return strings.Contains(labels, `name="noop-`) })
	r.sluice = calls - r.noop
	text, err = get(ctx, &rest.Config{Host: fmt.Sprintf("http://127.0.0.1:%d", c.k.ports["metrics"])}, "/metrics")
	if err != nil {
		return r, fmt.Errorf("metrics of Sluice: %w", err)
	}
	const answered = "sluice_admission_requests_total"
	r.answered = sum(string(text), answered, func(string) bool { return true })
	r.failed = sum(string(text), answered, func(labels string) bool {
		return strings.Contains(labels, `outcome="failed"`) || strings.Contains(labels, `outcome="panicked"`)
	})
	info, err := os.Stat(c.k.auditLog)
	if err != nil {
		return r, fmt.Errorf("audit log: %w", err)
	}
	r.logged = info.Size()
	return r, nil
}

// sum adds up the samples of a metric.
func sum(text, metric string, counted func(labels string) bool) int {
	total := 0.0
	for line := range strings.Lines(text) {
		labels, value, ok := strings.Cut(strings.TrimSpace(line), "} ")
		if !ok || !strings.HasPrefix(labels, metric+"{") || !counted(labels) {
			continue
		}
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			total += n
		}
	}
	return int(total)
}

// requests lists what Sluice sent between two lengths of the audit log.
func (c counter) requests(from, to int64) ([]string, error) {
	file, err := os.Open(c.k.auditLog)
	if err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	defer func() { _ = file.Close() }()
	var out []string
	lines := bufio.NewScanner(io.NewSectionReader(file, from, to-from))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event struct {
			Verb      string `json:"verb"`
			ObjectRef struct {
				Resource, Name string
			} `json:"objectRef"`
		}
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return nil, fmt.Errorf("audit log: %w", err)
		}
		if event.Verb != "watch" && event.ObjectRef.Resource != "leases" {
			out = append(out, event.Verb+" "+event.ObjectRef.Resource)
		}
	}
	return out, lines.Err()
}

// count changes every application of a scenario once and returns what that
// caused. Pause is time for Sluice to see the last status.
func (c counter) count(ctx context.Context, s *scenario, pause time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(pause):
	}
	before, err := c.read(ctx)
	if err != nil {
		return err
	}
	for i, a := range s.apps {
		if _, err := s.once(ctx, a, i); err != nil {
			return err
		}
	}
	after, err := c.read(ctx)
	if err != nil {
		return err
	}
	s.counts = counts{changes: len(s.apps), calls: after.sluice - before.sluice, answered: after.answered - before.answered, failed: after.failed - before.failed}
	if s.gate == gateNoop {
		s.counts.calls = after.noop - before.noop
	}
	s.counts.requests, err = c.requests(before.logged, after.logged)
	return err
}

// judge returns what the counts have against what is promised.
func judge(all []*scenario) []string {
	var problems []string
	noop := map[string]int{}
	for _, s := range all {
		if s.gate == gateNoop {
			noop[s.what] = s.counts.calls
		}
	}
	for _, s := range all {
		for _, p := range append(s.judgeCalls(noop[s.what]), s.judgeRequests()...) {
			problems = append(problems, s.gate+", "+s.what+": "+p)
		}
	}
	return problems
}

// judgeCalls compares the calls with the no-op webhook's.
func (s *scenario) judgeCalls(noop int) []string {
	c := s.counts
	switch {
	case !s.calls && c.calls > 0:
		return []string{fmt.Sprintf("%d calls of the webhook for %d changes, want none", c.calls, c.changes)}
	case s.calls && c.calls < c.changes:
		return []string{fmt.Sprintf("%d calls of the webhook for %d changes, want one or more for each", c.calls, c.changes)}
	case s.calls && c.calls != noop:
		return []string{fmt.Sprintf("%d calls, the no-op webhook has %d: they cannot be compared", c.calls, noop)}
	}
	return nil
}

// judgeRequests looks at what Sluice says and sends.
func (s *scenario) judgeRequests() []string {
	c := s.counts
	var problems []string
	if (s.gate == gateTracked || s.gate == gateGuarded) && c.answered != c.calls {
		problems = append(problems, fmt.Sprintf("the API server called %d times, Sluice counts %d answers", c.calls, c.answered))
	}
	if len(c.requests) > 0 {
		problems = append(problems, fmt.Sprintf("Sluice sent %d requests to the API server for %d changes, want none: %s",
			len(c.requests), c.changes, strings.Join(compact(c.requests), ", ")))
	}
	return problems
}

// compact lists each text once, with how often it occurs.
func compact(texts []string) []string {
	n := map[string]int{}
	var order []string
	for _, t := range texts {
		if n[t] == 0 {
			order = append(order, t)
		}
		n[t]++
	}
	for i, t := range order {
		order[i] = fmt.Sprintf("%d × %s", n[t], t)
	}
	return order
}
