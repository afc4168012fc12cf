//go:build integration

package ways

import (
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// at tells whether a version serves at home and nothing is under way.
func (a *app) atHome(runs string) {
	a.Helper()
	a.eventually(runs+" serves at home", func() bool {
		st := a.status()
		return st.TargetServes && st.Rollout == nil && isReady(st) && a.looks()[st.PromotedRevision].runs == runs
	})
}

// Every verb of operators does with an ephemeral primary what it does with any other.
func TestVerbsWithAnEphemeralPrimary(t *testing.T) {
	t.Parallel()
	a := adoptedWith(t, true)
	world.set(a.ns, true)
	refused := func(verb, want string) {
		t.Helper()
		if out, err := a.asks("admin", verb, "--as-group=system:masters"); err == nil || !strings.Contains(out, want) {
			t.Errorf("%s is answered with %q, want %q", verb, out, want)
		}
	}
	refused("promote", "no rollout is under way")
	refused("retry", "nothing to retry")
	refused("restore:"+a.status().PromotedRevision[:12], "the target serves here")

	a.does("pause")
	a.kubectl("apply", "-f", a.version(2))
	a.until("it is held before it begins", func(st *v1beta1.CanaryStatus) bool {
		return st.TargetServes && st.Rollout != nil && st.Rollout.Stage == v1beta1.StageConfirming && st.Condition(v1beta1.ConditionReady).Reason == "Paused"
	})
	a.does("resume")
	a.halfway("web:2", 1)
	a.does("pause")
	world.set(a.ns, false)
	a.until("it stays at its step", func(st *v1beta1.CanaryStatus) bool {
		return st.CanaryWeight == 50 && st.Condition(v1beta1.ConditionReady).Reason == "Paused"
	})
	world.set(a.ns, true)
	// That ends the pause, and passes the closed gate.
	a.does("promote")
	a.atHome("web:2")

	a.kubectl("apply", "-f", a.version(3))
	a.halfway("web:3", 2)
	a.does("abort#INC-7")
	a.until("version 3 is rolled back", func(st *v1beta1.CanaryStatus) bool {
		return st.Rollout == nil && st.FailedRevision != "" && !st.TargetServes && *a.target().Spec.Replicas == 0
	})
	a.does("retry")
	a.halfway("web:3", uncounted)
	a.does("skip-analysis")
	a.atHome("web:3")

	a.does("skip-analysis")
	a.does("abort")
	if by := a.status().SkipNextBy; by != "" {
		t.Errorf("the next rollout is skipped for %s although that was taken back", by)
	}
	a.does("skip-analysis")
	a.kubectl("apply", "-f", a.version(4))
	a.atHome("web:4")
	a.unanalysed(uncounted)
}

// A dry run with an ephemeral primary foretells what follows, wherever users are, and a real change is answered in one line.
func TestDryRunsForetellOfEphemeralPrimaries(t *testing.T) {
	t.Parallel()
	a := adoptedWith(t, true)
	rollout := []string{"2 steps, at least ", "steps: weight 20, weight 50; then all users turn to these pods", "gates that have to agree"}
	a.foretells(a.foretold("apply", "-f", a.version(2)), "this change starts a rollout of web to revision ", append(rollout, "its pods are held back")...)
	a.foretells(a.foretold("patch", "deployment", "web", "--type=merge", `--patch={"spec":{"template":{"metadata":{"labels":{"app":"web"}}}}}`),
		"this change starts no rollout of web: template and configs are those")
	a.waiting()
	a.foretells(a.foretold("apply", "-f", a.deployment(3, "")), "this change takes the place of revision ", "which no user has met (Confirming)")
	a.foretells(a.foretold("apply", "-f", a.deployment(1, "")), "this change takes web back to the promoted revision ", "no pod is replaced")
	world.set(a.ns, true)
	world.wait(a.ns, false)
	a.halfway("web:2", 1)
	a.foretells(a.foretold("apply", "-f", a.deployment(3, "")), "this change overtakes the rollout of revision ", rollout...)
	a.foretells(a.foretold("apply", "-f", a.deployment(1, "")), "this change takes web back to the promoted revision ", "then to the target")
	world.set(a.ns, false)
	a.atHome("web:2")
	a.foretells(a.foretold("apply", "-f", a.deployment(1, "")), "this change takes web back to revision ", "users turn to that at once")
	a.foretells(a.foretold("apply", "-f", a.deployment(3, "")), "this change starts a rollout of web to revision ", rollout...)
	out := a.kubectl("apply", "-f", a.deployment(1, ""))
	if strings.Count(out, "Warning: ") != 1 || !strings.Contains(out, "unless the primary is kept with that version: then users turn to it at once") {
		t.Errorf("a real change is answered with\n%s", out)
	}
	a.atHome("web:1")
	// Nothing was analysed on the way back.
	a.unanalysed(uncounted)
}
