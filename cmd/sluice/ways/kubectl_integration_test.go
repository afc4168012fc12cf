//go:build integration

package ways

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// said is what a person gets of a command: part of what is printed, and the exit code.
type said struct {
	code int
	text string
}

// What kubectl itself says.
var (
	rolledOut  = said{0, "successfully rolled out"}
	waits      = said{1, "timed out waiting for the condition"}
	restarted  = said{0, "restarted"}
	cannotUndo = said{1, "you cannot rollback a paused deployment"}
	cannotMove = said{1, "can't restart paused deployment"}
	notPaused  = said{1, "is not paused"}
	isPaused   = said{1, "is already paused"}
	pausedNow  = said{0, "paused"}
	resumedNow = said{0, "resumed"}
	noDiff     = said{0, ""}
)

// situation is a state of an application, and what kubectl's commands do in it. They are tried in this order; undo only as a dry run.
type situation struct {
	name string
	// persistent and ephemeral tell in which lifecycles it comes about.
	persistent, ephemeral bool
	reach                 func(*app)
	// git is the version that is applied last, which diff compares.
	git                                               int
	status, diff, undo, pause, resume, again, restart said
	// then is what comes about after the restart.
	then func(*app)
}

// ask has one command tried.
func (a *app) ask(when string, want said, args ...string) {
	a.Helper()
	out, err := a.try(args...)
	code := 0
	if exit, failed := errors.AsType[*exec.ExitError](err); failed {
		code = exit.ExitCode()
	} else if err != nil {
		a.Fatal(err)
	}
	if code != want.code || !strings.Contains(out, want.text) {
		a.Errorf("%s: kubectl %s: exit %d: %swant exit %d with %q", when, strings.Join(args, " "), code, out, want.code, want.text)
	}
}

func (a *app) waiting() {
	world.wait(a.ns, true)
	a.kubectl("apply", "-f", a.deployment(2, ""))
	a.until("it waits for its gate", func(st *v1beta1.CanaryStatus) bool { return st.Phase == v1beta1.PhaseWaiting })
}

// does has a verb done, which may be the same as the one before.
func (a *app) does(verb string) {
	a.Helper()
	last := ""
	if v := a.status().Verb; v != nil {
		last = v.ID
	}
	a.kubectl("annotate", "canary", "web", v1beta1.AnnotationVerb+"="+verb)
	a.until("another verb was looked at", func(st *v1beta1.CanaryStatus) bool { return st.Verb != nil && st.Verb.ID != last })
	a.verb(verb, v1beta1.VerbDone)
}

func (a *app) failed() {
	world.set(a.ns, true)
	a.kubectl("apply", "-f", a.deployment(2, ""))
	a.halfway("web:2", 1)
	a.does("abort")
	a.until("it has failed", func(st *v1beta1.CanaryStatus) bool { return st.Rollout == nil && st.FailedRevision != "" })
	world.set(a.ns, false)
}

// followed is that the restart is promoted.
func followed(runs string) func(*app) {
	return func(a *app) {
		a.Helper()
		world.wait(a.ns, false)
		a.promoted(runs+" restarted", uncounted)
	}
}

// stays is that nothing has come of what was refused: the change goes on as it was.
func stays(runs string) func(*app) {
	return func(a *app) {
		a.Helper()
		world.wait(a.ns, false)
		a.promoted(runs, uncounted)
	}
}

// situations are those of the table in docs/kubectl.md. What takes seconds only is told by the stories.
var situations = []situation{
	{
		name: "not adopted", persistent: true, git: 1, status: rolledOut, diff: noDiff, undo: said{0, "rolled back"},
		pause: pausedNow, resume: resumedNow, again: notPaused, restart: restarted,
		then: func(a *app) { a.ask("not adopted", rolledOut, "rollout", "status", "deployment/web", "--timeout=2m") },
	},
	{
		name: "between rollouts", persistent: true, ephemeral: true, git: 1, reach: (*app).adopt, status: rolledOut, diff: noDiff,
		undo:  said{0, "this change starts a rollout of web"},
		pause: pausedNow, resume: resumedNow, again: notPaused, restart: restarted, then: followed("web:1"),
	},
	{
		name: "waiting for a gate", persistent: true, git: 2, reach: func(a *app) { a.adopt(); a.waiting() }, status: rolledOut, diff: noDiff,
		undo:  said{0, "takes web back to the promoted revision"},
		pause: pausedNow, resume: resumedNow, again: notPaused, restart: restarted, then: followed("web:2"),
	},
	{
		name: "held for a gate", ephemeral: true, git: 2, reach: func(a *app) { a.adopt(); a.waiting() }, status: waits, diff: noDiff, undo: cannotUndo,
		pause: isPaused, resume: said{0, "web stays held until"}, again: said{0, "apply the version that you want"}, restart: cannotMove, then: stays("web:2"),
	},
	{
		name: "half of the users", persistent: true, ephemeral: true, git: 2, reach: func(a *app) {
			a.adopt()
			world.set(a.ns, true)
			a.kubectl("apply", "-f", a.deployment(2, ""))
			a.halfway("web:2", 1)
		}, status: rolledOut, diff: noDiff, undo: said{0, "takes web back to the promoted revision"},
		pause: pausedNow, resume: resumedNow, again: notPaused, restart: restarted, then: followed("web:2"),
	},
	{
		name: "promoted", persistent: true, git: 2, reach: func(a *app) {
			a.adopt()
			a.kubectl("apply", "-f", a.deployment(2, ""))
			a.promoted("web:2", 1)
		}, status: rolledOut, diff: noDiff, undo: said{0, "this change starts a rollout of web"},
		pause: pausedNow, resume: resumedNow, again: notPaused, restart: restarted, then: followed("web:2"),
	},
	{
		name: "promoted with the primary kept", ephemeral: true, git: 2, reach: func(a *app) {
			a.adopt()
			a.kubectl("apply", "-f", a.deployment(2, ""))
			a.promoted("web:2", 1)
		}, status: rolledOut, diff: noDiff, undo: said{0, "which its primary is kept with: users turn to that at once"},
		pause: pausedNow, resume: resumedNow, again: notPaused, restart: restarted, then: followed("web:2"),
	},
	{
		name: "failed", persistent: true, git: 2, reach: func(a *app) { a.adopt(); a.failed() }, status: rolledOut, diff: noDiff,
		undo:  said{0, "this change starts no rollout of web: template and configs are those of the promoted revision"},
		pause: pausedNow, resume: resumedNow, again: notPaused, restart: restarted, then: followed("web:2"),
	},
	{
		name: "failed with an ephemeral primary", ephemeral: true, git: 2, reach: func(a *app) { a.adopt(); a.failed() }, status: rolledOut, diff: noDiff,
		undo:  said{0, "takes web back to the promoted revision"},
		pause: pausedNow, resume: resumedNow, again: notPaused, restart: restarted, then: followed("web:2"),
	},
	{
		name: "failed while held", ephemeral: true, git: 2, reach: func(a *app) {
			a.adopt()
			a.waiting()
			a.does("abort")
			a.until("it has failed", func(st *v1beta1.CanaryStatus) bool { return st.Rollout == nil && st.FailedRevision != "" })
		}, status: waits, diff: noDiff, undo: cannotUndo, pause: isPaused, resume: said{0, "or its template is the one before"},
		again: said{0, "stays held"}, restart: cannotMove, then: func(a *app) {
			a.Helper()
			a.kubectl("apply", "-f", a.deployment(1, ""))
			a.promoted("web:1", uncounted)
			a.ask("taken back", rolledOut, "rollout", "status", "deployment/web", "--timeout=2m")
		},
	},
	{
		name: "paused by its owner", persistent: true, ephemeral: true, git: 2, reach: func(a *app) {
			a.adopt()
			a.kubectl("rollout", "pause", "deployment/web")
			if out := a.kubectl("apply", "-f", a.deployment(2, "")); !strings.Contains(out, "web is paused by its owner: this change waits for kubectl rollout resume") {
				a.Errorf("the change is answered with %s", out)
			}
			a.until("it waits for its owner", func(st *v1beta1.CanaryStatus) bool {
				return st.Condition(v1beta1.ConditionReady).Reason == "TargetPaused"
			})
		}, diff: noDiff, undo: cannotUndo, pause: isPaused, restart: cannotMove, then: func(a *app) {
			a.Helper()
			a.kubectl("rollout", "resume", "deployment/web")
			a.promoted("web:2", 1)
		},
	},
	{
		name: "Canary deleted", persistent: true, ephemeral: true, git: 1, reach: func(a *app) {
			a.adopt()
			a.kubectl("delete", "canary", "web", "--timeout=2m")
		}, status: rolledOut, diff: noDiff, undo: said{0, "rolled back"},
		pause: pausedNow, resume: resumedNow, again: notPaused, restart: restarted,
		then: func(a *app) { a.ask("given back", rolledOut, "rollout", "status", "deployment/web", "--timeout=2m") },
	},
}

// TestKubectlInEverySituation tries kubectl's rollout commands as a person would, in every state that lasts, and holds what docs/kubectl.md says of them.
func TestKubectlInEverySituation(t *testing.T) {
	t.Parallel()
	for _, s := range situations {
		for lifecycle, ephemeral := range map[string]bool{"persistent": false, "ephemeral": true} {
			if ephemeral && !s.ephemeral || !ephemeral && !s.persistent {
				continue
			}
			t.Run(lifecycle+" "+s.name, func(t *testing.T) {
				t.Parallel()
				a := unadopted(t, ephemeral)
				if s.reach != nil {
					s.reach(a)
				}
				a.tryAll(s)
			})
		}
	}
}

func (a *app) tryAll(s situation) {
	const target = "deployment/web"
	if s.status != (said{}) {
		timeout := "--timeout=2m"
		if s.status == waits {
			timeout = "--timeout=3s"
		}
		a.ask(s.name, s.status, "rollout", "status", target, timeout)
	}
	a.ask(s.name, said{0, "REVISION"}, "rollout", "history", target)
	a.ask(s.name, s.diff, "diff", "-f", a.deployment(s.git, ""))
	a.ask(s.name, said{1, "image: web:7"}, "diff", "-f", a.deployment(7, ""))
	a.ask(s.name, s.undo, "rollout", "undo", target, "--dry-run=server")
	a.ask(s.name, s.pause, "rollout", "pause", target)
	if s.resume != (said{}) {
		a.ask(s.name, s.resume, "rollout", "resume", target)
		a.ask(s.name, s.again, "rollout", "resume", target)
	}
	a.ask(s.name, s.restart, "rollout", "restart", target)
	s.then(a)
}

// Whoever scales the canary to zero takes it from its users: they go back to the primary, and the analysis begins again with pods of its own.
func TestScaleToZeroDuringTheAnalysis(t *testing.T) {
	t.Parallel()
	for _, ephemeral := range []bool{false, true} {
		a := adoptedWith(t, ephemeral)
		world.set(a.ns, true)
		a.kubectl("apply", "-f", a.deployment(2, ""))
		a.halfway("web:2", 1)
		a.ask("at half", said{0, "scaled"}, "scale", "deployment/web", "--replicas=0")
		a.until("its users are back on the primary", func(st *v1beta1.CanaryStatus) bool { return st.CanaryWeight == 0 && st.FailedChecks > 0 })
		a.halfway("web:2", uncounted)
		a.promoted("web:2", uncounted)
	}
}

// A DaemonSet that is held has another strategy, and kubectl another answer: restart and undo take the place of what is held.
func TestKubectlOnAHeldDaemonSet(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.ephemeral = true
	apply := []string{"apply", "--server-side", "--field-manager=git", "-f"}
	a.kubectl(append(apply, a.inGit("DaemonSet", 1))...)
	a.kubectl("rollout", "status", "daemonset/web", "--timeout=2m")
	a.kubectl("apply", "-f", a.file("canary.yaml", strings.Replace(
		render(t, canaryTemplate, map[string]any{"Gate": world.server.URL, "Ephemeral": true}), "kind: Deployment", "kind: DaemonSet", 1)))
	a.until("the Canary is initialised", func(st *v1beta1.CanaryStatus) bool { return st.Phase == v1beta1.PhaseInitialized && isReady(st) })
	world.wait(a.ns, true)
	a.kubectl(append(apply, a.inGit("DaemonSet", 2))...)
	a.until("it waits for its gate", func(st *v1beta1.CanaryStatus) bool { return st.Phase == v1beta1.PhaseWaiting })
	a.ask("held", said{1, "rollout status is only available for RollingUpdate strategy type"}, "rollout", "status", "daemonset/web", "--timeout=3s")
	a.ask("held", said{0, "this change is held until"}, "rollout", "restart", "daemonset/web")
	a.until("the restart has taken its place", func(st *v1beta1.CanaryStatus) bool {
		return st.Phase == v1beta1.PhaseWaiting && a.looks()[st.Rollout.Revision].runs == "web:2 restarted"
	})
	a.ask("held", said{0, "rolled back"}, "rollout", "undo", "daemonset/web", "--to-revision=1")
	a.atHome("web:1")
	a.ask("taken back", rolledOut, "rollout", "status", "daemonset/web", "--timeout=2m")
}
