//go:build integration

package ways

import (
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// foretold is what a person is told of a dry run, without the prefix.
func (a *app) foretold(args ...string) []string {
	a.Helper()
	before := a.status().DeepCopy()
	out := a.kubectl(append(args, "--dry-run=server")...)
	var lines []string
	for line := range strings.Lines(out) {
		if _, text, ok := strings.Cut(strings.TrimSpace(line), "Warning: Sluice: "); ok {
			if len(text) > 240-len("Sluice: ") {
				a.Errorf("a line of %d bytes: %s", len(text), text)
			}
			lines = append(lines, text)
		}
	}
	if len(lines) == 0 || len(lines) > 15 {
		a.Errorf("%d lines of %v:\n%s", len(lines), args, out)
	}
	if now := a.status(); now.Rollout == nil != (before.Rollout == nil) || now.CurrentRevision != before.CurrentRevision {
		a.Errorf("a dry run has changed something: %+v", now)
	}
	return lines
}

func (a *app) foretells(lines []string, first string, more ...string) {
	a.Helper()
	if len(lines) == 0 || !strings.HasPrefix(lines[0], first) {
		a.Errorf("the first line does not begin with %q:\n%s", first, strings.Join(lines, "\n"))
	}
	for _, want := range more {
		if !strings.Contains(strings.Join(lines, "\n"), want) {
			a.Errorf("there is no %q in\n%s", want, strings.Join(lines, "\n"))
		}
	}
}

// A dry run of whatever is tracked says which rollout would follow, and what would follow from nothing.
func TestDryRunsForetell(t *testing.T) {
	t.Parallel()
	a := adopted(t)
	rollout := []string{"2 steps, at least ", "steps: weight 20, weight 50;", "gates that have to agree, however long that takes: confirm-rollout begin, confirm-promotion gate"}
	lines := a.foretold("apply", "-f", a.version(2))
	a.foretells(lines, "this change starts a rollout of web to revision ", rollout...)
	a.foretells(a.foretold("apply", "-f", a.file("settings.yaml", config("ConfigMap", "settings", "data: {colour: red}"))),
		"this change starts a rollout of web to revision ", rollout...)
	a.foretells(a.foretold("apply", "-f", a.file("settings.yaml", config("Secret", "token", "stringData: {token: \"2\"}"))),
		"this change starts a rollout of web to revision ", rollout...)
	a.foretells(a.foretold("patch", "deployment", "web", "--type=merge", `--patch={"spec":{"replicas":3}}`), "this change starts no rollout of web: template and configs are those",
		"3 replicas on the idle target web serve nobody")
	a.foretells(a.foretold("patch", "configmap", "settings", "--type=merge", `--patch={"metadata":{"labels":{"x":"y"}}}`), "this change starts no rollout of web")

	a.kubectl("annotate", "canary", "web", v1beta1.AnnotationVerb+"=pause")
	a.verb("pause", v1beta1.VerbDone)
	a.foretells(a.foretold("apply", "-f", a.version(2)), "this change starts a rollout", "has paused canary web")
	a.kubectl("annotate", "canary", "web", v1beta1.AnnotationVerb+"=resume")
	a.verb("resume", v1beta1.VerbDone)

	world.set(a.ns, true)
	out := a.kubectl("apply", "-f", a.version(2))
	if n := strings.Count(out, "Warning: "); n != 1 {
		t.Errorf("a real change is answered with %d lines, want one:\n%s", n, out)
	}
	a.halfway("web:2", 1)
	revision := a.status().Rollout
	if digest, _, _ := strings.Cut(strings.TrimPrefix(lines[0], "this change starts a rollout of web to revision "), ":"); !strings.HasPrefix(revision.Revision, digest) {
		t.Errorf("the dry run has foretold revision %s, it became %s", digest, revision.Revision)
	}
	a.foretells(a.foretold("apply", "-f", a.version(3)), "this change overtakes the rollout of revision "+revision.Revision[:12], rollout...)
	a.foretells(a.foretold("apply", "-f", a.version(1)), "this change takes web back to the promoted revision ")
	a.foretells(a.foretold("patch", "configmap", "settings", "--type=merge", `--patch={"data":{"colour":"green"}}`), "users leave the canary of web before this change lands",
		"this change overtakes the rollout of revision ")
	a.kubectl("annotate", "canary", "web", v1beta1.AnnotationVerb+"=abort")
	a.until("it is rolled back", func(st *v1beta1.CanaryStatus) bool { return st.Rollout == nil && st.FailedRevision != "" })
	a.foretells(a.foretold("apply", "-f", a.version(2)), "this change starts no rollout of web: revision "+revision.Revision[:12]+" has failed before", "sluice.dev/verb=retry")
}
