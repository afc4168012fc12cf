package core

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// This file holds what an edit of the Canary's analysis means to a rollout that is under way. Intervals, thresholds, metrics and hooks count from
// the next decision on and need nothing of this.

// course names what the rollout goes by: the strategy and whom it means, then a bar, then the steps.
func (d *decision) course() string {
	s := d.strategy()
	audience := s.name
	if match := d.spec.Analysis.Match; len(match) > 0 && s.name != "skip" {
		// Maps are written in the order of their keys.
		raw, err := json.Marshal(match)
		if err != nil {
			raw = fmt.Append(nil, match)
		}
		sum := sha256.Sum256(raw)
		audience += " " + hex.EncodeToString(sum[:4])
	}
	steps := s.steps(d.spec, d.in.Traffic)
	stops := make([]string, 0, len(steps))
	for _, stop := range steps {
		stops = append(stops, stop.course())
	}
	return audience + " | " + compress(stops)
}

func (s step) course() string {
	if s.mirror > 0 {
		return fmt.Sprintf("mirror %d", s.mirror)
	}
	return fmt.Sprint(s.weight)
}

// compress writes repeated stops once, with their number.
func compress(stops []string) string {
	var out []string
	for i := 0; i < len(stops); {
		n := i
		for n < len(stops) && stops[n] == stops[i] {
			n++
		}
		text := stops[i]
		if n-i > 1 {
			text = fmt.Sprintf("%d × %s", n-i, text)
		}
		out, i = append(out, text), n
	}
	return strings.Join(out, ", ")
}

// followEdit tells whether the analysis was edited since the rollout's step began, and the stage that follows from it.
//
// A skip promotes at once. Another strategy, or other conditions on requests, mean other users: the analysis starts over, from the primary. Other
// steps of the same strategy go on at the last one that has no more users than are on the canary now, or at the first.
func (d *decision) followEdit() (v1beta1.Stage, bool) {
	ro, now := d.ro(), d.course()
	before := ro.Course
	if before == now {
		return "", false
	}
	ro.Course = now
	if before == "" {
		// Written by a version that did not know of courses.
		ro.Step = min(ro.Step, max(int32(len(d.steps()))-1, 0))
		return "", false
	}
	if len(d.steps()) == 0 {
		if d.paused() {
			// What has no steps is not judged either.
			ro.Course = before
			return v1beta1.StageAnalysing, true
		}
		d.normal("AnalysisSkipped", "Analysis of %s is skipped from here on", d.target())
		return v1beta1.StagePromoting, true
	}
	if who, _, _ := strings.Cut(before, " |"); !strings.HasPrefix(now, who+" |") {
		d.warn("AnalysisEdited", "The analysis of %s was changed to another strategy; it starts over", d.target())
		ro.Reason = fmt.Sprintf("the analysis was changed from %q to %q", before, now)
		return v1beta1.StageFencing, true
	}
	const here = v1beta1.StageAnalysing
	next := d.nearest()
	if s := d.steps()[next]; s.weight > d.st.CanaryWeight {
		if stage, held := d.needCanary(here); held {
			// The step is still one of the list before.
			ro.Course = before
			return stage, true
		}
		if !d.mayIncrease(s) {
			// Until its gates agree the edit is not followed.
			ro.Course = before
			return here, true
		}
	}
	d.resumeAt(next)
	d.again(0)
	return here, true
}

// nearest finds the place of a rollout in an edited list of steps: the last step with no more users than the canary has, or the first. Of several
// alike it is the one of the same number, as far as there is one.
func (d *decision) nearest() int32 {
	steps := d.steps()
	best, first, last := int32(-1), 0, 0
	for i, s := range steps {
		switch {
		case s.weight > d.st.CanaryWeight || s.weight < best:
		case s.weight > best:
			best, first, last = s.weight, i, i
		default:
			last = i
		}
	}
	if best < 0 {
		return 0
	}
	return min(max(d.ro().Step, int32(first)), int32(last))
}

// resumeAt goes on at a step. What is in force already is not entered anew.
func (d *decision) resumeAt(i int32) {
	s := d.steps()[i]
	same := s.weight == d.st.CanaryWeight && s.mirror == d.st.MirrorWeight && s.match == d.st.CanaryMatched
	d.normal("AnalysisEdited", "The analysis of %s was changed; it goes on with %s", d.target(), s.label)
	d.ro().Step = i
	if !same {
		d.enterStep()
	}
}
