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
	// source is the user's object, where the provider makes its own after one.
	source *unstructured.Unstructured
}

// readSituation reads testdata/<provider>/<name>.in.yaml.
func readSituation(t *testing.T, provider, name string) situation {
	t.Helper()
	docs := strings.Split(readFile(t, filepath.Join("testdata", provider, name+".in.yaml")), "\n---\n")
	s := situation{canary: &v1beta1.Canary{}}
	if err := yaml.UnmarshalStrict([]byte(docs[0]), s.canary); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, doc := range docs[1:] {
		u := parse(t, doc)
		if isSource(s.canary, u) {
			s.source = u
		} else {
			s.live = u
		}
	}
	return s
}

// isSource tells whether an object is one that the Canary has its route made after.
func isSource(c *v1beta1.Canary, u *unstructured.Unstructured) bool {
	for _, p := range implementations() {
		if d, ok := p.(derived); ok {
			if o, _ := d.source(c); o.Kind == u.GroupVersionKind() && o.Name == u.GetName() {
				return true
			}
		}
	}
	return false
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
	claim(out, c, o, live == nil)
	return out
}

// beside renders what is kept beside the object with the weights; nothing when leaving, which does not touch it.
func (g golden) beside(t *testing.T, c *v1beta1.Canary, objects []Object) []byte {
	t.Helper()
	var out []byte
	for _, o := range objects[:len(objects)-1] {
		if !g.leave {
			out = append(append(out, toYAML(t, g.bring(t, c, o, nil))...), "---\n"...)
		}
	}
	return out
}

// further are the situations of the providers beside Gateway API: what is there, and what is asked.
func further() []golden {
	shares := func(canary int) core.Split { return core.Split{Primary: 100 - canary, Canary: canary} }
	const cookie, primary = "canary.cookie=LpsIaLdsNZ", "primary-cookie=fueORwLeGA"
	rows := []struct {
		provider, name string
		impl           Provider
		split          core.Split
	}{
		{"istio", "new", istio{}, shares(0)},
		{"istio", "step", istio{}, shares(30)},
		{"istio", "everything", istio{}, shares(5)},
		{"istio", "take-over", istio{}, shares(0)},
		{"istio", "delegation", istio{}, shares(10)},
		{"istio", "tcp", istio{}, shares(10)},
		{"istio", "ab-testing", istio{}, core.Split{Canary: 100, Matched: true}},
		{"istio", "mirror", istio{}, core.Split{Primary: 100, Mirror: 30}},
		{"istio", "affinity", istio{}, core.Split{Primary: 80, Canary: 20, Cookie: cookie, PrimaryCookie: primary}},
		{"istio", "affinity-revoked", istio{}, core.Split{Primary: 100, Revoked: cookie}},
		{"istio", "give-back", istio{}, shares(0)},
		{"contour", "new", contour{}, shares(0)},
		{"contour", "step", contour{}, shares(30)},
		{"contour", "take-over", contour{}, shares(0)},
		{"contour", "ab-testing", contour{}, core.Split{Canary: 100, Matched: true}},
		{"contour", "give-back", contour{}, shares(0)},
		{"traefik", "new", traefik(), shares(0)},
		{"traefik", "step", traefik(), shares(30)},
		{"traefik", "take-over", traefik(), shares(0)},
		{"traefik", "give-back", traefik(), shares(0)},
		{"nginx", "new", nginx{}, shares(0)},
		{"nginx", "step", nginx{}, shares(30)},
		{"nginx", "take-over", nginx{}, shares(0)},
		{"nginx", "ab-testing", nginx{}, core.Split{Canary: 100, Matched: true}},
		{"nginx", "give-back", nginx{}, shares(0)},
		{"skipper", "new", skipper{}, shares(0)},
		{"skipper", "step", skipper{}, shares(30)},
		{"skipper", "give-back", skipper{}, shares(0)},
		{"gloo", "new", gloo{}, shares(0)},
		{"gloo", "step", gloo{}, shares(30)},
		{"gloo", "take-over", gloo{}, shares(0)},
		{"gloo", "ab-testing", gloo{}, core.Split{Canary: 100, Matched: true}},
		{"gloo", "give-back", gloo{}, shares(0)},
		{"apisix", "new", apisix{}, shares(0)},
		{"apisix", "step", apisix{}, shares(30)},
		{"apisix", "take-over", apisix{}, shares(0)},
		{"apisix", "give-back", apisix{}, shares(0)},
		{"appmesh", "new", appMesh{}, shares(0)},
		{"appmesh", "step", appMesh{}, shares(30)},
		{"appmesh", "take-over", appMesh{}, shares(0)},
		{"appmesh", "ab-testing", appMesh{}, core.Split{Canary: 100, Matched: true}},
		{"appmesh", "give-back", appMesh{}, shares(0)},
		{"appmesh", "v1beta1", appMesh{version: "v1beta1"}, shares(30)},
		{"appmesh", "v1beta1-ab-testing", appMesh{version: "v1beta1"}, core.Split{Canary: 100, Matched: true}},
		{"kuma", "new", kuma{}, shares(0)},
		{"kuma", "step", kuma{}, shares(30)},
		{"kuma", "take-over", kuma{}, shares(0)},
		{"kuma", "give-back", kuma{}, shares(0)},
		{"smi", "v1alpha1", smi("v1alpha1"), shares(30)},
		{"smi", "v1alpha2", smi("v1alpha2"), shares(30)},
		{"smi", "v1alpha3", smi("v1alpha3"), shares(0)},
	}
	out := make([]golden, 0, len(rows))
	for _, r := range rows {
		leave := r.name == "give-back"
		out = append(out, golden{r.provider, r.name, r.impl, core.RouteIntent{Split: r.split, ViaApex: leave, Pods: podLabel}, leave})
	}
	return out
}

func goldens() []golden { return append(gatewayGoldens(), further()...) }

// gatewayGoldens are the situations of Gateway API.
func gatewayGoldens() []golden {
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
			if d, ok := g.impl.(derived); ok {
				g.impl = d.after(s.source)
			}
			objects := g.impl.Objects(s.canary)
			var before *unstructured.Unstructured
			if s.live != nil {
				before = s.live.DeepCopy()
			}
			canaryBefore := s.canary.DeepCopy()
			got := g.bring(t, s.canary, objects[len(objects)-1], s.live)
			compareGolden(t, filepath.Join("testdata", g.provider, g.name+".want.yaml"), append(g.beside(t, s.canary, objects), toYAML(t, got)...))
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

func compareGolden(t *testing.T, path string, out []byte) {
	t.Helper()
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
