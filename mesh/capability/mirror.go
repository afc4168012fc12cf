package capability

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// mirrorFeature is what a GatewayClass supports whose gateways copy requests, by the names of Gateway API's package pkg/features.
const mirrorFeature = "HTTPRouteRequestMirror"

// CannotMirror tells whether a GatewayClass says that its gateways do not copy requests: it lists what it supports (status.supportedFeatures, as
// objects with a name, or as plain names before Gateway API 1.2), and copying is not among it. One that lists nothing says nothing.
func CannotMirror(gatewayClass *unstructured.Unstructured) bool {
	features, _, err := unstructured.NestedSlice(gatewayClass.Object, "status", "supportedFeatures")
	if err != nil || len(features) == 0 {
		return false
	}
	for _, f := range features {
		if named, is := f.(map[string]any); is {
			f = named["name"]
		}
		if f == mirrorFeature {
			return false
		}
	}
	return true
}
