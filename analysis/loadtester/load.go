package loadtester

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rakyll/hey/requester"
)

// Summary tells what became of a load.
type Summary struct {
	// Requests counts all requests, Codes the answers by status, Errors those without an answer by reason.
	Requests int            `json:"requests"`
	Codes    map[string]int `json:"codes"`
	Errors   map[string]int `json:"errors"`
	// Seconds that the load took, and that the fastest and slowest answer took.
	Seconds float64 `json:"seconds"`
	Fastest float64 `json:"fastest"`
	Slowest float64 `json:"slowest"`
	// Latencies are the seconds within which a percentage of the answers came.
	Latencies []requester.LatencyDistribution `json:"latencies"`
}

// summaryTemplate has hey write its report as a Summary in JSON.
const summaryTemplate = `{"requests":{{ .NumRes }},"codes":{{ jsonify .StatusCodeDist }},"errors":{{ jsonify .ErrorDist }},` +
	`"seconds":{{ formatNumber .Total.Seconds }},"fastest":{{ formatNumber .Fastest }},"slowest":{{ formatNumber .Slowest }},` +
	`"latencies":{{ jsonify .LatencyDistribution }}}`

// Send sends a load and returns when it is through. When the context ends first, open requests are aborted, and the error is the
// context's cause beside the Summary of what was sent. Certificates are not verified, as with hey.
func (l *Load) Send(ctx context.Context) (Summary, error) {
	var conns connections
	defer conns.close()
	traced := ctx
	if !l.DisableKeepAlive {
		traced = conns.trace(ctx)
	}
	req, err := l.request(traced)
	if err != nil {
		return Summary{}, err
	}
	var report bytes.Buffer
	work := &requester.Work{
		Request:            req,
		RequestBody:        l.Body,
		N:                  l.total(),
		C:                  l.Workers,
		QPS:                l.Rate,
		Timeout:            int(l.RequestTimeout / time.Second),
		H2:                 l.HTTP2,
		DisableCompression: l.DisableCompression,
		DisableKeepAlives:  l.DisableKeepAlive,
		DisableRedirects:   l.DisableRedirects,
		ProxyAddr:          l.Proxy,
		Output:             summaryTemplate,
		Writer:             &report,
	}
	work.Init()
	// The channel behind Stop has room for one call only; a second one would block for ever.
	stop := sync.OnceFunc(work.Stop)
	defer context.AfterFunc(ctx, stop)()
	if l.Duration > 0 {
		defer time.AfterFunc(l.Duration, stop).Stop()
	}
	work.Run()

	var summary Summary
	if err := json.Unmarshal(report.Bytes(), &summary); err != nil {
		return Summary{}, fmt.Errorf("read the report of the load: %w", err)
	}
	if ctx.Err() != nil {
		return summary, context.Cause(ctx)
	}
	return summary, nil
}

// String describes the load in one line, without what may be confidential: query, headers and body.
func (l *Load) String() string {
	amount := fmt.Sprintf("%d requests", l.Requests)
	if l.Duration > 0 {
		amount = "for " + l.Duration.String()
	}
	rate := ""
	if l.Rate > 0 {
		rate = fmt.Sprintf(" at %v/s each", l.Rate)
	}
	return fmt.Sprintf("%s %s://%s%s, %s, %d workers%s", l.Method, l.URL.Scheme, l.URL.Host, l.URL.EscapedPath(), amount, l.Workers, rate)
}

func (l *Load) request(ctx context.Context) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, l.Method, l.URL.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("build the request: %w", err)
	}
	req.Header = l.Header
	req.ContentLength = int64(len(l.Body))
	if l.Host != "" {
		req.Host = l.Host
	}
	return req, nil
}

// total returns how many requests hey may send. With a duration that alone should count, but hey reserves memory for the number:
// where a rate bounds it, a little more than fits into the duration is enough.
func (l *Load) total() int {
	switch {
	case l.Duration == 0:
		return l.Requests
	case l.Rate == 0:
		return math.MaxInt32
	default:
		each := math.Ceil(l.Rate*l.Duration.Seconds()) + 2
		return int(min(each*float64(l.Workers), math.MaxInt32))
	}
}

// maxConnections bounds what is collected when a server keeps closing connections.
const maxConnections = 10_000

// connections collects the connections of a load in order to close them: hey leaves them open for as long as the server does. That
// remains so for the few that net/http opens in advance and no request ever uses, which nobody outside hey can reach.
type connections struct {
	mu   sync.Mutex
	open map[net.Conn]bool
}

func (c *connections) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.open == nil {
			c.open = map[net.Conn]bool{}
		}
		if len(c.open) < maxConnections {
			c.open[info.Conn] = true
		}
	}})
}

func (c *connections) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.open {
		_ = conn.Close() // most are closed already
	}
}

// Failed counts the requests without an answer.
func (s Summary) Failed() int {
	n := 0
	for _, count := range s.Errors {
		n += count
	}
	return n
}

// String describes the load in one line.
func (s Summary) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests in %.1fs", s.Requests, s.Seconds)
	for _, code := range slices.Sorted(maps.Keys(s.Codes)) {
		fmt.Fprintf(&b, ", %s: %d", code, s.Codes[code])
	}
	for _, latency := range s.Latencies {
		if latency.Percentage == 50 || latency.Percentage == 99 {
			fmt.Fprintf(&b, ", p%d %.0fms", latency.Percentage, latency.Latency*1000)
		}
	}
	reasons := slices.SortedFunc(maps.Keys(s.Errors), func(a, b string) int {
		return cmp.Or(s.Errors[b]-s.Errors[a], strings.Compare(a, b))
	})
	for _, reason := range reasons[:min(len(reasons), 3)] {
		fmt.Fprintf(&b, ", failed: %d (%s)", s.Errors[reason], reason)
	}
	return b.String()
}
