package mesh

import (
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// gatewayAPI keeps one HTTPRoute, named like the apex Service. One of its rules splits requests between the primary and the canary Service; that
// rule, the parents and the hostnames are the Canary's, all other rules and fields are left as they are.
//
// Everything is rendered with the defaults that the API server would fill in, so that an unchanged route compares equal.
type gatewayAPI struct{}

func (gatewayAPI) Objects(c *v1beta1.Canary) []Object {
	apex, _, _ := c.ServiceNames()
	return []Object{{Kind: schema.GroupVersionKind{Group: gatewayv1.GroupName, Version: gatewayv1.GroupVersion.Version, Kind: "HTTPRoute"}, Name: apex}}
}

func (gatewayAPI) Render(c *v1beta1.Canary, o Object, existing *unstructured.Unstructured, intent core.RouteIntent) (*unstructured.Unstructured, error) {
	spec, err := routeSpec(c, intent)
	if err != nil {
		return nil, err
	}
	out := &unstructured.Unstructured{Object: map[string]any{}}
	if existing != nil {
		out = existing.DeepCopy()
	}
	out.SetGroupVersionKind(o.Kind)
	out.SetNamespace(c.Namespace)
	out.SetName(o.Name)

	merged := map[string]any{}
	if live, ok := out.Object["spec"].(map[string]any); ok {
		merged = live
	}
	own := spec["rules"].([]any)[0].(map[string]any)
	merged["parentRefs"] = spec["parentRefs"]
	merged["rules"] = mergeRules(listOf(merged["rules"]), own, servicesOf(c))
	if hostnames := listOf(spec["hostnames"]); len(hostnames) > 0 {
		merged["hostnames"] = hostnames
	} else {
		delete(merged, "hostnames")
	}
	out.Object["spec"] = merged
	return out, nil
}

// routeSpec renders what the Canary asks for: parents, hostnames and the one rule.
func routeSpec(c *v1beta1.Canary, intent core.RouteIntent) (map[string]any, error) {
	s := &c.Spec.Service
	parents, err := parentRefs(s)
	if err != nil {
		return nil, err
	}
	rule := gatewayv1.HTTPRouteRule{BackendRefs: backendRefs(c, intent)}
	if rule.Matches, err = routeMatches(s.Match); err != nil {
		return nil, err
	}
	if rule.Filters, err = routeFilters(s); err != nil {
		return nil, err
	}
	if rule.Timeouts, err = routeTimeouts(s); err != nil {
		return nil, err
	}
	spec := gatewayv1.HTTPRouteSpec{
		CommonRouteSpec: gatewayv1.CommonRouteSpec{ParentRefs: parents},
		Hostnames:       stringsAs[gatewayv1.Hostname](s.Hosts),
		Rules:           []gatewayv1.HTTPRouteRule{rule},
	}
	out, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&spec)
	if err != nil {
		return nil, fmt.Errorf("render the HTTPRoute of Canary %s: %w", c.Name, err)
	}
	return out, nil
}

func parentRefs(s *v1beta1.CanaryService) ([]gatewayv1.ParentReference, error) {
	if len(s.GatewayRefs) == 0 {
		return nil, errors.New("spec.service.gatewayRefs is empty, so no gateway would serve the route; name at least one Gateway")
	}
	out := make([]gatewayv1.ParentReference, 0, len(s.GatewayRefs))
	for _, ref := range s.GatewayRefs {
		ref.Group = orDefault(ref.Group, gatewayv1.Group(gatewayv1.GroupName))
		ref.Kind = orDefault(ref.Kind, gatewayv1.Kind("Gateway"))
		out = append(out, ref)
	}
	return out, nil
}

// backendRefs lists the destinations with explicit weights: an absent weight would count as 1.
func backendRefs(c *v1beta1.Canary, intent core.RouteIntent) []gatewayv1.HTTPBackendRef {
	apex, primary, canary := c.ServiceNames()
	port := c.Spec.Service.Port
	to := func(service string, weight int) gatewayv1.HTTPBackendRef {
		w := int32(weight)
		return gatewayv1.HTTPBackendRef{BackendRef: gatewayv1.BackendRef{
			BackendObjectReference: backend(gatewayv1.BackendObjectReference{Name: gatewayv1.ObjectName(service), Port: &port}),
			Weight:                 &w,
		}}
	}
	if intent.ViaApex {
		return []gatewayv1.HTTPBackendRef{to(apex, 100)}
	}
	return []gatewayv1.HTTPBackendRef{to(primary, intent.Primary), to(canary, intent.Canary)}
}

// backend fills in the defaults of a reference to a Service.
func backend(ref gatewayv1.BackendObjectReference) gatewayv1.BackendObjectReference {
	ref.Group = orDefault(ref.Group, gatewayv1.Group(""))
	ref.Kind = orDefault(ref.Kind, gatewayv1.Kind("Service"))
	return ref
}

func orDefault[T any](p *T, def T) *T {
	if p == nil {
		return &def
	}
	return p
}

// Read reports the split of the rule that sends most to the canary, in per cent. Where no rule is the Canary's, those that lead to the apex Service
// reach the primary. A Canary that cannot be rendered is a problem too.
func (gatewayAPI) Read(c *v1beta1.Canary, carrier *unstructured.Unstructured) core.Route {
	route := core.Route{Exists: true}
	s := servicesOf(c)
	live, _, _ := unstructured.NestedFieldNoCopy(carrier.Object, "spec", "rules")
	rules := mapsIn(live)
	route.ViaApex = !slices.ContainsFunc(rules, s.owned)
	seen := false
	for _, rule := range rules {
		if !s.referredBy(rule) {
			continue
		}
		if primary, canary := s.split(rule); !seen || canary > route.Canary {
			route.Primary, route.Canary, seen = primary, canary, true
		}
	}
	route.Accepted, route.Problem = acceptance(c, carrier)
	if problem := s.unusable(c, carrier.GetName(), rules); problem != "" {
		route.Accepted, route.Problem = false, problem
	}
	return route
}

// unusable tells why a route's weights have no effect, or cannot be had at all, whatever its gateways say.
func (s services) unusable(c *v1beta1.Canary, name string, rules []map[string]any) string {
	if _, err := routeSpec(c, core.RouteIntent{Primary: 100}); err != nil {
		return err.Error()
	}
	if other := s.shadowed(rules); other != "" {
		return fmt.Sprintf("HTTPRoute %s: %s matches the same requests as the Canary's rule and comes first, so the weights have no effect; "+
			"remove it or set spec.service.match", name, other)
	}
	return ""
}
