package bench

import (
	"fmt"
	"strings"
	"time"
)

// render writes the table in Markdown. Ratios are against the no-op webhook for
// the same kind of object.
func render(all []*scenario) string {
	base, noop := map[string]*scenario{}, map[string]*scenario{}
	for _, s := range all {
		switch s.gate {
		case gateNone:
			base[s.what] = s
		case gateNoop:
			noop[s.what] = s
		}
	}
	var b strings.Builder
	fmt.Fprintln(&b, "| change | through | p50 | p99 | added p50 | added p99 | p50 ÷ no-op | changes/s | webhook calls | API requests |")
	fmt.Fprintln(&b, "|---|---|---|---|---|---|---|---|---|---|")
	for _, s := range all {
		kind, _, _ := strings.Cut(s.what, ":")
		p50, p99 := quantile(s.took, .5), quantile(s.took, .99)
		added50, added99, ratio, requests := "", "", "", ""
		if from := base[kind]; from != s {
			added50, added99 = signed(p50-quantile(from.took, .5)), signed(p99-quantile(from.took, .99))
		}
		if against := quantile(noop[kind].took, .5); against > 0 && s.gate != gateNone {
			ratio = fmt.Sprintf("%.2f", float64(p50)/float64(against))
		}
		if strings.HasPrefix(s.gate, gateSluice) {
			requests = fmt.Sprint(len(s.counts.requests))
		}
		calls := fmt.Sprintf("%d for %d", s.counts.calls, s.counts.changes)
		if s.gate == gateNone {
			calls = ""
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %.0f | %s | %s |\n",
			s.what, s.gate, millis(p50), millis(p99), added50, added99, ratio, s.throughput, calls, requests)
	}
	return b.String()
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

func signed(d time.Duration) string {
	if d < 0 {
		return "−" + millis(-d)
	}
	return "+" + millis(d)
}
