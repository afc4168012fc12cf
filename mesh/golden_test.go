package mesh

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// situation is one input file of testdata: a Canary and, where there is one already, the live object.
type situation struct {
	canary *v1beta1.Canary
	live   *unstructured.Unstructured
}

// readSituation reads testdata/<provider>/<name>.in.yaml.
func readSituation(t *testing.T, provider, name string) situation {
	t.Helper()
	docs := strings.Split(readFile(t, filepath.Join("testdata", provider, name+".in.yaml")), "\n---\n")
	s := situation{canary: &v1beta1.Canary{}}
	if err := yaml.UnmarshalStrict([]byte(docs[0]), s.canary); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if len(docs) > 1 {
		s.live = parse(t, docs[1])
	}
	return s
}

// parse reads an object with the number types that an API client gives it.
func parse(t *testing.T, doc string) *unstructured.Unstructured {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	return u
}

// golden is a situation of a provider and what is asked in it.
type golden struct {
	provider, name string
	impl           Provider
	intent         core.RouteIntent
	leave          bool
}

// bring does what the router does between reading and writing.
func (g golden) bring(t *testing.T, c *v1beta1.Canary, o Object, live *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	if g.leave {
		out := g.impl.Divert(c, live, g.intent)
		release(out, c)
		return out
	}
	out, err := g.impl.Render(c, o, live, g.intent)
	if err != nil {
		t.Fatal(err)
	}
	claim(out, c, live == nil)
	return out
}

func goldens() []golden {
	gw := func(name string, primary, canary int) golden {
		return golden{provider: "gatewayapi", name: name, impl: gatewayAPI{}, intent: core.RouteIntent{Split: core.Split{Primary: primary, Canary: canary}}}
	}
	ab, mirror, affinity, revoked := gw("ab-testing", 0, 100), gw("mirror", 100, 0), gw("affinity", 80, 20), gw("affinity-revoked", 100, 0)
	ab.intent.Matched, mirror.intent.Mirror = true, 30
	affinity.intent.Cookie, affinity.intent.PrimaryCookie = "canary.cookie=LpsIaLdsNZ", "primary-cookie=fueORwLeGA"
	revoked.intent.Revoked = affinity.intent.Cookie
	ended := gw("ab-testing-ended", 100, 0)
	leave := gw("give-back", 100, 0)
	leave.intent.ViaApex, leave.leave = true, true
	return []golden{
		gw("new", 100, 0),
		gw("step", 70, 30),
		gw("everything", 95, 5),
		gw("take-over", 100, 0),
		gw("flagger", 100, 0),
		gw("apex-removed", 100, 0),
		gw("gamma", 50, 50),
		ab,
		ended,
		mirror,
		affinity,
		revoked,
		leave,
	}
}

func TestGolden(t *testing.T) {
	for _, g := range goldens() {
		t.Run(g.provider+"/"+g.name, func(t *testing.T) {
			s := readSituation(t, g.provider, g.name)
			objects := g.impl.Objects(s.canary)
			var before *unstructured.Unstructured
			if s.live != nil {
				before = s.live.DeepCopy()
			}
			canaryBefore := s.canary.DeepCopy()
			got := g.bring(t, s.canary, objects[len(objects)-1], s.live)
			compareGolden(t, filepath.Join("testdata", g.provider, g.name+".want.yaml"), got)
			if s.live != nil && !equal(before, s.live) || !equal(canaryBefore, s.canary) {
				t.Error("rendering changed its input")
			}
			// What was written must be what is wanted again: a second pass finds nothing to do.
			again := g.bring(t, s.canary, objects[len(objects)-1], got)
			if !equal(again, got) {
				t.Errorf("a second pass changes the object:\n%s", toYAML(t, again))
			}
		})
	}
}

func compareGolden(t *testing.T, path string, got *unstructured.Unstructured) {
	t.Helper()
	out := toYAML(t, got)
	if *update {
		if err := os.WriteFile(path, out, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; write it with go test ./mesh -update", err)
	}
	if !bytes.Equal(out, want) {
		t.Errorf("%s differs; got:\n%s", path, out)
	}
}

func toYAML(t *testing.T, v any) []byte {
	t.Helper()
	if u, ok := v.(*unstructured.Unstructured); ok {
		v = u.Object
	}
	out, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
