package core

import (
	"fmt"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// recently says how the metrics that this plan found wanting got there: their values over the last steps, the threshold, and when the last
// value was judged. It begins with a separator; it is empty where only hooks refused.
func (d *decision) recently() string {
	var text strings.Builder
	for _, c := range d.plan.Checks {
		a, known := d.in.Answers[c.Key]
		if !known || c.Kind != v1beta1.CheckMetric || a.Verdict == v1beta1.VerdictPass || d.dryRun(c) {
			continue
		}
		for _, r := range d.st.Checks {
			// The newest result comes first.
			if r.Kind == c.Kind && r.Name == c.Name {
				text.WriteString(course(&r))
				break
			}
		}
	}
	return text.String()
}

// course is the way of a metric through the last steps, in one line.
func course(r *v1beta1.CheckResult) string {
	if len(r.Recent) == 0 {
		return ""
	}
	var values []string
	for _, v := range r.Recent {
		value := v.Value
		if value == "" || v.Verdict == v1beta1.VerdictStale {
			value = strings.TrimSpace(value + " " + string(v.Verdict))
		}
		values = append(values, fmt.Sprintf("%s at %d%%", value, v.Weight))
	}
	accepted := ""
	if r.Threshold != "" {
		accepted = ", accepted " + r.Threshold
	}
	return fmt.Sprintf("; last values of %s: %s%s, at %s", r.Name, strings.Join(values, ", "), accepted, r.Time.UTC().Format(time.RFC3339))
}
