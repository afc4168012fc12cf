package webhook

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/api/validation"
	"github.com/sluice-dev/sluice/mesh/capability"
)

const gatewayGroup = "gateway.networking.k8s.io"

// noMirror names the gateways of a Canary that asks for copies of requests which say that they make none. What was not read in time, or may not be, is
// not claimed.
func (f factFinder) noMirror(ctx context.Context, c *v1beta1.Canary) []string {
	if !c.Spec.Analysis.Mirror {
		return nil
	}
	ctx, cancel := spend(ctx, lookupBudget)
	defer cancel()
	var names []string
	for _, ref := range validation.Gateways(c) {
		class := f.gatewayClass(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name})
		if class == nil || !capability.CannotMirror(class) {
			continue
		}
		name := fmt.Sprintf("Gateway %s/%s (class %s)", ref.Namespace, ref.Name, class.GetName())
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// gatewayClass returns the class of a Gateway; nil when either cannot be read.
func (f factFinder) gatewayClass(ctx context.Context, gateway types.NamespacedName) *unstructured.Unstructured {
	u := f.gatewayObject(ctx, "Gateway", gateway)
	if u == nil {
		return nil
	}
	name, _, err := unstructured.NestedString(u.Object, "spec", "gatewayClassName")
	if err != nil || name == "" {
		return nil
	}
	return f.gatewayObject(ctx, "GatewayClass", types.NamespacedName{Name: name})
}

// gatewayObject reads an object in the version that the cluster prefers.
func (f factFinder) gatewayObject(ctx context.Context, kind string, name types.NamespacedName) *unstructured.Unstructured {
	mapping, err := f.mapper.RESTMapping(schema.GroupKind{Group: gatewayGroup, Kind: kind})
	if err != nil {
		return nil
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(mapping.GroupVersionKind)
	if err := f.live.Get(ctx, name, u); err != nil {
		return nil
	}
	return u
}
