package mesh

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

func nginxCanaryOf(t *testing.T) (*v1beta1.Canary, Provider) {
	t.Helper()
	c := plainCanary()
	c.Spec.IngressRef = &v1beta1.LocalObjectReference{Name: "public"}
	return c, informed(t, nginx{}, c)
}

// Whatever somebody has written there: nobody who may reach the canary is overlooked, and what is no canary Ingress counts for nothing.
func TestNginxReadsWhatIsThere(t *testing.T) {
	for name, tt := range map[string]struct {
		annotations map[string]string
		canary      int
		problem     string
	}{
		"a weight":              {map[string]string{"": "true", "-weight": "20"}, 20, ""},
		"of another total":      {map[string]string{"": "true", "-weight": "20", "-weight-total": "40"}, 50, ""},
		"no weight":             {map[string]string{"": "true"}, 0, ""},
		"conditions of others":  {map[string]string{"": "true", "-weight": "0", "-by-header": "X-Theirs"}, 100, ""},
		"an ordinary Ingress":   {map[string]string{"-weight": "20"}, 0, "is no canary"},
		"switched off":          {map[string]string{"": "false", "-weight": "20"}, 0, "is no canary"},
		"a number of no weight": {map[string]string{"": "true", "-weight": "many"}, 0, ""},
		"more than all":         {map[string]string{"": "true", "-weight": "100", "-weight-total": "100"}, 100, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, p := nginxCanaryOf(t)
			u := render(t, p, c, nil, core.RouteIntent{Split: core.Split{Primary: 100}})
			own := map[string]string{}
			for key, value := range tt.annotations {
				own[nginxCanary+key] = value
			}
			annotate(u, nginxPrefix, own)
			got := p.Read(c, u)
			if got.Canary != tt.canary || got.Primary+got.Canary != 100 || got.Matched || !strings.Contains(got.Problem, tt.problem) || got.Accepted != (tt.problem == "") {
				t.Errorf("read %+v", got)
			}
		})
	}
}

// The weights are annotations, which the generation does not count: each is a version of the route all the same.
func TestNginxWeightsAreVersions(t *testing.T) {
	c, p := nginxCanaryOf(t)
	seen := map[string]int{}
	for canary := range 101 {
		u := render(t, p, c, nil, core.RouteIntent{Split: core.Split{Primary: 100 - canary, Canary: canary}})
		u.SetGeneration(7)
		if other, known := seen[versionOf(u)]; known {
			t.Fatalf("weights %d and %d have one version", other, canary)
		}
		seen[versionOf(u)] = canary
	}
}

// Without the user's Ingress, or with one that leads elsewhere, nothing can be made, and the Canary says why; the weights still move. An Ingress that
// has the name by chance is not overwritten.
func TestNginxRefusals(t *testing.T) {
	c, p := nginxCanaryOf(t)
	live := render(t, p, c, nil, core.RouteIntent{Split: core.Split{Primary: 70, Canary: 30}})
	elsewhere := parse(t, strings.ReplaceAll(sources["Ingress"], "APEX", "else"))
	for says, source := range map[string]*unstructured.Unstructured{"Ingress public does not exist": nil, "no path to Service podinfo": elsewhere} {
		route := nginx{}.after(source).Read(c, live)
		if route.Accepted || !strings.Contains(route.Problem, says) || route.Canary != 30 {
			t.Errorf("%s: read %+v", says, route)
		}
	}
	if got := p.Read(c, p.Divert(c, live, core.RouteIntent{Split: core.Split{Primary: 100}})); got.Canary != 0 {
		t.Errorf("diverted: %+v", got)
	}
	other := parse(t, strings.ReplaceAll(sources["Ingress"], "APEX", "podinfo"))
	other.SetAnnotations(nil)
	if _, err := p.Render(c, p.Objects(c)[0], other, core.RouteIntent{Split: core.Split{Primary: 100}}); err == nil || !strings.Contains(err.Error(), "rename or delete it") {
		t.Errorf("an Ingress of somebody's: %v", err)
	}
	c.Spec.Analysis.Match = []v1beta1.AnalysisMatch{{Headers: map[string]v1beta1.StringMatch{"x": {Exact: "y"}}}}
	some := core.RouteIntent{Split: core.Split{Primary: 70, Canary: 30, Matched: true}}
	if _, err := p.Render(c, p.Objects(c)[0], nil, some); err == nil || !strings.Contains(err.Error(), "cannot share out") {
		t.Errorf("shares of those who match: %v", err)
	}
	c.Spec.IngressRef = nil
	if route := p.Read(c, nil); len(p.Objects(c)) > 0 || route.Exists || !strings.Contains(route.Problem, fieldIngressRef) {
		t.Errorf("without a reference: %+v", route)
	}
}
