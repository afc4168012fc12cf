package capability

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestCannotMirror(t *testing.T) {
	for name, test := range map[string]struct {
		status any
		want   bool
	}{
		"no status":         {nil, false},
		"nothing listed":    {map[string]any{"supportedFeatures": []any{}}, false},
		"listed":            {map[string]any{"supportedFeatures": []any{map[string]any{"name": "Gateway"}, map[string]any{"name": "HTTPRouteRequestMirror"}}}, false},
		"listed as a name":  {map[string]any{"supportedFeatures": []any{"HTTPRouteRequestMirror"}}, false},
		"not listed":        {map[string]any{"supportedFeatures": []any{map[string]any{"name": "Gateway"}}}, true},
		"not among names":   {map[string]any{"supportedFeatures": []any{"HTTPRoute"}}, true},
		"not a list at all": {map[string]any{"supportedFeatures": "HTTPRoute"}, false},
	} {
		class := &unstructured.Unstructured{Object: map[string]any{"status": test.status}}
		if got := CannotMirror(class); got != test.want {
			t.Errorf("%s: CannotMirror() = %t, want %t", name, got, test.want)
		}
	}
}
