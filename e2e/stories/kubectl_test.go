//go:build e2e

package stories

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// says runs a command of a person and fails the story unless it exits and says as wanted.
func (s *story) says(when string, code int, want string, args ...string) {
	s.Helper()
	out, err := s.command(args...)
	got := 0
	if exit, failed := errors.AsType[*exec.ExitError](err); failed {
		got, out = exit.ExitCode(), out+err.Error()
	} else {
		s.ok(err)
	}
	if got != code || !strings.Contains(out, want) {
		s.Errorf("%s: kubectl %s: exit %d: %s; want exit %d with %q", when, strings.Join(args, " "), got, out, code, want)
	}
}

// withHistory gives kubectl a version to go back to, and returns to the first one.
func (s *story) withHistory() {
	s.Helper()
	for _, version := range []string{"v0", "v1"} {
		s.ok(s.sync(version))
		s.ok(stage.AppRolledOut(s.ctx, s.app))
	}
}

// verb has an operator's verb done.
func (s *story) verb(text string) {
	s.Helper()
	s.says("a verb", 0, "annotated", "annotate", "canary", s.key.Name, v1beta1.AnnotationVerb+"="+text)
	s.until("has done "+text, soon, func(c *v1beta1.Canary) bool {
		v := c.Status.Verb
		return v != nil && v.Text == text && v.Outcome == v1beta1.VerbDone && !v.Standing
	})
}

// why waits until the Canary gives a reason for being ready or not.
func (s *story) why(reason string) {
	s.Helper()
	s.until("says "+reason, rollout, func(c *v1beta1.Canary) bool {
		ready := c.Status.Condition(v1beta1.ConditionReady)
		return ready != nil && ready.Reason == reason
	})
}

// ephemeralKubectl tries what a person would, in every state.
func ephemeralKubectl(t *testing.T) {
	s := beginAtHome(t, "commands")
	s.withHistory()
	s.adopt(ephemeral)
	since := time.Now()
	target := "deployment/" + s.key.Name
	status := func(when string, code int, want, limit string) {
		t.Helper()
		s.says(when, code, want, "rollout", "status", target, "--timeout="+limit)
	}
	const done = "successfully rolled out"
	status("at home", 0, done, "1m")
	s.says("at home", 0, "rolled back (server dry run)", "rollout", "undo", target, "--dry-run=server")
	// A pause of the Canary lets what is held stay so for as long as this takes.
	s.verb("pause")
	s.says("at home", 0, "restarted", "rollout", "restart", target)
	s.says("held", 1, "can't restart paused deployment", "rollout", "restart", target)
	s.says("held", 1, "cannot rollback a paused deployment", "rollout", "undo", target)
	s.says("held", 1, "is already paused", "rollout", "pause", target)
	s.says("held", 0, "resumed", "rollout", "resume", target)
	status("held, although it was resumed", 1, "timed out", "2s")
	s.verb("resume")
	s.half()
	status("at 50%", 0, done, "1m")
	s.says("at 50%", 0, "rolled back", "rollout", "undo", target)
	s.atHome("v1")
	status("taken back", 0, done, "1m")
	s.asInGit("v1")

	s.says("at home", 0, "paused", "rollout", "pause", target)
	s.ok(s.sync("v2"))
	s.why("TargetPaused")
	status("paused by its owner", 1, "timed out", "2s")
	s.says("paused by its owner", 0, "resumed", "rollout", "resume", target)
	s.atHome("v2")
	s.servedBy("v2")
	s.asInGit("v2")
	s.unharmed(since)

	s.ok(s.sync("bad3"))
	s.finished(v1beta1.PhaseFailed)
	failed := time.Now()
	s.why("RolloutFailed")
	status("failed", 0, done, "1m")
	s.says("failed", 0, "REVISION", "rollout", "history", target)
	s.says("failed", 0, "rolled back", "rollout", "undo", target)
	s.atHome("v2")
	s.servedBy("v2")
	s.asInGit("v2")
	s.unharmed(failed)
}

// persistentKubectl does so where the primary always serves.
func persistentKubectl(t *testing.T) {
	s := begin(t, "commanded")
	for _, version := range []string{"v0", "v1"} {
		s.deploy(version)
		s.ok(stage.AppRolledOut(s.ctx, s.app))
	}
	s.adopt(nil)
	since := time.Now()
	target := "deployment/" + s.key.Name
	status := func(when string) {
		t.Helper()
		s.says(when, 0, "successfully rolled out", "rollout", "status", target, "--timeout=1m")
	}
	status("between rollouts")
	s.says("between rollouts", 0, "scaled", "scale", target, "--replicas=1")
	status("scaled between rollouts")
	s.says("between rollouts", 0, "restarted", "rollout", "restart", target)
	s.half()
	status("at 50%")
	s.says("at 50%", 0, "rolled back", "rollout", "undo", target)
	s.until("is back", rollout, func(c *v1beta1.Canary) bool { return c.Status.Rollout == nil && c.Status.CanaryWeight == 0 })
	s.primaryRuns("v1")

	s.says("between rollouts", 0, "paused", "rollout", "pause", target)
	s.deploy("v2")
	s.why("TargetPaused")
	s.says("paused by its owner", 0, "resumed", "rollout", "resume", target)
	s.finished(v1beta1.PhaseSucceeded)
	s.primaryRuns("v2")
	s.unharmed(since)

	s.deploy("bad3")
	s.finished(v1beta1.PhaseFailed)
	failed := time.Now()
	status("failed")
	s.says("failed", 0, "rolled back", "rollout", "undo", target)
	s.why("Reverted")
	s.says("taken back", 0, "restarted", "rollout", "restart", target)
	s.finished(v1beta1.PhaseSucceeded)
	s.primaryRuns("v2")
	s.unharmed(failed)
}
