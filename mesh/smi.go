package mesh

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// smi keeps a TrafficSplit of one version of the Service Mesh Interface: of the requests to the apex Service, or to the first host of the Canary, some
// go to the primary and some to the canary.
func smi(version string) Provider {
	return weights{
		kind:       schema.GroupVersionKind{Group: "split.smi-spec.io", Version: version, Kind: "TrafficSplit"},
		goes:       true,
		list:       []string{"spec", "backends"},
		service:    "service",
		quantities: version == "v1alpha1",
		frame: func(c *v1beta1.Canary, spec map[string]any) {
			apex, _, _ := c.ServiceNames()
			spec["service"] = apex
			if hosts := c.Spec.Service.Hosts; len(hosts) > 0 {
				spec["service"] = hosts[0]
			}
		},
	}
}
