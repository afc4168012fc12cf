package mesh

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// This file is the dialect of an HTTPProxy.

func (contour) list(*v1beta1.Canary) []string { return []string{"spec", "routes"} }

func (contour) words() (string, []string) {
	return "conditions", []string{"conditions", "services", "timeoutPolicy", "retryPolicy"}
}

// together makes one match of the conditions of a route, all of which must hold. Without any the route is for all paths.
func (contour) together(conditions []any) []any {
	if len(conditions) == 0 {
		conditions = []any{map[string]any{"prefix": "/"}}
	}
	return []any{map[string]any{"conditions": conditions}}
}

// destinations are shared out evenly where none has a weight.
func (contour) destinations(rule map[string]any) []map[string]any {
	services := mapsIn(rule["services"])
	for _, s := range services {
		if weight, _ := s["weight"].(int64); weight > 0 {
			return services
		}
	}
	even := make([]map[string]any, 0, len(services))
	for _, s := range services {
		even = append(even, with(s, map[string]any{"weight": int64(1)}))
	}
	return even
}

func (contour) redirect(rule map[string]any, to []any) { rule["services"] = to }

func (contour) leads(ref map[string]any, _ string) string {
	if mirror, _ := ref["mirror"].(bool); mirror {
		return ""
	}
	return text(ref["name"])
}

func (contour) weight(ref map[string]any, _ int) int64 {
	weight, _ := ref["weight"].(int64)
	if mirror, _ := ref["mirror"].(bool); mirror {
		return 0
	}
	return weight
}

func (contour) acts(rule map[string]any) bool {
	return rule["requestRedirectPolicy"] != nil || rule["directResponsePolicy"] != nil
}

func (contour) cookieConditions(map[string]any) []string { return nil }

func (contour) cookiesSet(map[string]any) []string { return nil }

// copies are never made for an analysis. Those that somebody has a route make to the primary or the canary go when the route becomes the Canary's.
func (contour) copies(services, *v1beta1.Canary, map[string]any) int { return 0 }

func (contour) stopCopies(s services, rule map[string]any, to ...string) {
	var kept []any
	for _, ref := range mapsIn(rule["services"]) {
		mirror, _ := ref["mirror"].(bool)
		if !mirror || s.count(map[string]any{"services": []any{withoutMirror(ref)}}, to...) == 0 {
			kept = append(kept, ref)
		}
	}
	rule["services"] = kept
}

func withoutMirror(ref map[string]any) map[string]any {
	out := with(ref, nil)
	unstructured.RemoveNestedField(out, "mirror")
	return out
}

func (contour) kept(_, own map[string]any) map[string]any { return own }
