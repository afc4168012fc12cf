package mesh

import (
	"cmp"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// gatewayAPI keeps one HTTPRoute, named like the apex Service. One of its rules splits requests between the primary and the canary Service; that
// rule, the parents and the hostnames are the Canary's, all other rules and fields are left as they are. Conditions and cookies of an analysis take
// further rules beside it, which last as long as they do; see gatewayapi_split.go.
//
// Everything is rendered with the defaults that the API server would fill in, so that an unchanged route compares equal.
type gatewayAPI struct {
	// version of the API; v1 when empty.
	version string
}

func (g gatewayAPI) Objects(c *v1beta1.Canary) []Object {
	apex, _, _ := c.ServiceNames()
	kind := schema.GroupVersionKind{Group: gatewayv1.GroupName, Version: cmp.Or(g.version, gatewayv1.GroupVersion.Version), Kind: "HTTPRoute"}
	return []Object{{Kind: kind, Name: apex}}
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
	merged["parentRefs"] = spec["parentRefs"]
	merged["rules"] = mergeRules(listOf(merged["rules"]), mapsIn(spec["rules"]), servicesOf(c, gatewayAPI{}))
	if hostnames := listOf(spec["hostnames"]); len(hostnames) > 0 {
		merged["hostnames"] = hostnames
	} else {
		delete(merged, "hostnames")
	}
	out.Object["spec"] = merged
	return out, nil
}

// Read reports the split, and whether the gateways have accepted it.
func (gatewayAPI) Read(c *v1beta1.Canary, carrier *unstructured.Unstructured) core.Route {
	accepted, problem := acceptance(c, carrier)
	return servicesOf(c, gatewayAPI{}).read(c, carrier, accepted, problem)
}

func (gatewayAPI) Divert(c *v1beta1.Canary, existing *unstructured.Unstructured, intent core.RouteIntent) *unstructured.Unstructured {
	return servicesOf(c, gatewayAPI{}).divert(c, existing, intent)
}

// routeSpec renders what the Canary asks for: parents, hostnames and its own rules.
func routeSpec(c *v1beta1.Canary, intent core.RouteIntent) (map[string]any, error) {
	s := &c.Spec.Service
	parents, err := parentRefs(s)
	if err != nil {
		return nil, err
	}
	var base gatewayv1.HTTPRouteRule
	if base.Matches, err = routeMatches(s.Match); err != nil {
		return nil, err
	}
	if base.Filters, err = routeFilters(s); err != nil {
		return nil, err
	}
	if base.Timeouts, err = routeTimeouts(s); err != nil {
		return nil, err
	}
	limited, err := analysisMatches(c.Spec.Analysis.Match, base.Matches)
	if err != nil {
		return nil, err
	}
	rules, err := splitRules(c, base, limited, intent)
	if err != nil {
		return nil, err
	}
	spec := gatewayv1.HTTPRouteSpec{
		CommonRouteSpec: gatewayv1.CommonRouteSpec{ParentRefs: parents},
		Hostnames:       stringsAs[gatewayv1.Hostname](s.Hosts),
		Rules:           rules,
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
