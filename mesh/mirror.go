package mesh

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/mesh/capability"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// refuseMirror takes the copies of requests out of an intent if a gateway of the Canary's says that it makes none, and returns why. A gateway that meets
// an unknown filter may fail every request of the rule. It is asked when copies are about to begin, not again while they are made; one that cannot be
// read is not suspected.
func (r *Router) refuseMirror(ctx context.Context, c *v1beta1.Canary, p Provider, intent *core.RouteIntent) error {
	if intent.Mirror == 0 || len(c.Spec.Service.GatewayRefs) == 0 || r.mirrors(ctx, c, p) {
		return nil
	}
	for _, ref := range c.Spec.Service.GatewayRefs {
		key := parentKey(ref, c.Namespace)
		if key.kind != "Gateway" || key.group != gatewayv1.GroupName {
			continue
		}
		class := r.classOf(ctx, types.NamespacedName{Namespace: key.namespace, Name: key.name})
		if class != nil && capability.CannotMirror(class) {
			intent.Mirror = 0
			return fmt.Errorf("spec.analysis.mirror: %s copies no requests (HTTPRouteRequestMirror is not among the supportedFeatures of GatewayClass %s); "+
				"remove mirror, or use another gateway", parentName(ref, c.Namespace), class.GetName())
		}
	}
	return nil
}

// mirrors tells whether the route makes copies as it is.
func (r *Router) mirrors(ctx context.Context, c *v1beta1.Canary, p Provider) bool {
	objects := p.Objects(c)
	if len(objects) == 0 {
		return false
	}
	carrier, err := r.get(ctx, c, objects[len(objects)-1])
	return err == nil && carrier != nil && p.Read(c, carrier).Mirror > 0
}

// classOf reads the GatewayClass of a Gateway from the API server itself: it is seldom asked for, which is no reason to watch all of them. Nil when
// either cannot be read.
func (r *Router) classOf(ctx context.Context, gateway types.NamespacedName) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(gatewayKind("Gateway"))
	if err := r.live.Get(ctx, gateway, u); err != nil {
		return nil
	}
	name, _, err := unstructured.NestedString(u.Object, "spec", "gatewayClassName")
	if err != nil || name == "" {
		return nil
	}
	class := &unstructured.Unstructured{}
	class.SetGroupVersionKind(gatewayKind("GatewayClass"))
	if err := r.live.Get(ctx, types.NamespacedName{Name: name}, class); err != nil {
		return nil
	}
	return class
}

// gatewayKind is a kind of Gateway API.
func gatewayKind(kind string) schema.GroupVersionKind {
	return schema.GroupVersion(gatewayv1.GroupVersion).WithKind(kind)
}
