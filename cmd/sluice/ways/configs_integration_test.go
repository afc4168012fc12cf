//go:build integration

package ways

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// configWay is one way to change a config that the target reads.
type configWay struct {
	// do makes change n and returns what the person reads.
	do func(a *app, n int) string
	// reads is what pods then read; by default colour n.
	reads func(n int) string
}

// written does what a command line says, with a manifest of colour-n in FILE and the colour in COLOUR.
func written(args ...string) configWay {
	return configWay{do: func(a *app, n int) string {
		colour := fmt.Sprintf("colour-%d", n)
		file := a.file("changed.yaml", config("ConfigMap", "settings", "data: {colour: "+colour+"}"))
		replacer := strings.NewReplacer("FILE", file, "COLOUR", colour)
		line := make([]string, len(args))
		for i, arg := range args {
			line[i] = replacer.Replace(arg)
		}
		a.editor = "sed -i s/colour:.[a-z0-9-]*$/colour:\\ " + colour + "/"
		return a.kubectl(line...)
	}}
}

var configWays = map[string]configWay{
	"apply":               written("apply", "-f", "FILE"),
	"Argo CD":             written("apply", "--server-side", "--field-manager=argocd-controller", "--force-conflicts", "-f", "FILE"),
	"replace":             written("replace", "-f", "FILE"),
	"replace --force":     written("replace", "--force", "-f", "FILE"),
	"patch":               written("patch", "configmap", "settings", "-p", `{"data":{"colour":"COLOUR"}}`),
	"edit":                written("edit", "configmap", "settings"),
	"secret":              {written("patch", "secret", "token", "-p", `{"stringData":{"token":"COLOUR"}}`).do, func(n int) string { return fmt.Sprintf("blue colour-%d", n) }},
	"an immutable config": immutable(),
	"an optional config": {func(a *app, n int) string {
		if n == 2 {
			return a.kubectl("create", "configmap", "extra", "--from-literal=extra=there")
		}
		return a.kubectl("delete", "configmap", "extra") + a.kubectl("create", "configmap", "extra", "--from-literal=extra=again")
	}, func(n int) string { return map[int]string{2: "blue there 1", 3: "blue again 1"}[n] }},
}

// immutable replaces a config that may not change.
func immutable() configWay {
	w := written("apply", "-f", "FILE")
	w.do = func(a *app, n int) string {
		file := a.file("immutable.yaml", config("ConfigMap", "settings", fmt.Sprintf("immutable: true\ndata: {colour: colour-%d}", n)))
		return a.kubectl("replace", "--force", "-f", file)
	}
	return w
}

// TestConfigs changes a config in every way, first between rollouts and then while half of the users have that change: each is one rollout, and
// nobody reads it before.
func TestConfigs(t *testing.T) {
	t.Parallel()
	for name, w := range configWays {
		if w.reads == nil {
			w.reads = func(n int) string { return fmt.Sprintf("colour-%d 1", n) }
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := adopted(t)
			world.set(a.ns, true)
			w.do(a, 2)
			a.halfwayReading(w.reads(2))
			a.unanalysed(1)
			if out := w.do(a, 3); !strings.Contains(out, "Warning: Sluice: ") {
				t.Errorf("the person is not warned: %s", out)
			}
			a.halfwayReading(w.reads(3))
			a.unanalysed(2)
		})
	}
}

func (a *app) halfwayReading(reads string) {
	a.Helper()
	a.eventually("half of the users have pods that read "+reads, func() bool {
		st := a.status()
		return st.Rollout != nil && st.CanaryWeight == 50 && a.looks()[st.Rollout.Revision] == look{"web:1", reads}
	})
}

// TestConfigOptedOut leaves a config out of the revisions. That itself changes what pods of the primary read, so it is analysed; further changes of
// the config start nothing.
func TestConfigOptedOut(t *testing.T) {
	t.Parallel()
	a := adopted(t)
	a.kubectl("annotate", "configmap", "settings", v1beta1.AnnotationConfigTracking+"=disabled")
	a.eventually("a rollout begins", func() bool { _, begun, _ := world.of(a.ns); return len(begun) > 0 })
	a.promoted("web:1", 1)
	a.kubectl("patch", "configmap", "settings", "-p", `{"data":{"colour":"red"}}`)
	// What is tracked still starts a rollout, and one alone.
	a.kubectl("set", "image", "deployment/web", "web=web:2")
	a.promoted("web:2", 2)
}

// TestConfigTakenBack changes a config during a rollout and takes both back: what is promoted already needs no analysis.
func TestConfigTakenBack(t *testing.T) {
	t.Parallel()
	a := half(t)
	a.kubectl("apply", "-f", a.file("settings.yaml", settings("red")))
	a.until("users are off the canary", func(st *v1beta1.CanaryStatus) bool { return st.CanaryWeight == 0 })
	a.kubectl("apply", "-f", a.file("settings.yaml", settings("blue")), "-f", a.version(1))
	a.promoted("web:1", uncounted)
	for _, s := range func() []seen { s, _, _ := world.of(a.ns); return s }() {
		if strings.Contains(s.reads, "red") {
			t.Errorf("users could see %v", s)
		}
	}
}

// TestConfigGone deletes a config that the target needs: what serves goes on, and status names it.
func TestConfigGone(t *testing.T) {
	t.Parallel()
	a := adopted(t)
	a.kubectl("delete", "configmap", "settings")
	a.until("status names the config", func(st *v1beta1.CanaryStatus) bool {
		c := st.Condition(v1beta1.ConditionReady)
		return !isReady(st) && strings.Contains(c.Message, "settings")
	})
	if got := a.shown(); got != "blue" {
		t.Errorf("the primary's pods show %q", got)
	}
	a.kubectl("apply", "-f", a.file("settings.yaml", settings("blue")))
	a.promoted("web:1", 0)
}
