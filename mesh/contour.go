package mesh

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// contour keeps an HTTPProxy named like the apex Service, which an HTTPProxy of the user's includes. In it the routes to the Canary's Services are the
// Canary's. All else is left as it is.
type contour struct{}

func (contour) Objects(c *v1beta1.Canary) []Object {
	apex, _, _ := c.ServiceNames()
	return []Object{{Kind: schema.GroupVersionKind{Group: "projectcontour.io", Version: "v1", Kind: "HTTPProxy"}, Name: apex}}
}

func (contour) Render(c *v1beta1.Canary, o Object, existing *unstructured.Unstructured, intent core.RouteIntent) (*unstructured.Unstructured, error) {
	rules, err := contour{}.render(c, intent)
	if err != nil {
		return nil, err
	}
	out, spec := prepared(c, o, existing)
	spec["routes"] = mergeRules(listOf(spec["routes"]), rules, servicesOf(c, contour{}))
	return out, nil
}

func (contour) Read(c *v1beta1.Canary, carrier *unstructured.Unstructured) core.Route {
	problem := contourProblem(carrier)
	return servicesOf(c, contour{}).read(c, carrier, problem == "", problem)
}

func (contour) Divert(c *v1beta1.Canary, existing *unstructured.Unstructured, intent core.RouteIntent) *unstructured.Unstructured {
	return servicesOf(c, contour{}).divert(c, existing, intent)
}

// contourProblem is what Contour has against this generation of an HTTPProxy. One that it has yet to answer for counts as stored.
func contourProblem(proxy *unstructured.Unstructured) string {
	said, _, _ := unstructured.NestedString(proxy.Object, "status", "currentStatus")
	if said != "invalid" && said != "orphaned" {
		return ""
	}
	conditions, _, _ := unstructured.NestedSlice(proxy.Object, "status", "conditions")
	for _, condition := range mapsIn(conditions) {
		if seen, ok := condition["observedGeneration"].(int64); condition["type"] == "Valid" && ok && seen != proxy.GetGeneration() {
			return ""
		}
	}
	why, _, _ := unstructured.NestedString(proxy.Object, "status", "description")
	if said == "orphaned" {
		why = "no HTTPProxy with a virtualhost includes it; add it to spec.includes of one"
	}
	return fmt.Sprintf("Contour does not use HTTPProxy %s, it is %s: %s", proxy.GetName(), said, why)
}
