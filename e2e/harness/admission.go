package harness

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The API server's own metrics about the webhooks that it calls.
const (
	metricCalls      = "apiserver_admission_webhook_request_total"
	metricFailedOpen = "apiserver_admission_webhook_fail_open_count"
	metricRejected   = "apiserver_admission_webhook_rejection_count"
)

// webhookSuffix ends the names of Sluice's webhooks.
const webhookSuffix = `.sluice.dev"`

// Sluice's own counts of what it answered, and of changes that it found without
// having been asked.
const (
	metricAnswers  = "sluice_admission_requests_total"
	metricCaughtUp = "sluice_changes_caught_up_total"
)

const (
	// callTimeout bounds a call to one of Sluice's pods.
	callTimeout = 30 * time.Second
	maxMetrics  = 16 << 20
)

// Admissions are the API server's own counts about Sluice's webhooks since it
// started, and those of Sluice's pods since they did.
type Admissions struct {
	// Calls that the API server made, answered or not.
	Calls int
	// FailedOpen are calls without an answer whose request went on.
	FailedOpen int
	// FailedClosed are calls without an answer whose request was refused.
	FailedClosed int
	// Answered are the calls that Sluice's ready pods have counted.
	Answered int
	// Broken are those of them that ended in an error or a panic inside.
	Broken int
	// CaughtUp are the changes that they found without having been asked.
	CaughtUp int
}

// Minus counts what came after an earlier count.
func (a Admissions) Minus(earlier Admissions) Admissions {
	return Admissions{
		Calls: a.Calls - earlier.Calls, FailedOpen: a.FailedOpen - earlier.FailedOpen, FailedClosed: a.FailedClosed - earlier.FailedClosed,
		Answered: a.Answered - earlier.Answered, Broken: a.Broken - earlier.Broken,
		CaughtUp: a.CaughtUp - earlier.CaughtUp,
	}
}

// Admissions reads the counts.
func (h *Harness) Admissions(ctx context.Context) (Admissions, error) {
	var a Admissions
	text, err := h.Cluster.Kubectl(ctx, "", "get", "--raw", "/metrics")
	if err != nil {
		return a, fmt.Errorf("read the API server's metrics: %w", err)
	}
	if err := a.countCalls(text); err != nil {
		return a, err
	}
	pods, err := h.SluicePods(ctx)
	if err != nil {
		return a, err
	}
	for _, pod := range pods {
		if !isReady(pod) {
			continue
		}
		text, err := h.podMetrics(ctx, pod.Status.PodIP)
		if err != nil {
			return a, fmt.Errorf("metrics of pod %s: %w", pod.Name, err)
		}
		if err := a.countAnswers(text); err != nil {
			return a, fmt.Errorf("metrics of pod %s: %w", pod.Name, err)
		}
	}
	return a, nil
}

func (a *Admissions) countCalls(metrics string) error {
	return samples(metrics, func(name, labels string, value int) {
		if !strings.Contains(labels, webhookSuffix) {
			return
		}
		switch name {
		case metricCalls:
			a.Calls += value
		case metricFailedOpen:
			a.FailedOpen += value
		case metricRejected:
			if !strings.Contains(labels, `error_type="no_error"`) {
				a.FailedClosed += value
			}
		}
	})
}

func (a *Admissions) countAnswers(metrics string) error {
	return samples(metrics, func(name, labels string, value int) {
		if name == metricCaughtUp {
			a.CaughtUp += value
			return
		}
		if name != metricAnswers {
			return
		}
		a.Answered += value
		if strings.Contains(labels, `outcome="failed"`) || strings.Contains(labels, `outcome="panicked"`) {
			a.Broken += value
		}
	})
}

// passing is how the API server logs that it goes on without an answer, and
// place what differs from one such line to the next.
var (
	passing = []byte("Failed calling webhook, failing open")
	place   = regexp.MustCompile(`\d+\.\d+\.\d+\.\d+:\d+|Post "[^"]*": `)
)

// LoggedBytes is the length of the API server's log; 0 where it cannot be
// read, as that of an existing cluster.
func (h *Harness) LoggedBytes() int64 {
	info, err := os.Stat(h.serverLog())
	if err != nil {
		return 0
	}
	return info.Size()
}

// Failures are the reasons why calls of Sluice's webhooks failed open, counted,
// from what the API server has logged since its log had a length.
func (h *Harness) Failures(since int64) map[string]int {
	log, err := os.ReadFile(h.serverLog())
	if err != nil || since > int64(len(log)) {
		return nil
	}
	out := map[string]int{}
	for line := range bytes.Lines(log[since:]) {
		if _, reason, found := bytes.Cut(line, []byte("failed to call webhook: ")); found && bytes.Contains(line, passing) {
			out[strings.TrimSpace(place.ReplaceAllString(string(reason), ""))]++
		}
	}
	return out
}

func (h *Harness) serverLog() string { return filepath.Join(h.Cluster.LogDir(), "kube-apiserver.log") }

// samples calls see with each sample of the few counters that count here.
func samples(metrics string, see func(name, labels string, value int)) error {
	for line := range strings.Lines(metrics) {
		name, rest, found := strings.Cut(strings.TrimSpace(line), "{")
		if !found || (!strings.HasPrefix(name, "apiserver_admission_webhook_") && name != metricAnswers && name != metricCaughtUp) {
			continue
		}
		labels, value, _ := strings.Cut(rest, "} ")
		count, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return fmt.Errorf("the metric %q: %w", strings.TrimSpace(line), err)
		}
		see(name, labels, int(count))
	}
	return nil
}

// podMetrics reads what one of Sluice's pods counts.
func (h *Harness) podMetrics(ctx context.Context, ip string) (string, error) {
	client := &http.Client{Timeout: callTimeout, Transport: &http.Transport{DialContext: h.Cluster.DialContext, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(ip, "8080")+"/metrics", nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("HTTP %s", response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxMetrics))
	return string(body), err
}
