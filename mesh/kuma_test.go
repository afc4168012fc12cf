package mesh

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/reconciler/core"
)

// A route that leads elsewhere is not overwritten; conditions are refused, never left out.
func TestKumaRefuses(t *testing.T) {
	c, all := plainCanary(), core.Split{Primary: 100}
	o := kuma{}.Objects(c)[0]
	other := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"to": []any{}}}}
	if _, err := (kuma{}).Render(c, o, other, core.RouteIntent{Split: all}); err == nil || !strings.Contains(err.Error(), "rename or delete it") {
		t.Errorf("somebody else's: %v", err)
	}
	if _, err := (kuma{}).Render(c, o, nil, core.RouteIntent{Split: core.Split{Canary: 100, Matched: true}}); err == nil || !strings.Contains(err.Error(), "spec.analysis.match") {
		t.Errorf("conditions: %v", err)
	}
}

// Nobody who may reach the canary is overlooked, and namesakes in other namespaces are not it. The mesh of a route that is there stays.
func TestKumaReadsWhatIsThere(t *testing.T) {
	c := plainCanary()
	u := render(t, kuma{}, c, nil, core.RouteIntent{Split: core.Split{Primary: 100}})
	if got := u.GetLabels()[labelMesh]; got != "default" {
		t.Errorf("mesh %q", got)
	}
	c.Annotations = map[string]string{annotationMesh: "other"}
	if got := render(t, kuma{}, c, u, core.RouteIntent{Split: core.Split{Primary: 100}}).GetLabels()[labelMesh]; got != "default" {
		t.Errorf("the mesh was changed to %q", got)
	}
	refs := mapsIn(kuma{}.rules(c, u)[0]["backendRefs"])
	delete(refs[0], "weight")
	delete(refs[1], "weight")
	if got := (kuma{}).Read(c, u); got.Canary != 50 || got.Primary != 50 {
		t.Errorf("without weights: %+v", got)
	}
	for _, ref := range refs {
		ref["labels"].(map[string]any)[labelKumaNamespace] = "elsewhere"
	}
	if got := (kuma{}).Read(c, u); !got.ViaApex || got.Canary != 0 {
		t.Errorf("namesakes: %+v", got)
	}
}
