package demo

import (
	"fmt"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/harness"
	"github.com/sluice-dev/sluice/e2e/traffic"
)

// recent is the span that the live view tells of.
const recent = 3 * time.Second

const barWidth = 30

// frame renders the live view: where the rollout stands, what users see, what
// the checks said. state changes when the rollout has moved on. Until it has
// begun the Canary's phase is still that of the one before.
func frame(version string, begun bool, m harness.Moment, users traffic.Summary) (state string, lines []string) {
	status := v1beta1.CanaryStatus{}
	if m.Canary != nil {
		status = m.Canary.Status
	}
	where := string(status.Phase)
	if stage := m.Stage(); stage != "" {
		where += ", " + string(stage)
	}
	if !begun {
		where = "not applied yet"
	}
	weight := max(m.RouteWeight, 0)
	state = fmt.Sprintf("%s %d %d", where, weight, status.FailedChecks)
	lines = []string{
		fmt.Sprintf("%-8s %s %3d %%  %s", version, bar(weight), weight, where),
		"users    " + usersLine(users),
	}
	if checks := checksLine(status); checks != "" {
		lines = append(lines, "checks   "+checks)
	}
	return state, lines
}

func bar(percent int) string {
	full := percent * barWidth / 100
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", barWidth-full) + "]"
}

func usersLine(s traffic.Summary) string {
	parts := []string{
		fmt.Sprintf("%.0f requests/s", float64(s.Requests)/recent.Seconds()),
		fmt.Sprintf("success %.1f %%", s.SuccessRate()),
		fmt.Sprintf("p50 %s p99 %s", milliseconds(s.P50), milliseconds(s.P99)),
	}
	for _, version := range s.Versions() {
		parts = append(parts, fmt.Sprintf("%s %.0f %%", version, percent(s.ByVersion[version].Requests, s.Requests)))
	}
	return strings.Join(parts, " | ")
}

// checksLine shows the newest answer of each metric of the rollout.
func checksLine(status v1beta1.CanaryStatus) string {
	if status.Rollout == nil {
		return ""
	}
	var parts []string
	seen := map[string]bool{}
	for _, c := range status.Checks {
		if c.Kind != v1beta1.CheckMetric || seen[c.Name] || c.Time.Time.Before(status.Rollout.StageSince.Time) {
			continue
		}
		seen[c.Name] = true
		parts = append(parts, fmt.Sprintf("%s %s (%s) %s", c.Name, orDash(c.Value), c.Threshold, c.Verdict))
	}
	if status.FailedChecks > 0 {
		parts = append(parts, fmt.Sprintf("%d failed", status.FailedChecks))
	}
	return strings.Join(parts, " | ")
}

func orDash(value string) string {
	if value == "" {
		return "-"
	}
	return value
}
