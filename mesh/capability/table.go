package capability

import (
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Drain defaults: a proxy keeps connections to a backend for a while after its route changed; kube-proxy rules change
// on every node within seconds, but established connections stay.
const (
	drainServices = 5 * time.Second
	drainProxy    = 10 * time.Second
)

// MaxRouteMatches is how many matches one rule of an HTTPRoute holds.
const MaxRouteMatches = 64

const anyMode = Exact | Prefix | Regex

// providers returns the table. Order does not matter: names are exact.
func providers() []Provider {
	return append([]Provider{
		{
			Name:       "kubernetes",
			Strategies: Strategies{BlueGreen: true},
			Available:  Strategies{BlueGreen: true},
			Drain:      drainServices,
		},
		{
			Name:   "istio",
			Writes: kinds("networking.istio.io", "v1", "VirtualService", "DestinationRule"),
			Splits: true, PlainTCP: true,
			Strategies: Strategies{
				Canary: true, ABTesting: true, BlueGreen: true, MirrorCanary: true, MirrorBlueGreen: true,
				SessionAffinity: true, PrimaryCookie: true,
			},
			Available: Strategies{
				Canary: true, ABTesting: true, BlueGreen: true, MirrorCanary: true, MirrorBlueGreen: true,
				SessionAffinity: true, PrimaryCookie: true,
			},
			ServiceMatch: Match{
				URI: anyMode, Method: anyMode, Authority: anyMode, Scheme: anyMode, Headers: anyMode, QueryParams: anyMode,
				SourceLabels: true, Other: true,
			},
			AnalysisMatch: Match{Headers: anyMode, QueryParams: anyMode, SourceLabels: true},
			Drain:         drainProxy,
		},
		gatewayAPI("gatewayapi:v1", "v1", Strategies{
			Canary: true, ABTesting: true, BlueGreen: true, MirrorCanary: true, MirrorBlueGreen: true, SessionAffinity: true, PrimaryCookie: true,
		}, Strategies{
			Canary: true, ABTesting: true, BlueGreen: true, MirrorCanary: true, MirrorBlueGreen: true, SessionAffinity: true, PrimaryCookie: true,
		}),
		gatewayAPI("gatewayapi:v1beta1", "v1beta1", Strategies{
			Canary: true, ABTesting: true, BlueGreen: true, MirrorCanary: true, MirrorBlueGreen: true, SessionAffinity: true,
		}, Strategies{
			Canary: true, ABTesting: true, BlueGreen: true, MirrorCanary: true, MirrorBlueGreen: true, SessionAffinity: true,
		}),
		built(weighted("linkerd", kinds("split.smi-spec.io", "v1alpha1", "TrafficSplit"))),
		built(weighted("osm", kinds("split.smi-spec.io", "v1alpha2", "TrafficSplit"))),
		parametric(built(weighted("smi:v1alpha1", kinds("split.smi-spec.io", "v1alpha1", "TrafficSplit")))),
		parametric(built(weighted("smi:v1alpha2", kinds("split.smi-spec.io", "v1alpha2", "TrafficSplit")))),
		parametric(built(weighted("smi:v1alpha3", kinds("split.smi-spec.io", "v1alpha3", "TrafficSplit")))),
		built(weighted("traefik", kinds("traefik.io", "v1alpha1", "TraefikService"))),
		built(weighted("kuma", kinds("kuma.io", "v1alpha1", "MeshHTTPRoute"))),
		weighted("knative", kinds("serving.knative.dev", "v1", "Service")),
		built(weighted("apisix", kinds("apisix.apache.org", "v2", "ApisixRoute"), NeedRouteRef)),
		built(weighted("skipper", kinds("networking.k8s.io", "v1", "Ingress"), NeedIngressRef)),
	}, conditional()...)
}

// conditional are the providers outside Gateway API and Istio that can route some requests by condition.
func conditional() []Provider {
	ab := Strategies{Canary: true, ABTesting: true, BlueGreen: true}
	// All conditions of a route must hold, so there is room for one entry.
	appmesh := Match{Headers: anyMode | Suffix, MaxEntries: 1, MaxHeaders: 10}
	firstPrefix := Match{URI: Prefix, MaxEntries: 1}
	return []Provider{
		{
			Name:   "appmesh",
			Writes: kinds("appmesh.k8s.aws", "v1beta1", "VirtualNode", "VirtualService"),
			Splits: true, Strategies: ab, Available: ab, ServiceMatch: firstPrefix, AnalysisMatch: appmesh,
			Needs: []Need{NeedMeshName}, BeforePods: true, Drain: drainProxy,
		},
		{
			Name: "appmesh:v1beta2", Parametric: true,
			Writes: kinds("appmesh.k8s.aws", "v1beta2", "VirtualNode", "VirtualRouter", "VirtualService"),
			Splits: true, Strategies: ab, Available: ab, ServiceMatch: firstPrefix, AnalysisMatch: appmesh, BeforePods: true, Drain: drainProxy,
		},
		{
			// All conditions of a route must hold, so there is room for one entry. A prefix or suffix is compared as a regular expression.
			Name:   "contour",
			Writes: kinds("projectcontour.io", "v1", "HTTPProxy"),
			Splits: true, Strategies: ab, Available: ab, ServiceMatch: firstPrefix,
			AnalysisMatch: Match{Headers: anyMode | Suffix, MaxEntries: 1}, Drain: drainProxy,
		},
		{
			Name: "gloo", Parametric: true,
			Writes: append(kinds("gateway.solo.io", "v1", "RouteTable"), kinds("gloo.solo.io", "v1", "Upstream")...),
			Splits: true, Strategies: ab, Available: ab,
			AnalysisMatch: Match{Headers: Exact | Regex}, Drain: drainProxy,
		},
		{
			// One header and one cookie per Ingress, either of which is enough: the annotations have no place for a second.
			Name:   "nginx",
			Writes: kinds("networking.k8s.io", "v1", "Ingress"),
			Splits: true, Strategies: ab, Available: ab,
			AnalysisMatch: Match{Headers: Exact | Regex, MaxHeaders: 1, Cookie: true, Together: true},
			Needs:         []Need{NeedIngressRef}, Drain: drainProxy,
		},
	}
}

// gatewayAPI describes an HTTPRoute provider.
func gatewayAPI(name, version string, can, available Strategies) Provider {
	return Provider{
		Name: name, Parametric: true,
		Writes: kinds("gateway.networking.k8s.io", version, "HTTPRoute"),
		Splits: true, Strategies: can, Available: available, OptionalMirror: true,
		ServiceMatch: Match{
			URI: anyMode, Method: Exact, Headers: Exact | Regex, QueryParams: Exact | Regex,
		},
		AnalysisMatch: Match{Headers: Exact | Regex, QueryParams: Exact | Regex, MaxCombined: MaxRouteMatches},
		Needs:         []Need{NeedGatewayRefs}, Drain: drainProxy,
	}
}

// weighted describes a provider whose routes know weights and no conditions.
func weighted(name string, writes []schema.GroupVersionKind, needs ...Need) Provider {
	return Provider{
		Name: name, Writes: writes, Splits: true, Needs: needs, Drain: drainProxy,
		Strategies: Strategies{Canary: true, BlueGreen: true},
	}
}

// built marks a provider as one that this build can run in all of its strategies.
func built(p Provider) Provider {
	p.Available = p.Strategies
	return p
}

func parametric(p Provider) Provider {
	p.Parametric = true
	return p
}

// kinds builds kinds of one group and version.
func kinds(group, version string, names ...string) []schema.GroupVersionKind {
	out := make([]schema.GroupVersionKind, 0, len(names))
	for _, n := range names {
		out = append(out, schema.GroupVersionKind{Group: group, Version: version, Kind: n})
	}
	return out
}
