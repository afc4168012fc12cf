package mesh

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// gloo keeps a RouteTable named like the apex Service, to which a VirtualService of the user's delegates, and an Upstream for each side. In the RouteTable
// the routes to the Canary's Services are the Canary's. All else is left as it is. upstream is the user's Upstream that settings are copied from.
type gloo struct{ upstream model }

const fieldUpstreamRef = "spec.upstreamRef"

var (
	glooTable    = schema.GroupVersionKind{Group: "gateway.solo.io", Version: "v1", Kind: "RouteTable"}
	glooUpstream = schema.GroupVersionKind{Group: "gloo.solo.io", Version: "v1", Kind: "Upstream"}
)

func (gloo) source(c *v1beta1.Canary) (Object, string) {
	ref := c.Spec.UpstreamRef
	if ref == nil {
		return Object{}, ""
	}
	return Object{Kind: glooUpstream, Name: ref.Name}, cmp.Or(ref.Namespace, c.Namespace)
}

func (gloo) after(source *unstructured.Unstructured) Provider { return gloo{modelOf(source)} }

func (gloo) Objects(c *v1beta1.Canary) []Object {
	apex, _, _ := c.ServiceNames()
	return []Object{
		{Kind: glooUpstream, Name: glooUpstreamName(c, core.SidePrimary), Goes: true},
		{Kind: glooUpstream, Name: glooUpstreamName(c, core.SideTarget), Goes: true},
		{Kind: glooTable, Name: apex},
	}
}

// glooUpstreamName names the Upstream of the primary or the canary as Flagger does.
func glooUpstreamName(c *v1beta1.Canary, side core.Side) string {
	apex, _, _ := c.ServiceNames()
	word := "primary"
	if side == core.SideTarget {
		word = "canary"
	}
	return fmt.Sprintf("%s-%s-%supstream-%d", c.Namespace, apex, word, c.Spec.Service.Port)
}

func (g gloo) Render(c *v1beta1.Canary, o Object, existing *unstructured.Unstructured, intent core.RouteIntent) (*unstructured.Unstructured, error) {
	out, spec := prepared(c, o, existing)
	if o.Kind == glooUpstream {
		return out, g.renderUpstream(c, o, spec)
	}
	rules, err := g.render(c, intent)
	if err != nil {
		return nil, err
	}
	spec["routes"] = mergeRules(listOf(spec["routes"]), rules, servicesOf(c, g))
	return out, nil
}

// renderUpstream has an Upstream lead to the Service of its side, with the settings of the user's Upstream where the Canary names one. Labels are not
// among these: by them Gloo's discovery knows its own Upstreams, and it deletes those that it did not find.
func (g gloo) renderUpstream(c *v1beta1.Canary, o Object, spec map[string]any) error {
	side := core.SidePrimary
	if o.Name == glooUpstreamName(c, core.SideTarget) {
		side = core.SideTarget
	}
	kube, _ := spec["kube"].(map[string]any)
	if kube == nil {
		kube = map[string]any{}
	}
	spec["kube"] = with(kube, map[string]any{
		"serviceName": sideService(c, side), "serviceNamespace": c.Namespace, "servicePort": int64(c.Spec.Service.Port),
	})
	source, namespace := g.source(c)
	if source.Name == "" {
		return nil
	}
	settings, err := g.upstream.specIn(namespace, fieldUpstreamRef, source)
	if err != nil {
		return err
	}
	copied := map[string]any{}
	for _, field := range []string{
		"sslConfig", "circuitBreakers", "connectionConfig", "loadBalancerConfig", "useHttp2", "initialStreamWindowSize",
		"initialConnectionWindowSize", "httpProxyHostname",
	} {
		copied[field] = settings[field]
	}
	setOrDrop(spec, copied)
	return nil
}

func (g gloo) Read(c *v1beta1.Canary, carrier *unstructured.Unstructured) core.Route {
	problem := glooProblem(carrier)
	if problem == "" && g.upstream.sought {
		for _, o := range g.Objects(c) {
			if _, err := g.Render(c, o, nil, core.RouteIntent{Split: core.Split{Primary: 100}}); err != nil {
				problem = err.Error()
				break
			}
		}
	}
	return servicesOf(c, g).read(c, carrier, problem == "", problem)
}

func (g gloo) Divert(c *v1beta1.Canary, existing *unstructured.Unstructured, intent core.RouteIntent) *unstructured.Unstructured {
	return servicesOf(c, g).divert(c, existing, intent)
}

// glooProblem is what one of Gloo's controllers has against a RouteTable. They do not say of which generation.
func glooProblem(table *unstructured.Unstructured) string {
	reports, _, _ := unstructured.NestedMap(table.Object, "status", "statuses")
	var why []string
	for by, v := range reports {
		report, _ := v.(map[string]any)
		if report["state"] == "Rejected" || report["state"] == int64(2) {
			why = append(why, fmt.Sprintf("Gloo in namespace %s rejects RouteTable %s: %s", by, table.GetName(), text(report["reason"])))
		}
	}
	if len(why) == 0 {
		return ""
	}
	return slices.Min(why)
}
