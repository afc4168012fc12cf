package mesh

import (
	"errors"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// istio keeps a VirtualService named like the apex Service, and a DestinationRule for the primary and the canary Service each. In the VirtualService
// hosts, gateways and the rules to these Services are the Canary's; in a DestinationRule host and trafficPolicy. All else is left as it is.
type istio struct{}

// gatewayMesh stands for all sidecars.
const gatewayMesh = "mesh"

func istioKind(kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: kind}
}

func (istio) Objects(c *v1beta1.Canary) []Object {
	apex, primary, canary := c.ServiceNames()
	return []Object{
		{Kind: istioKind("DestinationRule"), Name: primary, Goes: true},
		{Kind: istioKind("DestinationRule"), Name: canary, Goes: true},
		{Kind: istioKind("VirtualService"), Name: apex},
	}
}

func (istio) Render(c *v1beta1.Canary, o Object, existing *unstructured.Unstructured, intent core.RouteIntent) (*unstructured.Unstructured, error) {
	out, spec := prepared(c, o, existing)
	s := &c.Spec.Service
	if o.Kind.Kind == "DestinationRule" {
		setOrDrop(spec, map[string]any{"host": o.Name, "trafficPolicy": asJSON(s.TrafficPolicy)})
		return out, nil
	}
	if s.Delegation && len(s.Hosts)+len(s.Gateways) > 0 {
		return nil, errors.New("spec.service.delegation: a delegate has no hosts and gateways of its own; remove spec.service.hosts and spec.service.gateways")
	}
	rules, err := istio{}.render(c, intent)
	if err != nil {
		return nil, err
	}
	hosts, gateways := slices.Clone(s.Hosts), s.Gateways
	if !slices.Contains(hosts, o.Name) && !slices.Contains(hosts, "*") {
		hosts = append(hosts, o.Name)
	}
	if len(gateways) == 0 {
		gateways = []string{gatewayMesh}
	}
	if s.Delegation {
		hosts, gateways = nil, nil
	}
	field := istio{}.list(c)[1]
	setOrDrop(spec, map[string]any{
		"hosts": anys(hosts), "gateways": anys(gateways), field: mergeRules(listOf(spec[field]), rules, servicesOf(c, istio{})),
	})
	return out, nil
}

// Read takes a route that is there for accepted: Istio answers in the status only where it is told to.
func (istio) Read(c *v1beta1.Canary, carrier *unstructured.Unstructured) core.Route {
	return servicesOf(c, istio{}).read(c, carrier, true, "")
}

func (istio) Divert(c *v1beta1.Canary, existing *unstructured.Unstructured, intent core.RouteIntent) *unstructured.Unstructured {
	return servicesOf(c, istio{}).divert(c, existing, intent)
}
