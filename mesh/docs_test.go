package mesh

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/utils/clock"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/mesh/capability"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// The documented Canaries are complete, and the documented route is the one that follows.
func TestDocumentedExamples(t *testing.T) {
	for _, name := range []string{"apisix", "appmesh", "contour", "gatewayapi", "gloo", "istio", "kubernetes", "kuma", "nginx", "skipper", "smi", "traefik"} {
		t.Run(name, func(t *testing.T) {
			blocks := yamlBlocks(readFile(t, filepath.Join("..", "docs", "providers", name+".md")))
			if len(blocks) == 0 {
				t.Fatal("no example")
			}
			c := &v1beta1.Canary{}
			if err := yaml.UnmarshalStrict([]byte(blocks[0]), c); err != nil {
				t.Fatal(err)
			}
			r, err := New(nil, nil, "", clock.RealClock{})
			if err != nil {
				t.Fatal(err)
			}
			p, err := r.provider(c)
			if err != nil {
				t.Fatal(err)
			}
			if d, ok := p.(derived); ok {
				if o, _ := d.source(c); o.Name != "" {
					// The user's object stands between the Canary and what follows from it.
					p = d.after(parse(t, blocks[1]))
					blocks = append(blocks[:1], blocks[2:]...)
				}
			}
			objects := p.Objects(c)
			if len(blocks) != 1+len(objects) {
				t.Fatalf("%d examples; want the Canary and its %d objects", len(blocks), len(objects))
			}
			for i, o := range objects {
				got, err := p.Render(c, o, nil, core.RouteIntent{Split: core.Split{Primary: 100}, Pods: podLabel})
				if err != nil {
					t.Fatal(err)
				}
				want := parse(t, blocks[i+1])
				if !equal(got.Object["spec"], want.Object["spec"]) || got.GetName() != want.GetName() || got.GetKind() != want.GetKind() {
					t.Errorf("documented otherwise than rendered:\n%s", toYAML(t, got))
				}
			}
		})
	}
}

// The table of what each provider can do is the capability table. It is written by go test ./mesh -update.
func TestDocumentedCapabilities(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Traffic providers\n\nWhat `spec.provider` can be, and what this version can do with each. Everything else is denied when a Canary is applied. How to add one: [adding.md](adding.md).\n\n")
	b.WriteString("| provider | weighted steps | A/B testing | blue/green | copies of requests | session affinity | cookie of the primary |\n|---|---|---|---|---|---|---|\n")
	mark := map[bool]string{true: "yes", false: "–"}
	for _, name := range capability.Names() {
		able, _ := capability.Lookup(name)
		have, label := able.Available, "`"+name+"`"
		if page := pageOf(name); able.Implemented() {
			label = "[" + label + "](" + page + ".md)"
			if _, err := os.Stat(filepath.Join("..", "docs", "providers", page+".md")); err != nil {
				t.Errorf("provider %s: %v", name, err)
			}
		} else {
			label += ", not in this version"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", label, mark[have.Canary], mark[have.ABTesting], mark[have.BlueGreen],
			mark[have.MirrorCanary], mark[have.SessionAffinity], mark[have.PrimaryCookie])
	}
	compareGolden(t, filepath.Join("..", "docs", "providers", "README.md"), []byte(b.String()))
}

// pageOf names the page of a provider. Those with one renderer share it.
func pageOf(provider string) string {
	page, _, _ := strings.Cut(provider, ":")
	if page == "linkerd" || page == "osm" {
		return "smi"
	}
	return page
}

// yamlBlocks returns the fenced YAML blocks of a document.
func yamlBlocks(doc string) []string {
	var out []string
	for _, part := range strings.Split(doc, "```yaml\n")[1:] {
		block, _, _ := strings.Cut(part, "```")
		out = append(out, block)
	}
	return out
}
