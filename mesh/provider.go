package mesh

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/mesh/capability"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// Provider renders and reads the objects of one traffic provider. Its methods are pure: they reach for no client and no clock, and change
// nothing that is passed to them.
type Provider interface {
	// Objects lists what the provider keeps for a Canary, in the order of writing. The last one carries the weights. Empty when the
	// provider needs nothing but the Services.
	Objects(c *v1beta1.Canary) []Object

	// Render returns o as it ought to be for intent. existing is the object as it is, nil when it is missing; what others put there
	// survives. Of metadata only name, namespace and annotations with weights are the provider's business. Errors name the field of the Canary, its value and the
	// way out.
	Render(c *v1beta1.Canary, o Object, existing *unstructured.Unstructured, intent core.RouteIntent) (*unstructured.Unstructured, error)

	// Divert returns existing with its split changed to intent and nothing else. It looks at nothing of the Canary but names and port, so it
	// works whatever else is wrong with it: traffic is taken back by it from a Canary that can no longer be rendered, and an application is
	// given back by it. An object without a split of the Canary's is returned as it is.
	Divert(c *v1beta1.Canary, existing *unstructured.Unstructured, intent core.RouteIntent) *unstructured.Unstructured

	// Read reports the split in carrier, the object that carries the weights. It is nil for a provider without objects.
	Read(c *v1beta1.Canary, carrier *unstructured.Unstructured) core.Route
}

// derived is a provider whose object is made after one of the user's, which is read and never written.
type derived interface {
	// source is that object and its namespace; without a name there is none.
	source(c *v1beta1.Canary) (o Object, namespace string)
	// after returns the provider that knows the object; nil stands for a missing one. Only such a provider can render; all can divert and read.
	after(source *unstructured.Unstructured) Provider
}

// Object identifies an object of a provider in the Canary's namespace.
type Object struct {
	Kind schema.GroupVersionKind
	Name string
	// Goes tells that the object is of no use without the Canary. One that Sluice created is deleted with it; one that was there before is given back.
	Goes bool
	// BeforePods tells that pods are looked up in the object when they are created, so it must be there before those of the primary.
	BeforePods bool
}

func (o Object) String() string { return o.Kind.Kind + " " + o.Name }

// implementations are the providers by their canonical names in the capability table.
func implementations() map[string]Provider {
	return map[string]Provider{
		"appmesh":            appMesh{version: "v1beta1"},
		"appmesh:v1beta2":    appMesh{},
		"kubernetes":         kubernetes{},
		"gatewayapi:v1":      gatewayAPI{},
		"gatewayapi:v1beta1": gatewayAPI{version: "v1beta1"},
		"contour":            contour{},
		"istio":              istio{},
		"traefik":            traefik(),
		"nginx":              nginx{},
		"skipper":            skipper{},
		"gloo":               gloo{},
		"apisix":             apisix{},
		"kuma":               kuma{},
		"linkerd":            smi("v1alpha1"),
		"osm":                smi("v1alpha2"),
		"smi:v1alpha1":       smi("v1alpha1"),
		"smi:v1alpha2":       smi("v1alpha2"),
		"smi:v1alpha3":       smi("v1alpha3"),
	}
}

// lookup finds a provider by its spelling in field. There is no fallback: a misspelt provider is an error that names those accepted.
func lookup(field, spelling string) (Provider, capability.Provider, error) {
	able, known := capability.Lookup(spelling)
	impl, built := implementations()[able.Name]
	if known && built {
		return impl, able, nil
	}
	fault := "is unknown"
	if known {
		fault = "is not available in this version"
	}
	accepted := slices.Sorted(maps.Keys(implementations()))
	return nil, capability.Provider{}, fmt.Errorf("%s: traffic provider %q %s; use one of: %s", field, spelling, fault, strings.Join(accepted, ", "))
}
