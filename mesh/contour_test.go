package mesh

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// What Contour does not use has no effect on traffic. An answer about an older generation says nothing about this one.
func TestContourAnswers(t *testing.T) {
	status := func(is string, generation int64) map[string]any {
		return map[string]any{
			"currentStatus": is, "description": "no such service", "conditions": []any{map[string]any{"type": "Valid", "observedGeneration": generation}},
		}
	}
	for _, tt := range []struct {
		name   string
		status map[string]any
		says   string
	}{
		{"none yet", nil, ""},
		{"valid", status("valid", 7), ""},
		{"invalid", status("invalid", 7), "it is invalid: no such service"},
		{"orphaned", status("orphaned", 7), "add it to spec.includes"},
		{"older", status("invalid", 6), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := plainCanary()
			u := render(t, contour{}, c, nil, core.RouteIntent{Split: core.Split{Primary: 90, Canary: 10}})
			u.SetGeneration(7)
			if tt.status != nil {
				u.Object["status"] = tt.status
			}
			got := contour{}.Read(c, u)
			if got.Accepted != (tt.says == "") || tt.says == "" && got.Problem != "" || !strings.Contains(got.Problem, tt.says) || got.Canary != 10 {
				t.Errorf("read %+v, want a problem with %q", got, tt.says)
			}
		})
	}
}

// Without any weight Envoy shares requests out evenly; a copy of a request is no share.
func TestContourDefaults(t *testing.T) {
	c := plainCanary()
	_, primary, canary := c.ServiceNames()
	u := render(t, contour{}, c, nil, core.RouteIntent{Split: core.Split{Primary: 100}})
	services := []any{
		map[string]any{"name": primary, "port": int64(80)}, map[string]any{"name": canary, "port": int64(80)},
		map[string]any{"name": canary, "port": int64(80), "mirror": true},
	}
	rule := map[string]any{"services": services}
	if err := unstructured.SetNestedSlice(u.Object, []any{rule}, "spec", "routes"); err != nil {
		t.Fatal(err)
	}
	if got := (contour{}).Read(c, u); got.Split != (core.Split{Primary: 50, Canary: 50}) {
		t.Errorf("read %+v", got)
	}
}

// Conditions that a route has no room for must not be left out: more users than meant would get the canary.
func TestContourRefusals(t *testing.T) {
	header := map[string]v1beta1.StringMatch{"x": {Exact: "y"}}
	for says, match := range map[string][]v1beta1.AnalysisMatch{
		"has 2 entries":    {{Headers: header}, {Headers: header}},
		"headers only":     {{Headers: header, QueryParams: header}},
		"has no condition": {{Headers: map[string]v1beta1.StringMatch{"x": {}}}},
	} {
		c := plainCanary()
		c.Spec.Analysis.Match = match
		_, err := contour{}.render(c, core.RouteIntent{Split: core.Split{Canary: 100, Matched: true}})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}
