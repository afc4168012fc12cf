package mesh

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/mesh/capability"
)

// Whatever Flagger takes for a provider leads to the objects that Flagger writes for it; only Kuma's are others, because the ones of Flagger belong to
// no namespace. Istio's come in their newer version, which the API server converts.
func TestFlaggersSpellings(t *testing.T) {
	const (
		gateway = "gateway.networking.k8s.io/"
		smi     = "split.smi-spec.io/"
		ingress = "networking.k8s.io/v1 Ingress"
	)
	spellings := map[string][]string{
		"kubernetes":           nil,
		"istio":                {"networking.istio.io/v1 DestinationRule", "networking.istio.io/v1 VirtualService"},
		"linkerd":              {smi + "v1alpha1 TrafficSplit"},
		"smi:v1alpha1":         {smi + "v1alpha1 TrafficSplit"},
		"smi:v1alpha1:istio":   {smi + "v1alpha1 TrafficSplit"},
		"smi:v1alpha2":         {smi + "v1alpha2 TrafficSplit"},
		"smi:v1alpha2:istio":   {smi + "v1alpha2 TrafficSplit"},
		"smi:v1alpha3":         {smi + "v1alpha3 TrafficSplit"},
		"smi:v1alpha3:linkerd": {smi + "v1alpha3 TrafficSplit"},
		"osm":                  {smi + "v1alpha2 TrafficSplit"},
		"appmesh":              {"appmesh.k8s.aws/v1beta1 VirtualNode", "appmesh.k8s.aws/v1beta1 VirtualService"},
		"appmesh:v1beta2": {
			"appmesh.k8s.aws/v1beta2 VirtualNode", "appmesh.k8s.aws/v1beta2 VirtualRouter", "appmesh.k8s.aws/v1beta2 VirtualService",
		},
		"contour":               {"projectcontour.io/v1 HTTPProxy"},
		"gloo":                  {"gateway.solo.io/v1 RouteTable", "gloo.solo.io/v1 Upstream"},
		"gloo:v1":               {"gateway.solo.io/v1 RouteTable", "gloo.solo.io/v1 Upstream"},
		"nginx":                 {ingress},
		"skipper":               {ingress},
		"traefik":               {"traefik.io/v1alpha1 TraefikService"},
		"apisix":                {"apisix.apache.org/v2 ApisixRoute"},
		"kuma":                  {"kuma.io/v1alpha1 MeshHTTPRoute"},
		"gatewayapi:v1beta1":    {gateway + "v1beta1 HTTPRoute"},
		"gatewayapi:v1":         {gateway + "v1 HTTPRoute"},
		"gatewayapi:v1:traefik": {gateway + "v1 HTTPRoute"},
	}
	c := plainCanary()
	c.Spec.IngressRef = &v1beta1.LocalObjectReference{Name: "public"}
	c.Spec.RouteRef = &v1beta1.LocalObjectReference{Name: "public"}
	met := map[string]bool{}
	for spelling, want := range spellings {
		p, able, err := lookup("spec.provider", spelling)
		if err != nil {
			t.Errorf("%s: %v", spelling, err)
			continue
		}
		met[able.Name] = true
		written := map[string]bool{}
		for _, o := range p.Objects(c) {
			written[o.Kind.GroupVersion().String()+" "+o.Kind.Kind] = true
		}
		if got := slices.Sorted(maps.Keys(written)); !slices.Equal(got, want) {
			t.Errorf("%s writes %v; want %v", spelling, got, want)
		}
	}
	for _, name := range capability.ImplementedNames() {
		if !met[name] {
			t.Errorf("provider %s is no spelling of the list", name)
		}
	}
}

// What Flagger takes for Istio without a word, and what this build cannot run, is denied with the list of what it can.
func TestSpellingsThatAreDenied(t *testing.T) {
	list := "use one of: " + strings.Join(capability.ImplementedNames(), ", ")
	for spelling, fault := range map[string]string{
		"none": "is unknown", "Istio": "is unknown", "istio:v1": "is unknown", "gatewayapi": "is unknown", "gatewayapi:v1alpha2": "is unknown",
		"appmesh:v1beta1": "is unknown", "appmesh:v1beta3": "is unknown", "smi": "is unknown", "smi:istio": "is unknown", "smi:v1alpha4": "is unknown",
		"linkerd:v1": "is unknown", "traefik:v3": "is unknown", "knative": "is not available in this version",
	} {
		want := `spec.provider: traffic provider "` + spelling + `" ` + fault + "; " + list
		if _, _, err := lookup("spec.provider", spelling); err == nil || err.Error() != want {
			t.Errorf("got %v; want %s", err, want)
		}
	}
}
