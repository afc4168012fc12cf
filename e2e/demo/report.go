package demo

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/traffic"
)

// row is a window with what users saw in it.
type row struct {
	window
	summary traffic.Summary
	// share of the new version; known tells whether one was expected.
	share traffic.Share
	known bool
}

func (e evidence) rows() []row {
	var out []row
	for _, w := range e.windows() {
		r := row{window: w, summary: e.recording.Between(w.from, w.to).Summary()}
		if r.summary.Requests == 0 {
			continue
		}
		weight, known := e.expected(w)
		r.known = known
		r.share = traffic.CheckShare(r.summary.ByVersion[e.version].Requests, r.summary.Requests, weight, traffic.DefaultConfidence)
		out = append(out, r)
	}
	return out
}

// findings are what is wrong with a rollout, in words; none means that all is
// as it should be.
func (e evidence) findings() []string {
	out := e.outcome()
	steps := 0
	for _, r := range e.rows() {
		if r.kind == step {
			steps++
		}
		if r.known && !r.share.OK() {
			out = append(out, fmt.Sprintf("%s: %s served %s", r.title(), e.version, r.share))
		}
	}
	if steps == 0 && !e.ended.IsZero() {
		out = append(out, "no user request was seen at any step")
	}
	return append(out, e.failures()...)
}

// outcome tells whether the rollout ended as it should.
func (e evidence) outcome() []string {
	want, serving := v1beta1.PhaseSucceeded, e.version
	if e.bad {
		want, serving = v1beta1.PhaseFailed, e.previous
	}
	var out []string
	if e.ended.IsZero() {
		return append(out, fmt.Sprintf("the rollout of %s did not end; it is in phase %q", e.version, e.phase))
	}
	if e.phase != want {
		out = append(out, fmt.Sprintf("the rollout of %s ended in phase %s, it should be %s", e.version, e.phase, want))
	}
	if e.serving != serving {
		out = append(out, fmt.Sprintf("the primary serves version %q, it should be %s", e.serving, serving))
	}
	return out
}

// failures are those that no user should have seen: of a good version all, of a
// bad one those that the bad version did not answer, or not while it was at a
// step.
func (e evidence) failures() []string {
	if !e.bad {
		if s := e.recording.Summary(); s.Failed > 0 {
			return []string{fmt.Sprintf("%d of %d user requests failed: %s", s.Failed, s.Requests, s.Failure())}
		}
		return nil
	}
	var outside, others traffic.Recording
	from, to := e.exposed()
	for _, result := range e.recording.Failures() {
		switch {
		case from.IsZero(), result.Start.Before(from), !to.IsZero() && result.Start.After(to):
			outside.Results = append(outside.Results, result)
		case result.Version != e.version:
			others.Results = append(others.Results, result)
		}
	}
	var out []string
	if s := outside.Summary(); s.Failed > 0 {
		out = append(out, fmt.Sprintf("%d user requests failed before the first step or after the rollback: %s", s.Failed, s.Failure()))
	}
	if s := others.Summary(); s.Failed > 0 {
		out = append(out, fmt.Sprintf("%d user requests failed that %s did not answer: %s", s.Failed, e.version, s.Failure()))
	}
	return append(out, e.beyond()...)
}

// exposed is the time in which users may have met the new version: from its
// first weight until the gateway had the last one taken away. Both are zero if
// there never was one; the end is zero if it still is.
func (e evidence) exposed() (from, to time.Time) {
	open := false
	for _, m := range e.moments {
		switch {
		case m.RouteWeight > 0 && !open:
			open, to = true, time.Time{}
			if from.IsZero() {
				from = m.At.Add(-guard)
			}
		case m.RouteWeight <= 0 && open:
			open, to = false, m.At.Add(settle)
		}
	}
	return from, to
}

// beyond finds weights above those at which checks were answered.
func (e evidence) beyond() []string {
	analysed, reached := 0, 0
	for _, m := range e.moments {
		reached = max(reached, m.RouteWeight)
		if m.Canary == nil || m.Canary.Status.AnalysedRevision == "" {
			continue
		}
		for _, c := range m.Canary.Status.Checks {
			if c.Kind == v1beta1.CheckMetric && c.Time.After(e.deployed.Add(-time.Second)) {
				analysed = max(analysed, int(c.Weight))
			}
		}
	}
	if reached > analysed {
		return []string{fmt.Sprintf("users met %s at weight %d, but it was analysed up to weight %d only", e.version, reached, analysed)}
	}
	return nil
}

func (r row) title() string {
	if r.kind == step {
		return fmt.Sprintf("step %d %%", r.weight)
	}
	return r.name
}

// print writes the table of a rollout.
func (e evidence) print(w io.Writer) {
	what, fate := "good", "promoted"
	if e.bad {
		what, fate = "bad", "rolled back"
	}
	if len(e.outcome()) > 0 {
		fate = "NOT " + fate
	}
	fmt.Fprintf(w, "%s, the %s version: %s%s\n", e.version, what, fate, e.timing())
	fmt.Fprintf(w, "  %-12s %9s %9s %9s  %8s %8s  %-15s %7s %9s\n",
		"", "requests", e.previous, e.version, "expected", "observed", "sampling error", "failed", "p99")
	for _, r := range e.rows() {
		expected, allowed := "-", "-"
		if weight, known := e.expected(r.window); known {
			expected = fmt.Sprintf("%d %%", weight)
			allowed = fmt.Sprintf("%.1f to %.1f %%", percent(r.share.Low, r.share.Total), percent(r.share.High, r.share.Total))
		}
		fmt.Fprintf(w, "  %-12s %9d %9d %9d  %8s %8s  %-15s %7d %9s\n", r.title(), r.summary.Requests,
			r.summary.ByVersion[e.previous].Requests, r.summary.ByVersion[e.version].Requests,
			expected, fmt.Sprintf("%.1f %%", r.share.Percent()), allowed, r.summary.Failed, milliseconds(r.summary.P99))
	}
	all := e.recording.Summary()
	fmt.Fprintf(w, "  all %d requests, also those while weights changed: %d failed", all.Requests, all.Failed)
	if all.Failed > 0 {
		fmt.Fprintf(w, " (%s)", all.Failure())
	}
	if all.Skipped > 0 {
		fmt.Fprintf(w, "; %d were not sent because too many were under way", all.Skipped)
	}
	fmt.Fprintln(w)
}

func (e evidence) timing() string {
	var parts []string
	if !e.noticed.IsZero() {
		parts = append(parts, noticedAfter(e.noticed.Sub(e.deployed)))
	}
	if !e.ended.IsZero() {
		parts = append(parts, fmt.Sprintf("over after %s", e.ended.Sub(e.deployed).Round(time.Second)))
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// noticedAfter tells how long it took from the end of kubectl apply, which the
// controller may well beat.
func noticedAfter(d time.Duration) string {
	if d <= 0 {
		return "noticed before kubectl had ended"
	}
	return fmt.Sprintf("noticed after %s", d.Round(10*time.Millisecond))
}

func percent(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
