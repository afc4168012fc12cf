package mesh

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// appMesh keeps a VirtualNode for each of the three Services, and the routes that clients in the mesh know by the names of the apex and the canary Service.
// The pods of the target are those of the apex node, which stays when the Canary goes; those of the primary are the primary node's. Which Service a node
// leads to is another matter: each leads to the one that it is named like.
//
// In v1beta2, the zero value, a VirtualRouter holds the routes, in v1beta1 the VirtualService itself.
type appMesh struct{ version string }

func (a appMesh) old() bool { return a.version == "v1beta1" }

func (a appMesh) kind(name string) schema.GroupVersionKind {
	kind := schema.GroupVersionKind{Group: "appmesh.k8s.aws", Version: "v1beta2", Kind: name}
	if a.old() {
		kind.Version = a.version
	}
	return kind
}

const (
	kindNode    = "VirtualNode"
	kindRouter  = "VirtualRouter"
	kindService = "VirtualService"
)

func (a appMesh) Objects(c *v1beta1.Canary) []Object {
	apex, primary, canary := c.ServiceNames()
	nodes := []Object{
		{Kind: a.kind(kindNode), Name: primary, Goes: true, BeforePods: true},
		{Kind: a.kind(kindNode), Name: canary, Goes: true, BeforePods: true},
		{Kind: a.kind(kindNode), Name: apex, BeforePods: true},
	}
	if a.old() {
		return append(nodes,
			Object{Kind: a.kind(kindService), Name: canary + "." + c.Namespace, Goes: true},
			Object{Kind: a.kind(kindService), Name: apex + "." + c.Namespace},
		)
	}
	return append(nodes,
		Object{Kind: a.kind(kindRouter), Name: canary, Goes: true},
		Object{Kind: a.kind(kindService), Name: canary, Goes: true},
		Object{Kind: a.kind(kindService), Name: apex},
		Object{Kind: a.kind(kindRouter), Name: apex},
	)
}

// carries tells whether an object is the one with the weights.
func (a appMesh) carries(c *v1beta1.Canary, kind, name string) bool {
	objects := a.Objects(c)
	last := objects[len(objects)-1]
	return kind == last.Kind.Kind && name == last.Name
}

func (a appMesh) Render(c *v1beta1.Canary, o Object, existing *unstructured.Unstructured, intent core.RouteIntent) (*unstructured.Unstructured, error) {
	out, spec := prepared(c, o, existing)
	switch {
	case o.Kind.Kind == kindNode:
		return out, a.renderNode(c, o, existing, spec, intent.Pods)
	case o.Kind.Kind == kindService && !a.old():
		return out, a.renderService(c, out, existing, spec)
	}
	if a.old() {
		spec["meshName"] = c.Spec.Service.MeshName
		appMeshGateway(c, out)
		router, _ := spec["virtualRouter"].(map[string]any)
		spec["virtualRouter"] = with(router, map[string]any{"name": a.service(c, o.Name)})
		appMeshListener(spec["virtualRouter"].(map[string]any), a.port(c))
	} else {
		appMeshListener(spec, a.port(c))
	}
	if !a.carries(c, o.Kind.Kind, o.Name) {
		rule, err := a.rule(c, core.RouteIntent{Split: core.Split{Canary: 100}}, nil)
		if err != nil {
			return nil, err
		}
		spec["routes"] = []any{with(rule, map[string]any{"name": a.service(c, o.Name)})}
		return out, nil
	}
	rules, err := a.render(c, intent)
	if err != nil {
		return nil, err
	}
	spec["routes"] = mergeRules(listOf(spec["routes"]), rules, servicesOf(c, a))
	return out, nil
}

// service names the Service that a VirtualService or a VirtualRouter is for.
func (a appMesh) service(c *v1beta1.Canary, name string) string {
	apex, _, canary := c.ServiceNames()
	if name == canary || name == canary+"."+c.Namespace {
		return canary
	}
	return apex
}

// renderService has a VirtualService lead to the VirtualRouter of its name.
func (a appMesh) renderService(c *v1beta1.Canary, out, existing *unstructured.Unstructured, spec map[string]any) error {
	name := out.GetName()
	before, _, _ := unstructured.NestedString(spec, "provider", "virtualRouter", "virtualRouterRef", "name")
	if existing != nil && !claimed(existing, c) && before != "" && before != name {
		return fmt.Errorf("spec.service.name: VirtualService %s leads to the VirtualRouter %s, whose routes would be lost; name that router %s", name, before, name)
	}
	spec["provider"] = map[string]any{"virtualRouter": map[string]any{"virtualRouterRef": map[string]any{"name": name}}}
	appMeshGateway(c, out)
	return nil
}

func (a appMesh) Read(c *v1beta1.Canary, carrier *unstructured.Unstructured) core.Route {
	accepted, problem := appMeshAnswer(carrier)
	return servicesOf(c, a).read(c, carrier, accepted, problem)
}

func (a appMesh) Divert(c *v1beta1.Canary, existing *unstructured.Unstructured, intent core.RouteIntent) *unstructured.Unstructured {
	if !a.carries(c, existing.GetKind(), existing.GetName()) {
		return existing.DeepCopy()
	}
	return servicesOf(c, a).divert(c, existing, intent)
}

// appMeshAnswer is what App Mesh says of this generation of a VirtualRouter. One that it has never answered for counts as accepted.
func appMeshAnswer(router *unstructured.Unstructured) (accepted bool, problem string) {
	conditions, _, _ := unstructured.NestedSlice(router.Object, "status", "conditions")
	inactive := slices.IndexFunc(mapsIn(conditions), func(c map[string]any) bool {
		return c["type"] == "VirtualRouterActive" && c["status"] == "False"
	})
	seen, answers, _ := unstructured.NestedInt64(router.Object, "status", "observedGeneration")
	switch {
	case answers && seen < router.GetGeneration():
		return false, ""
	case inactive >= 0:
		return false, fmt.Sprintf("App Mesh does not use VirtualRouter %s: %s", router.GetName(), text(mapsIn(conditions)[inactive]["message"]))
	}
	return true, ""
}
