package mesh

import (
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/utils/clock"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// The documented Canaries are complete, and the documented route is the one that follows.
func TestDocumentedExamples(t *testing.T) {
	for _, name := range []string{"gatewayapi", "kubernetes"} {
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
			objects := p.Objects(c)
			if len(blocks) != 1+len(objects) {
				t.Fatalf("%d examples; want the Canary and its %d objects", len(blocks), len(objects))
			}
			for i, o := range objects {
				got, err := p.Render(c, o, nil, core.RouteIntent{Split: core.Split{Primary: 100}})
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

// yamlBlocks returns the fenced YAML blocks of a document.
func yamlBlocks(doc string) []string {
	var out []string
	for _, part := range strings.Split(doc, "```yaml\n")[1:] {
		block, _, _ := strings.Cut(part, "```")
		out = append(out, block)
	}
	return out
}
