package webhook

import (
	"fmt"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core/preview"
)

// foreseen is a change and what it would lead to.
type foreseen struct {
	preview.Outlook
	digest   string
	replicas int32
	// held tells that the change would be stored without rolling out at first, paused that its owner keeps the workload from rolling out.
	held, paused bool
}

// foretell says it to people, most important first: what happens, then when, then what has to agree. It is a pure function.
func foretell(c *v1beta1.Canary, f foreseen) []string {
	name := c.Spec.TargetRef.Name
	switch {
	case f.Reverted:
		return []string{warning("this change takes %s back to the promoted revision %s: the rollout of %s ends and %s, %s",
			name, short(f.digest), short(revisionOf(c.Status.Rollout)), returning(c), within(f.Shortest))}
	case f.WayBack:
		return []string{warning("this change takes %s back to revision %s, which its primary is kept with: users turn to that at once, "+
			"and to the target when it has followed; nothing is analysed; %s", name, short(f.digest), within(f.Shortest))}
	case f.Moves && len(f.Steps) == 0:
		return []string{warning("this change takes %s back to the promoted revision %s: users return to it when its pods are ready; nothing is analysed; %s",
			name, short(f.digest), within(f.Shortest))}
	case !f.Starts:
		return noRollout(c, f)
	}
	lines := append([]string{beginning(c, f)}, obstacles(c, f)...)
	return append(lines, ahead(c, f)...)
}

// returning is what becomes of the users of a rollout that is taken back.
func returning(c *v1beta1.Canary) string {
	switch {
	case c.Status.TargetServes:
		return "no pod is replaced"
	case c.Lifecycle() == v1beta1.LifecycleEphemeral:
		return "its users return to the primary, then to the target"
	}
	return "its users return to the primary"
}

// within is how soon something is done.
func within(d time.Duration) string {
	if d <= 0 {
		return "at once if all goes well"
	}
	return fmt.Sprintf("within %s if all goes well", upTo(d))
}

// warning is one line for people.
func warning(format string, args ...any) string { return fmt.Sprintf(warningPrefix+format, args...) }

// noRollout tells of a change that nothing follows.
func noRollout(c *v1beta1.Canary, f foreseen) []string {
	name := c.Spec.TargetRef.Name
	lines := []string{warning("this change starts no rollout of %s: %s", name, notStarting(c, f))}
	if f.replicas > 0 && !c.Status.TargetServes && !initialising(c) && c.Status.Rollout == nil {
		lines = append(lines, warning("%d replicas on the idle target %s serve nobody: the primary has the users; what a rollout begins with are these",
			f.replicas, name))
	}
	return lines
}

// beginning tells which rollout follows, and what becomes of the one under way.
func beginning(c *v1beta1.Canary, f foreseen) string {
	name, ro := c.Spec.TargetRef.Name, c.Status.Rollout
	switch {
	case ro == nil:
		return warning("this change starts a rollout of %s to revision %s: %s", name, short(f.digest), course(f))
	case ro.Revision == f.digest:
		return warning("this change starts no other rollout: that of revision %s of %s goes on", short(f.digest), name)
	case unmet(c):
		return warning("this change takes the place of revision %s, which no user has met (%s): revision %s of %s is rolled out: %s",
			short(ro.Revision), ro.Stage, short(f.digest), name, course(f))
	}
	return warning("this change overtakes the rollout of revision %s (%s, weight %d): its users leave the canary, then revision %s of %s is rolled out: %s",
		short(ro.Revision), ro.Stage, c.Status.CanaryWeight, short(f.digest), name, course(f))
}

// unmet tells that the canary of a rollout has not begun, so that nobody can be on it.
func unmet(c *v1beta1.Canary) bool {
	switch c.Status.Rollout.Stage {
	case v1beta1.StageSettling, v1beta1.StageConfirming, v1beta1.StageTurning:
		return true
	}
	return false
}

// ahead tells which steps a rollout takes, and who has to agree or is told.
func ahead(c *v1beta1.Canary, f foreseen) []string {
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, warning(format, args...)) }
	if len(f.Steps) == 0 {
		say("no analysis: %s", whySkipped(c))
	} else {
		then := "the primary is given the revision, and the users"
		if c.Lifecycle() == v1beta1.LifecycleEphemeral {
			then = "all users turn to these pods"
		}
		say("steps: %s; then %s", strings.Join(f.Steps, ", "), then)
	}
	a := &c.Spec.Analysis
	if len(f.Checks) > 0 && len(f.Steps) > 0 {
		say("checks at each step, every %s: %s; %d failed rounds roll it back", a.CheckInterval(), strings.Join(f.Checks, ", "), a.FailureThreshold())
	}
	if len(f.Gates) > 0 {
		say("gates that have to agree, however long that takes: %s", strings.Join(f.Gates, ", "))
	}
	if len(f.Hooks) > 0 {
		say("hooks that are asked or told: %s", strings.Join(f.Hooks, ", "))
	}
	return lines
}

// course is how a rollout goes, in a few words.
func course(f foreseen) string {
	if f.Phase == "" {
		return fmt.Sprintf("%d steps; how long it takes cannot be foretold (%s)", len(f.Steps), f.Why)
	}
	return fmt.Sprintf("%d steps, at least %s", len(f.Steps), upTo(f.Shortest))
}

// obstacles are what keeps a rollout from beginning, or from going on.
func obstacles(c *v1beta1.Canary, f foreseen) []string {
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, warning(format, args...)) }
	if c.Spec.Suspend {
		say("it waits: the Canary is suspended; set spec.suspend to false")
	}
	if p := c.Status.Paused; p != nil {
		say("it waits: %s has paused canary %s; kubectl annotate canary %s %s=resume", p.By, c.Name, c.Name, v1beta1.AnnotationVerb)
	}
	if f.paused {
		say("it waits: the %s is paused by its owner; kubectl rollout resume", c.Spec.TargetRef.Kind)
	}
	switch {
	case initialising(c):
		say("it waits until the primary of canary %s serves the version before it", c.Name)
	case f.held:
		say("it is stored at once, but its pods are held back until no user can meet them unanalysed")
	}
	return lines
}

// notStarting says why nothing follows.
func notStarting(c *v1beta1.Canary, f foreseen) string {
	switch f.digest {
	case c.Status.PromotedRevision:
		return fmt.Sprintf("template and configs are those of the promoted revision %s", short(f.digest))
	case c.Status.FailedRevision:
		return fmt.Sprintf("revision %s has failed before, or another was restored in its place; to analyse it again: kubectl annotate canary %s %s=%s",
			short(f.digest), c.Name, v1beta1.AnnotationVerb, v1beta1.VerbRetry)
	}
	return f.Why
}

func whySkipped(c *v1beta1.Canary) string {
	switch by := c.Status.SkipNextBy; {
	case c.Spec.SkipAnalysis:
		return "spec.skipAnalysis is set; the revision is promoted at once"
	case by != "":
		return fmt.Sprintf("%s has asked for the next one to be skipped; the revision is promoted at once", by)
	}
	return "the Canary has no steps"
}

// revisionOf is the revision of a rollout.
func revisionOf(ro *v1beta1.RolloutStatus) string {
	if ro == nil {
		return "?"
	}
	return ro.Revision
}

// short is the beginning of a digest, which is enough to tell revisions apart.
func short(digest string) string { return digest[:min(len(digest), 12)] }

// upTo is a duration in whole seconds, never too short.
func upTo(d time.Duration) time.Duration { return (d + time.Second - 1).Truncate(time.Second) }
