//go:build integration

package ways

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// way is one way to change what the target runs.
type way struct {
	name string
	// do makes version n and returns what the person reads.
	do func(a *app, n int) string
	// look is what the target then runs; by default the image of version n.
	look func(n int) string
	// unseen ways leave the target for a moment without one: what is new is not compared with what was, so nobody is warned.
	unseen bool
}

// person does what a command line says, with a manifest of the version in FILE and its number in NUMBER.
func person(args ...string) func(*app, int) string {
	return func(a *app, n int) string {
		number := strconv.Itoa(n)
		replacer := strings.NewReplacer("FILE", a.version(n), "NUMBER", number)
		line := make([]string, len(args))
		for i, arg := range args {
			line[i] = replacer.Replace(arg)
		}
		a.editor = "sed -i s/web:[0-9]*$/web:" + number + "/"
		return a.kubectl(line...)
	}
}

var ways = []way{
	{name: "apply", do: person("apply", "-f", "FILE")},
	{name: "apply --server-side", do: person("apply", "--server-side", "--force-conflicts", "-f", "FILE")},
	{name: "Argo CD", do: person("apply", "--server-side", "--field-manager=argocd-controller", "--force-conflicts", "-f", "FILE")},
	{name: "Flux", do: person("apply", "--server-side", "--field-manager=kustomize-controller", "--force-conflicts", "-f", "FILE")},
	{name: "replace", do: person("replace", "-f", "FILE")},
	{name: "replace --force", do: person("replace", "--force", "-f", "FILE"), unseen: true},
	{name: "delete and create", do: func(a *app, n int) string {
		return person("delete", "deployment", "web")(a, n) + person("create", "-f", "FILE")(a, n)
	}, unseen: true},
	{name: "strategic patch", do: person("patch", "deployment", "web", "-p",
		`{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:NUMBER"}]}}}}`)},
	{name: "merge patch", do: person("patch", "deployment", "web", "--type=merge", "-p",
		`{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:NUMBER","envFrom":[{"configMapRef":{"name":"settings"}}]}]}}}}`)},
	{name: "json patch", do: person("patch", "deployment", "web", "--type=json", "-p",
		`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"web:NUMBER"}]`)},
	{name: "edit", do: person("edit", "deployment", "web")},
	{name: "set image", do: person("set", "image", "deployment/web", "web=web:NUMBER")},
	{name: "set env", do: person("set", "env", "deployment/web", "VERSION=NUMBER"), look: func(n int) string { return fmt.Sprintf("web:1 VERSION=%d", n) }},
	{name: "rollout restart", do: person("rollout", "restart", "deployment/web"), look: func(int) string { return "web:1 restarted" }},
	{name: "with a new scale", do: person("patch", "deployment", "web", "-p",
		`{"spec":{"replicas":NUMBER,"template":{"spec":{"containers":[{"name":"web","image":"web:NUMBER"}]}}}}`)},
}

// TestWays changes the target in every way, first between rollouts and then while half of the users have that change: each is one rollout of what
// was asked for, and nobody gets it before.
func TestWays(t *testing.T) {
	t.Parallel()
	for _, w := range ways {
		if w.look == nil {
			w.look = func(n int) string { return fmt.Sprintf("web:%d", n) }
		}
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			a := adopted(t)
			world.set(a.ns, true)
			a.told(w, w.do(a, 2), "starts a canary rollout of web: 20, 50 % of traffic")
			a.halfway(w.look(2), 1)
			a.told(w, w.do(a, 3), "held until traffic has left the canary of web")
			a.until("the second rollout begins", func(*v1beta1.CanaryStatus) bool { _, begun, _ := world.of(a.ns); return len(begun) > 1 })
			a.halfway(w.look(3), 2)
		})
	}
}

// told fails the test unless the person was warned, or could not be.
func (a *app) told(w way, output, want string) {
	a.Helper()
	if n := strings.Count(output, "Warning: Sluice: "); !w.unseen && (n != 1 || !strings.Contains(output, want)) {
		a.Errorf("%d warnings, want one that says %q: %s", n, want, output)
	}
}

// TestNoRevision does what changes no revision, during a rollout and after it: nothing starts, nothing is restarted, nobody is asked.
func TestNoRevision(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(*app, int) string{
		"label":    person("label", "--overwrite", "deployment", "web", "team=NUMBER"),
		"annotate": person("annotate", "--overwrite", "deployment", "web", "example.com/note=NUMBER"),
		"scale":    person("scale", "deployment/web", "--replicas=NUMBER"),
		"history":  person("patch", "deployment", "web", "-p", `{"spec":{"revisionHistoryLimit":NUMBER}}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := half(t)
			if out := do(a, 3); strings.Contains(out, "Warning") {
				a.Errorf("a warning: %s", out)
			}
			a.promoted("web:2", 1)
			if out := do(a, 4); strings.Contains(out, "Warning") {
				a.Errorf("a warning: %s", out)
			}
			d := a.target()
			a.until("Sluice has seen the target", func(st *v1beta1.CanaryStatus) bool { return st.TargetGeneration >= d.Generation })
			a.promoted("web:2", 1)
		})
	}
}

func (a *app) silence(mute bool) {
	a.Helper()
	if err := world.silence(a.Context(), a.ns, mute); err != nil {
		a.Fatal(err)
	}
}

// TestUndo takes back with kubectl's own history.
func TestUndo(t *testing.T) {
	t.Parallel()
	t.Run("between rollouts", func(t *testing.T) {
		t.Parallel()
		a := half(t)
		a.promoted("web:2", 1)
		// The version before is a version like any other: it is analysed.
		a.told(way{}, a.kubectl("rollout", "undo", "deployment/web"), "starts a canary rollout")
		a.promoted("web:1", 2)
	})
	t.Run("during a rollout", func(t *testing.T) {
		t.Parallel()
		a := half(t)
		// What is promoted already needs no analysis: the rollout ends.
		a.told(way{}, a.kubectl("rollout", "undo", "deployment/web"), "held")
		a.promoted("web:1", 1)
	})
	t.Run("while a change is held", func(t *testing.T) {
		t.Parallel()
		a := half(t)
		// The change is held for as long as this takes.
		a.silence(true)
		a.kubectl("set", "image", "deployment/web", "web=web:3")
		for _, verb := range []string{"undo", "restart"} {
			if out, err := a.try("rollout", verb, "deployment/web"); err == nil || !strings.Contains(out, "paused") {
				t.Errorf("rollout %s: %v: %s", verb, err, out)
			}
		}
		// What kubectl advises does not open the fence.
		a.kubectl("rollout", "resume", "deployment/web")
		if d := a.target(); !d.Spec.Paused || d.Annotations[v1beta1.AnnotationHold] == "" {
			t.Errorf("the hold is gone: paused %v, %v", d.Spec.Paused, d.Annotations)
		}
		a.silence(false)
		a.eventually("the hold is taken off", func() bool { return !a.target().Spec.Paused })
		a.kubectl("rollout", "undo", "deployment/web")
		a.halfway("web:2", uncounted)
	})
}
