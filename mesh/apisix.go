package mesh

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// apisix keeps an ApisixRoute beside the user's that has its rules to the apex Service, with the primary and the canary behind them and a priority by which
// they win. Its spec is made after the user's ApisixRoute.
type apisix struct{ public model }

const (
	fieldRouteRef = "spec.routeRef"
	// apisixPriority is added to the priority of the user's rules, so that those beside them win and keep their order.
	apisixPriority = 10000
	// apisixWeight is the weight of a backend that says none.
	apisixWeight = 100
)

var apisixRoute = schema.GroupVersionKind{Group: "apisix.apache.org", Version: "v2", Kind: "ApisixRoute"}

func (apisix) source(c *v1beta1.Canary) (Object, string) {
	if c.Spec.RouteRef == nil {
		return Object{}, ""
	}
	return Object{Kind: apisixRoute, Name: c.Spec.RouteRef.Name}, c.Namespace
}

func (apisix) after(source *unstructured.Unstructured) Provider { return apisix{modelOf(source)} }

func (apisix) Objects(c *v1beta1.Canary) []Object {
	if c.Spec.RouteRef == nil {
		return nil
	}
	_, _, canary := c.ServiceNames()
	return []Object{{Kind: apisixRoute, Name: c.Spec.RouteRef.Name + "-" + canary, Goes: true}}
}

func (a apisix) Render(c *v1beta1.Canary, o Object, existing *unstructured.Unstructured, intent core.RouteIntent) (*unstructured.Unstructured, error) {
	if err := onlyWeights(c, intent); err != nil {
		return nil, err
	}
	_, primary, canary := c.ServiceNames()
	if existing != nil && !claimed(existing, c) && len(apisixRules(existing, primary, canary)) == 0 {
		return nil, fmt.Errorf("%s: %s, which would hold the weights, exists and leads to neither %s nor %s; rename or delete it", fieldRouteRef, o, primary, canary)
	}
	source, _ := a.source(c)
	spec, err := a.public.spec(c, fieldRouteRef, source)
	if err != nil {
		return nil, err
	}
	apex := sideService(c, core.SideUnknown)
	rules := apisixRules(a.public.object.DeepCopy(), apex)
	if len(rules) == 0 {
		return nil, fmt.Errorf("%s: %s has no rule in spec.http with a backend to Service %s; add one, or name another", fieldRouteRef, source, apex)
	}
	for _, rule := range rules {
		backends := mapsIn(rule["backends"])
		if len(backends)+len(listOf(rule["upstreams"])) > 1 {
			return nil, fmt.Errorf("%s: rule %q of %s has further backends beside Service %s; give that Service a rule of its own",
				fieldRouteRef, rule["name"], source, apex)
		}
		own, _ := rule["priority"].(int64)
		rule["priority"] = own + apisixPriority
		rule["backends"] = apisixBackends(c, backends[0], intent)
	}
	out, _ := prepared(c, o, existing)
	made := map[string]any{"http": anys(rules)}
	setOrDrop(made, map[string]any{"ingressClassName": spec["ingressClassName"]})
	out.Object["spec"] = made
	return out, nil
}

// apisixBackends lists the Services of an intent with explicit weights, in all else like a backend.
func apisixBackends(c *v1beta1.Canary, like map[string]any, intent core.RouteIntent) []any {
	to := func(side core.Side, weight int) map[string]any {
		return with(runtime.DeepCopyJSON(like), map[string]any{"serviceName": sideService(c, side), "weight": int64(weight)})
	}
	if intent.ViaApex {
		return []any{to(core.SideUnknown, 100)}
	}
	return []any{to(core.SidePrimary, intent.Primary), to(core.SideTarget, intent.Canary)}
}

// apisixRules are the rules of an ApisixRoute with a backend to one of the Services. They may be changed in place.
func apisixRules(route *unstructured.Unstructured, services ...string) []map[string]any {
	http, _, _ := unstructured.NestedFieldNoCopy(route.Object, "spec", "http")
	return slices.DeleteFunc(mapsIn(http), func(rule map[string]any) bool {
		return !slices.ContainsFunc(mapsIn(rule["backends"]), func(b map[string]any) bool { return slices.Contains(services, text(b["serviceName"])) })
	})
}

// Read reports the rule that sends most to the canary.
func (a apisix) Read(c *v1beta1.Canary, carrier *unstructured.Unstructured) core.Route {
	if carrier == nil {
		return missingRef(fieldRouteRef)
	}
	_, primary, canary := c.ServiceNames()
	own := apisixRules(carrier, primary, canary)
	route := core.Route{Split: core.Split{Primary: 100}, ViaApex: len(own) == 0, Problem: apisixProblem(carrier)}
	for _, rule := range own {
		var toCanary, total int64
		for _, backend := range mapsIn(rule["backends"]) {
			weight, said := backend["weight"].(int64)
			if !said {
				weight = apisixWeight
			}
			if total += weight; backend["serviceName"] == canary {
				toCanary += weight
			}
		}
		route.Canary = max(route.Canary, share(toCanary, total))
	}
	route.Primary = 100 - route.Canary
	return a.public.judged(c, a, carrier, route)
}

func (apisix) Divert(c *v1beta1.Canary, existing *unstructured.Unstructured, intent core.RouteIntent) *unstructured.Unstructured {
	out := existing.DeepCopy()
	if intent.Matched && intent.Canary > 0 {
		return out
	}
	_, primary, canary := c.ServiceNames()
	for _, rule := range apisixRules(out, primary, canary) {
		rule["backends"] = apisixBackends(c, mapsIn(rule["backends"])[0], intent)
	}
	return out
}

// apisixProblem is what APISIX's controller has against this generation of an ApisixRoute.
func apisixProblem(route *unstructured.Unstructured) string {
	conditions, _, _ := unstructured.NestedSlice(route.Object, "status", "conditions")
	for _, condition := range mapsIn(conditions) {
		seen, said := condition["observedGeneration"].(int64)
		if condition["status"] == "False" && (!said || seen == route.GetGeneration()) {
			return fmt.Sprintf("APISIX does not use ApisixRoute %s: %s", route.GetName(), cmp.Or(text(condition["message"]), text(condition["reason"])))
		}
	}
	return ""
}
