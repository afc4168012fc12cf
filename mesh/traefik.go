package mesh

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// traefik keeps a TraefikService with the weights; an IngressRoute of the user's refers to it.
func traefik() Provider {
	return weights{
		kind:    schema.GroupVersionKind{Group: "traefik.io", Version: "v1alpha1", Kind: "TraefikService"},
		list:    []string{"spec", "weighted", "services"},
		service: "name",
		absent:  1,
		entry: func(c *v1beta1.Canary) map[string]any {
			return map[string]any{"namespace": c.Namespace, "port": int64(c.Spec.Service.Port)}
		},
	}
}
