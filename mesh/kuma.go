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

// kuma keeps a MeshHTTPRoute named like the apex Service: whatever the mesh sends to that Service goes to the primary and the canary. Its spec is the
// Canary's. The TrafficRoute of earlier versions of Kuma belongs to no namespace, so no Canary could own it; Kuma does not know it any more.
type kuma struct{}

const (
	// annotationMesh of a Canary names its mesh; labelMesh of an object does the same.
	annotationMesh = "kuma.io/mesh"
	labelMesh      = "kuma.io/mesh"
	// The labels by which Kuma's MeshServices tell the Services that they are made of.
	labelKumaName      = "kuma.io/display-name"
	labelKumaNamespace = "k8s.kuma.io/namespace"
)

func (kuma) Objects(c *v1beta1.Canary) []Object {
	kind := schema.GroupVersionKind{Group: "kuma.io", Version: "v1alpha1", Kind: "MeshHTTPRoute"}
	return []Object{{Kind: kind, Name: sideService(c, core.SideUnknown), Goes: true}}
}

func (k kuma) Render(c *v1beta1.Canary, o Object, existing *unstructured.Unstructured, intent core.RouteIntent) (*unstructured.Unstructured, error) {
	if err := onlyWeights(c, intent); err != nil {
		return nil, err
	}
	if existing != nil && !claimed(existing, c) && len(k.rules(c, existing)) == 0 {
		return nil, fmt.Errorf("spec.service.name: %s, which would hold the weights, exists and leads to neither the primary nor the canary; "+
			"rename or delete it", o)
	}
	out, _ := prepared(c, o, existing)
	every := map[string]any{"path": map[string]any{"type": "PathPrefix", "value": "/"}}
	rule := map[string]any{"matches": []any{every}, "default": map[string]any{"backendRefs": k.backends(c, intent)}}
	to := map[string]any{"targetRef": kumaService(c, core.SideUnknown), "rules": []any{rule}}
	out.Object["spec"] = map[string]any{"targetRef": map[string]any{"kind": "Mesh"}, "to": []any{to}}
	if labels := orEmpty(out.GetLabels()); labels[labelMesh] == "" {
		// Kuma does not let an object change its mesh.
		labels[labelMesh] = cmp.Or(c.Annotations[annotationMesh], "default")
		out.SetLabels(labels)
	}
	return out, nil
}

// kumaService refers to the MeshService of a side.
func kumaService(c *v1beta1.Canary, side core.Side) map[string]any {
	return map[string]any{
		"kind": "MeshService", "labels": map[string]any{labelKumaName: sideService(c, side), labelKumaNamespace: c.Namespace},
	}
}

// backends lists the MeshServices of an intent with explicit weights.
func (kuma) backends(c *v1beta1.Canary, intent core.RouteIntent) []any {
	to := func(side core.Side, weight int) map[string]any {
		return with(kumaService(c, side), map[string]any{"port": int64(c.Spec.Service.Port), "weight": int64(weight)})
	}
	if intent.ViaApex {
		return []any{to(core.SideUnknown, 100)}
	}
	return []any{to(core.SidePrimary, intent.Primary), to(core.SideTarget, intent.Canary)}
}

// rules are those that lead to the primary or the canary, by what they do. They may be changed in place.
func (kuma) rules(c *v1beta1.Canary, route *unstructured.Unstructured) []map[string]any {
	_, primary, canary := c.ServiceNames()
	var out []map[string]any
	to, _, _ := unstructured.NestedFieldNoCopy(route.Object, "spec", "to")
	for _, destination := range mapsIn(to) {
		for _, rule := range mapsIn(destination["rules"]) {
			does, _ := rule["default"].(map[string]any)
			if slices.ContainsFunc(mapsIn(does["backendRefs"]), func(ref map[string]any) bool {
				name := kumaLeads(c, ref)
				return name == primary || name == canary
			}) {
				out = append(out, does)
			}
		}
	}
	return out
}

// kumaLeads names the Service in the Canary's namespace that a reference leads to; empty when it is none there.
func kumaLeads(c *v1beta1.Canary, ref map[string]any) string {
	labels, _ := ref["labels"].(map[string]any)
	if namespace := text(labels[labelKumaNamespace]); ref["kind"] != "MeshService" || namespace != "" && namespace != c.Namespace {
		return ""
	}
	return text(labels[labelKumaName])
}

// Read reports the rule that sends most to the canary. A weight that is not said is 1.
func (k kuma) Read(c *v1beta1.Canary, carrier *unstructured.Unstructured) core.Route {
	_, _, canary := c.ServiceNames()
	rules := k.rules(c, carrier)
	route := core.Route{Exists: true, Split: core.Split{Primary: 100}, ViaApex: len(rules) == 0, Accepted: true}
	for _, rule := range rules {
		var toCanary, total int64
		for _, ref := range mapsIn(rule["backendRefs"]) {
			weight, said := ref["weight"].(int64)
			if !said {
				weight = 1
			}
			if total += weight; kumaLeads(c, ref) == canary {
				toCanary += weight
			}
		}
		route.Canary = max(route.Canary, share(toCanary, total))
	}
	route.Primary = 100 - route.Canary
	return route
}

func (k kuma) Divert(c *v1beta1.Canary, existing *unstructured.Unstructured, intent core.RouteIntent) *unstructured.Unstructured {
	out := existing.DeepCopy()
	if intent.Matched && intent.Canary > 0 {
		return out
	}
	for _, rule := range k.rules(c, out) {
		rule["backendRefs"] = k.backends(c, intent)
	}
	return out
}
