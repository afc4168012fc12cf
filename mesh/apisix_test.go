package mesh

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// What no route can be made after is told, with the way out; nothing of somebody else's is overwritten.
func TestAPISIXRefuses(t *testing.T) {
	c := plainCanary()
	c.Spec.RouteRef = &v1beta1.LocalObjectReference{Name: "public"}
	source := func(http ...any) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"http": http}}}
	}
	rule := func(services ...string) map[string]any {
		var backends []any
		for _, s := range services {
			backends = append(backends, map[string]any{"serviceName": s, "servicePort": int64(80)})
		}
		return map[string]any{"name": "r", "backends": backends}
	}
	all := core.RouteIntent{Split: core.Split{Primary: 100}}
	for name, tt := range map[string]struct {
		source, existing *unstructured.Unstructured
		intent           core.RouteIntent
		want             string
	}{
		"missing":           {nil, nil, all, "does not exist"},
		"no rule":           {source(rule("other")), nil, all, "has no rule in spec.http with a backend to Service podinfo"},
		"shared rule":       {source(rule("podinfo", "other")), nil, all, "a rule of its own"},
		"somebody else's":   {source(rule("podinfo")), source(rule("other")), all, "rename or delete it"},
		"conditions":        {source(rule("podinfo")), nil, core.RouteIntent{Split: core.Split{Canary: 100, Matched: true}}, "spec.analysis.match"},
		"copies of traffic": {source(rule("podinfo")), nil, core.RouteIntent{Split: core.Split{Primary: 100, Mirror: 5}}, "spec.analysis.mirror"},
	} {
		p := apisix{}.after(tt.source)
		if _, err := p.Render(c, p.Objects(c)[0], tt.existing, tt.intent); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Nobody who may reach the canary is overlooked, whatever weights are there; what the controller has against this generation is told.
func TestAPISIXReadsWhatIsThere(t *testing.T) {
	c := plainCanary()
	c.Spec.RouteRef = &v1beta1.LocalObjectReference{Name: "public"}
	p := informed(t, apisix{}, c)
	u := render(t, p, c, nil, core.RouteIntent{Split: core.Split{Primary: 70, Canary: 30}})
	u.SetGeneration(3)
	rule := apisixRules(u, "podinfo-canary")[0]
	for _, b := range mapsIn(rule["backends"]) {
		delete(b, "weight")
	}
	if got := p.Read(c, u); got.Canary != 50 || got.Primary != 50 || !got.Accepted {
		t.Errorf("without weights: %+v", got)
	}
	for seen, refused := range map[int64]bool{2: false, 3: true} {
		condition := map[string]any{"type": "Accepted", "status": "False", "message": "no such plugin", "observedGeneration": seen}
		if err := unstructured.SetNestedSlice(u.Object, []any{condition}, "status", "conditions"); err != nil {
			t.Fatal(err)
		}
		if got := p.Read(c, u); got.Accepted == refused || strings.Contains(got.Problem, "no such plugin") != refused {
			t.Errorf("generation %d: %+v", seen, got)
		}
	}
}
