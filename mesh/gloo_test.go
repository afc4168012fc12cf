package mesh

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// The names of Upstreams tell which Service they lead to; namesakes in other namespaces are not the Canary's.
func TestGlooDestinations(t *testing.T) {
	upstream := func(name, namespace string) map[string]any {
		return map[string]any{"upstream": map[string]any{"name": name, "namespace": namespace}}
	}
	kube := func(name, namespace string) map[string]any {
		return map[string]any{"kube": map[string]any{"ref": map[string]any{"name": name, "namespace": namespace}}}
	}
	for _, tt := range []struct {
		destination map[string]any
		want        string
	}{
		{upstream("test-web-primaryupstream-80", "test"), "web-primary"},
		{upstream("test-web-canaryupstream-80", ""), "web-canary"},
		{upstream("test-web-canaryupstream-80", "elsewhere"), "web-canaryupstream"},
		{upstream("test-web-80", "gloo-system"), "web"},
		{upstream("elsewhere-web-80", "gloo-system"), ""},
		{upstream("test", "test"), ""},
		{kube("web", "test"), "web"},
		{kube("web", "elsewhere"), ""},
	} {
		if got := (gloo{}).leads(map[string]any{"destination": tt.destination}, "test"); got != tt.want {
			t.Errorf("%v leads to %q; want %q", tt.destination, got, tt.want)
		}
	}
}

// What Gloo has against a RouteTable, and an Upstream that is missing, are told with the way out; the weights are read all the same.
func TestGlooTellsWhatIsWrong(t *testing.T) {
	c := plainCanary()
	c.Spec.UpstreamRef = &v1beta1.NamespacedObjectReference{LocalObjectReference: v1beta1.LocalObjectReference{Name: "public"}, Namespace: "gloo-system"}
	p := informed(t, gloo{}, c)
	table := render(t, p, c, nil, core.RouteIntent{Split: core.Split{Primary: 70, Canary: 30}})
	if got := p.Read(c, table); !got.Accepted || got.Canary != 30 {
		t.Errorf("all is well: %+v", got)
	}
	if got := (gloo{}).after(nil).Read(c, table); got.Accepted || got.Canary != 30 || !strings.Contains(got.Problem, "Upstream public does not exist in namespace gloo-system") {
		t.Errorf("without the Upstream: %+v", got)
	}
	for _, state := range []any{"Rejected", int64(2)} {
		status := map[string]any{"gloo-system": map[string]any{"state": state, "reason": "no such thing"}}
		if err := unstructured.SetNestedMap(table.Object, status, "status", "statuses"); err != nil {
			t.Fatal(err)
		}
		if got := p.Read(c, table); got.Accepted || got.Canary != 30 || !strings.Contains(got.Problem, "no such thing") {
			t.Errorf("rejected: %+v", got)
		}
	}
}

// A setting that the user's Upstream does not have any more goes from the Canary's, too.
func TestGlooFollowsTheUpstream(t *testing.T) {
	c := plainCanary()
	c.Spec.UpstreamRef = &v1beta1.NamespacedObjectReference{LocalObjectReference: v1beta1.LocalObjectReference{Name: "public"}}
	p := informed(t, gloo{}, c)
	o := p.Objects(c)[1]
	u, err := p.Render(c, o, nil, core.RouteIntent{Split: core.Split{Primary: 100}})
	if err != nil {
		t.Fatal(err)
	}
	bare := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"useHttp2": false}}}
	u, err = (gloo{}).after(bare).Render(c, o, u, core.RouteIntent{Split: core.Split{Primary: 100}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"useHttp2": false, "kube": map[string]any{"serviceName": "podinfo-canary", "serviceNamespace": "test", "servicePort": int64(c.Spec.Service.Port)},
	}
	if !equal(u.Object["spec"], want) {
		t.Errorf("got\n%s", toYAML(t, u))
	}
}
