package webhook

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
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
		return fmt.Sprintf(warningPrefix+"this change is held until %s; then %s%s", heldUntil(c), plan(c), unlessBack(c))
	case c.Spec.Suspend:
		return fmt.Sprintf(warningPrefix+"canary %s is suspended; this change is rolled out once spec.suspend is false", c.Name)
	default:
		return fmt.Sprintf(warningPrefix+"this change starts a canary rollout of %s: %s%s", c.Name, plan(c), unlessBack(c))
	}
}

// heldUntil is what releases a hold.
func heldUntil(c *v1beta1.Canary) string {
	switch {
	case c.Status.TargetServes && c.Status.FailedRevision != "":
		return fmt.Sprintf("the primary of %s has the users, or its template is the one before", c.Name)
	case c.Status.TargetServes:
		return fmt.Sprintf("the primary of %s serves the users with the version before it", c.Name)
	case c.Status.Rollout == nil && c.Lifecycle() == v1beta1.LifecycleEphemeral:
		return fmt.Sprintf("its rollout begins, while the primary of %s goes on serving", c.Name)
	}
	return fmt.Sprintf("traffic has left the canary of %s", c.Name)
}

// unlessBack tells that there is a version before, which would not be analysed. Whether the change is that one, only a dry run finds out.
func unlessBack(c *v1beta1.Canary) string {
	switch {
	case c.Status.Rollout != nil || c.Status.FailedRevision != "":
		return ", unless it is the promoted version again"
	case c.Status.TargetServes && c.Status.RetainUntil != nil:
		return ", unless the primary is kept with that version: then users turn to it at once"
	}
	return ""
}

// stillHeld answers who takes a hold off by hand, as kubectl advises when it refuses to undo or restart what is paused.
func stillHeld(c *v1beta1.Canary) string {
	return fmt.Sprintf(warningPrefix+"%s stays held until %s. kubectl's rollout undo and restart are refused meanwhile: "+
		"apply the version that you want, it takes the place of this one", c.Spec.TargetRef.Name, heldUntil(c))
}

// pausedWarning tells of a change that its owner has put off.
func pausedWarning(c *v1beta1.Canary) string {
	return fmt.Sprintf(warningPrefix+"%s is paused by its owner: this change waits for kubectl rollout resume, and is rolled out by canary %s then",
		c.Spec.TargetRef.Name, c.Name)
}

// ownersPause tells whether the owner of a Deployment keeps it from rolling out, a hold aside.
func ownersPause(w *unstructured.Unstructured) bool {
	return w.GetKind() == revision.Deployment && !revision.RollsOut(w)
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
	if c.Status.TargetServes {
		return fmt.Sprintf(warningPrefix+"the last revision is kept and a primary of it is made for the users; to leave, delete canary %s", c.Name)
	}
	return fmt.Sprintf(warningPrefix+"the last revision is kept and the primary goes on serving; to leave, delete canary %s", c.Name)
}
