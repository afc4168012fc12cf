package webhook

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core/preview"
)

// What is said of an outlook, most important first.
func TestForetell(t *testing.T) {
	resting := func(edits ...func(*v1beta1.Canary)) *v1beta1.Canary {
		c := canary("test", "web")
		c.Status.Phase, c.Status.PromotedRevision = v1beta1.PhaseSucceeded, "aaaa"
		for _, edit := range edits {
			edit(c)
		}
		return c
	}
	running := resting(func(c *v1beta1.Canary) {
		c.Status.CanaryWeight, c.Status.Rollout = 20, &v1beta1.RolloutStatus{Revision: "bbbb", Stage: v1beta1.StageAnalysing}
	})
	good := preview.Outlook{
		Starts: true, Phase: v1beta1.PhaseSucceeded, Shortest: 90*time.Second + time.Millisecond, Steps: []string{"weight 20", "weight 50"},
		Checks: []string{"success"}, Gates: []string{"confirm-promotion boss"}, Hooks: []string{"rollout load"},
	}
	steps := []string{
		"Sluice: steps: weight 20, weight 50; then the primary is given the revision, and the users",
		"Sluice: checks at each step, every 30s: success; 5 failed rounds roll it back",
		"Sluice: gates that have to agree, however long that takes: confirm-promotion boss",
		"Sluice: hooks that are asked or told: rollout load",
	}
	starts := "Sluice: this change starts a rollout of web to revision cccc: 2 steps, at least 1m31s"
	for name, test := range map[string]struct {
		canary *v1beta1.Canary
		what   foreseen
		want   []string
	}{
		"starts":    {resting(), foreseen{Outlook: good, digest: "cccc"}, slices.Concat([]string{starts}, steps)},
		"overtakes": {running, foreseen{Outlook: good, digest: "cccc", held: true}, slices.Concat([]string{"Sluice: this change overtakes the rollout of revision bbbb (Analysing, weight 20): its users leave the canary, then revision cccc of web is rolled out: 2 steps, at least 1m31s", "Sluice: it is stored at once, but its pods are held back until no user can meet them unanalysed"}, steps)},
		"goes on":   {running, foreseen{Outlook: good, digest: "bbbb"}, slices.Concat([]string{"Sluice: this change starts no other rollout: that of revision bbbb of web goes on"}, steps)},
		"reverted": {running, foreseen{Outlook: preview.Outlook{Reverted: true, Shortest: 3 * time.Second}, digest: "aaaa"},
			[]string{"Sluice: this change takes web back to the promoted revision aaaa: the rollout of bbbb ends and its users return to the primary, within 3s if all goes well"}},
		"reverted, ephemeral": {ephemeralOf(running, false), foreseen{Outlook: preview.Outlook{Reverted: true, Shortest: time.Second}, digest: "aaaa"},
			[]string{"Sluice: this change takes web back to the promoted revision aaaa: the rollout of bbbb ends and its users return to the primary, then to the target, within 1s if all goes well"}},
		"reverted at home": {ephemeralOf(running, true), foreseen{Outlook: preview.Outlook{Reverted: true}, digest: "aaaa"},
			[]string{"Sluice: this change takes web back to the promoted revision aaaa: the rollout of bbbb ends and no pod is replaced, at once if all goes well"}},
		"kept": {ephemeralOf(resting(), true), foreseen{Outlook: preview.Outlook{Starts: true, WayBack: true, Shortest: 5 * time.Second}, digest: "cccc"},
			[]string{"Sluice: this change takes web back to revision cccc, which its primary is kept with: users turn to that at once, and to the target when it has followed; nothing is analysed; within 5s if all goes well"}},
		"back after a failure": {ephemeralOf(resting(), false), foreseen{Outlook: preview.Outlook{Starts: true, Moves: true, Shortest: 5 * time.Second}, digest: "aaaa"},
			[]string{"Sluice: this change takes web back to the promoted revision aaaa: users return to it when its pods are ready; nothing is analysed; within 5s if all goes well"}},
		"ephemeral": {ephemeralOf(resting(), true), foreseen{Outlook: good, digest: "cccc", held: true, paused: true}, slices.Concat([]string{starts,
			"Sluice: it waits: the Deployment is paused by its owner; kubectl rollout resume",
			"Sluice: it is stored at once, but its pods are held back until no user can meet them unanalysed",
			"Sluice: steps: weight 20, weight 50; then all users turn to these pods"}, steps[1:])},
		"takes the place": {resting(func(c *v1beta1.Canary) {
			c.Status.Rollout = &v1beta1.RolloutStatus{Revision: "bbbb", Stage: v1beta1.StageConfirming}
		}),
			foreseen{Outlook: good, digest: "cccc"}, slices.Concat([]string{
				"Sluice: this change takes the place of revision bbbb, which no user has met (Confirming): revision cccc of web is rolled out: 2 steps, at least 1m31s"}, steps)},
		"paused": {resting(func(c *v1beta1.Canary) { c.Status.Paused = &v1beta1.PausedStatus{By: "joe"} }), foreseen{Outlook: good, digest: "cccc"},
			slices.Concat([]string{starts, "Sluice: it waits: joe has paused canary web; kubectl annotate canary web sluice.dev/verb=resume"}, steps)},
		"suspended": {resting(func(c *v1beta1.Canary) { c.Spec.Suspend = true }), foreseen{Outlook: good, digest: "cccc"},
			slices.Concat([]string{starts, "Sluice: it waits: the Canary is suspended; set spec.suspend to false"}, steps)},
		"idle replicas": {resting(), foreseen{digest: "aaaa", replicas: 3}, []string{
			"Sluice: this change starts no rollout of web: template and configs are those of the promoted revision aaaa",
			"Sluice: 3 replicas on the idle target web serve nobody: the primary has the users; what a rollout begins with are these"}},
		"failed": {resting(func(c *v1beta1.Canary) { c.Status.FailedRevision = "bbbb" }), foreseen{digest: "bbbb"}, []string{
			"Sluice: this change starts no rollout of web: revision bbbb has failed before, or another was restored in its place; to analyse it again: kubectl annotate canary web sluice.dev/verb=retry"}},
		"skipped": {resting(func(c *v1beta1.Canary) { c.Spec.SkipAnalysis = true }), foreseen{
			Outlook: preview.Outlook{Starts: true, Phase: v1beta1.PhaseSucceeded, Shortest: 4 * time.Second}, digest: "cccc"}, []string{
			"Sluice: this change starts a rollout of web to revision cccc: 0 steps, at least 4s",
			"Sluice: no analysis: spec.skipAnalysis is set; the revision is promoted at once"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := foretell(test.canary, test.what)
			if !slices.Equal(got, test.want) {
				t.Errorf("it says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

// ephemeralOf is the same Canary with an ephemeral primary, its users on the target or not.
func ephemeralOf(c *v1beta1.Canary, home bool) *v1beta1.Canary {
	c = c.DeepCopy()
	c.Spec.Primary, c.Status.TargetServes = &v1beta1.PrimarySpec{Lifecycle: v1beta1.LifecycleEphemeral}, home
	return c
}
