//go:build integration

package mesh

import (
	"context"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/reconciler/core"
)

// A gateway that says that it copies no requests is sent no copies, and moves weights all the same; one that says that it does, is.
func TestCopiesAreNotAskedOfAGatewayThatMakesNone(t *testing.T) {
	s := newStage(t)
	gateway := object(t, "Gateway", `{metadata: {name: public}, spec: {gatewayClassName: `+s.canary.Namespace+`, listeners: [{name: web, port: 80, protocol: HTTP}]}}`)
	gateway.SetNamespace(s.canary.Namespace)
	class := object(t, "GatewayClass", `{spec: {controllerName: example.com/gw}}`)
	class.SetName(s.canary.Namespace)
	for _, o := range []client.Object{class, gateway} {
		if err := world.admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = world.admin.Delete(context.WithoutCancel(t.Context()), class) })
	supports := func(features ...string) {
		t.Helper()
		named := make([]any, 0, len(features))
		for _, f := range features {
			named = append(named, map[string]any{"name": f})
		}
		if err := unstructured.SetNestedSlice(class.Object, named, "status", "supportedFeatures"); err != nil {
			t.Fatal(err)
		}
		if err := world.admin.Status().Update(t.Context(), class); err != nil {
			t.Fatal(err)
		}
	}
	s.write(50, 50)

	supports("Gateway", "HTTPRoute")
	copies := core.RouteIntent{Split: core.Split{Primary: 100, Mirror: 30}}
	_, err := s.router.Write(t.Context(), s.canary, copies)
	if err == nil || !strings.Contains(err.Error(), "spec.analysis.mirror") || !strings.Contains(err.Error(), class.GetName()) {
		t.Errorf("refused with %v; want the field and the class", err)
	}
	if route := s.synced(); route.Split != (core.Split{Primary: 100}) {
		t.Errorf("the route is %+v; want all users at the primary and no copies", route.Split)
	}

	supports("Gateway", "HTTPRoute", "HTTPRouteRequestMirror")
	if _, err := s.router.Write(t.Context(), s.canary, copies); err != nil {
		t.Fatal(err)
	}
	if route := s.synced(); route.Split != copies.Split {
		t.Errorf("the route is %+v; want %+v", route.Split, copies.Split)
	}
}

// object is an object of Gateway API from YAML.
func object(t *testing.T, kind, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	u.SetGroupVersionKind(gatewayKind(kind))
	return u
}
