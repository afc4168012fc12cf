package webhook

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Bounds of what a person is shown: the API server cuts warnings off at 256 bytes each and 4096 in all.
const (
	// MaxWarnings is the number of warnings in one answer.
	MaxWarnings = 15
	// MaxWarning is the length of one warning, in bytes.
	MaxWarning = 240
)

// warningPrefix tells who speaks: a warning reaches people who may not know that Sluice looks after this object.
const warningPrefix = "Sluice: "

// bounded returns the first MaxWarnings warnings, each on one line of at most MaxWarning bytes. Warnings come most important first.
func bounded(warnings []string) []string {
	if len(warnings) > MaxWarnings {
		more := len(warnings) - MaxWarnings + 1
		warnings = append(warnings[:MaxWarnings-1:MaxWarnings-1], fmt.Sprintf(warningPrefix+"%d more warnings are left out", more))
	}
	out := make([]string, 0, len(warnings))
	for _, w := range warnings {
		out = append(out, oneLine(w, MaxWarning))
	}
	return out
}

// oneLine cuts a text to limit bytes, at a character's border, and takes line breaks out.
func oneLine(text string, limit int) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= limit {
		return text
	}
	const ellipsis = "…"
	text = text[:limit-len(ellipsis)]
	for !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return text + ellipsis
}

// changeWarning says in one line what a change of the template leads to.
func changeWarning(c *v1beta1.Canary, held bool) string {
	switch {
	case held && initialising(c):
		return fmt.Sprintf(warningPrefix+"this change is held until the primary of canary %s serves the version before it; then %s", c.Name, plan(c))
	case held:
		return fmt.Sprintf(warningPrefix+"this change is held until traffic has left the canary of %s; then %s", c.Name, plan(c))
	case c.Spec.Suspend:
		return fmt.Sprintf(warningPrefix+"canary %s is suspended; this change is rolled out once spec.suspend is false", c.Name)
	default:
		return fmt.Sprintf(warningPrefix+"this change starts a canary rollout of %s: %s", c.Name, plan(c))
	}
}

func initialising(c *v1beta1.Canary) bool {
	return c.Status.Phase == "" || c.Status.Phase == v1beta1.PhaseInitializing
}

// plan describes the analysis of a change.
func plan(c *v1beta1.Canary) string {
	a := &c.Spec.Analysis
	every := a.CheckInterval()
	steps := a.Steps()
	switch {
	case c.Spec.SkipAnalysis:
		return "it is promoted without analysis (spec.skipAnalysis)"
	case a.Iterations > 0:
		return fmt.Sprintf("it is checked %d times, every %s", a.Iterations, every)
	case len(steps) == 0:
		return fmt.Sprintf("it is checked every %s", every)
	default:
		return fmt.Sprintf("%s of traffic, checked every %s", shares(steps), every)
	}
}

// shares lists steps, or their ends where there are many.
func shares(steps []int) string {
	const most = 6
	if len(steps) > most {
		return fmt.Sprintf("%d steps from %d %% to %d %%", len(steps), steps[0], steps[len(steps)-1])
	}
	texts := make([]string, len(steps))
	for i, s := range steps {
		texts[i] = fmt.Sprint(s)
	}
	return strings.Join(texts, ", ") + " %"
}

// deletionWarning says what goes on when a target is deleted under its Canary.
func deletionWarning(c *v1beta1.Canary) string {
	if initialising(c) {
		return fmt.Sprintf(warningPrefix+"the last revision is kept; canary %s waits for its target to come back", c.Name)
	}
	return fmt.Sprintf(warningPrefix+"the last revision is kept and the primary goes on serving; to leave, delete canary %s", c.Name)
}
