package mesh

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// What App Mesh cannot express is refused with the field, the value and the way out; nobody meets the canary instead.
func TestAppMeshRefusals(t *testing.T) {
	header := func(how v1beta1.StringMatch) v1beta1.AnalysisMatch {
		return v1beta1.AnalysisMatch{Headers: map[string]v1beta1.StringMatch{"x-user": how}}
	}
	for want, spoil := range map[string]func(*v1beta1.Canary){
		"spec.analysis.match has 2 entries": func(c *v1beta1.Canary) {
			c.Spec.Analysis.Match = []v1beta1.AnalysisMatch{header(v1beta1.StringMatch{Exact: "a"}), header(v1beta1.StringMatch{Exact: "b"})}
		},
		"spec.analysis.match[0]: this provider compares headers only": func(c *v1beta1.Canary) {
			c.Spec.Analysis.Match = []v1beta1.AnalysisMatch{{QueryParams: map[string]v1beta1.StringMatch{"a": {Exact: "b"}}}}
		},
		"spec.analysis.match[0].headers[x-user] has no condition": func(c *v1beta1.Canary) {
			c.Spec.Analysis.Match = []v1beta1.AnalysisMatch{header(v1beta1.StringMatch{})}
		},
		`spec.service.retries.retryOn: "5xx" is no reason of App Mesh; use server-error`: func(c *v1beta1.Canary) {
			c.Spec.Service.Retries = &v1beta1.HTTPRetry{Attempts: 1, RetryOn: "gateway-error,5xx"}
		},
		"spec.service.retries.perTryTimeout": func(c *v1beta1.Canary) {
			c.Spec.Service.Retries = &v1beta1.HTTPRetry{Attempts: 1, PerTryTimeout: "soon"}
		},
		"spec.service.timeout": func(c *v1beta1.Canary) { c.Spec.Service.Timeout = "soon" },
		"spec.service.match[0].uri": func(c *v1beta1.Canary) {
			c.Spec.Service.Match = []v1beta1.HTTPMatch{{URI: &v1beta1.StringMatch{Exact: "/a"}}}
		},
	} {
		c := plainCanary()
		good := render(t, appMesh{}, c, nil, core.RouteIntent{Split: core.Split{Primary: 70, Canary: 30}})
		spoil(c)
		_, err := appMesh{}.Render(c, appMesh{}.Objects(c)[6], nil, core.RouteIntent{Split: core.Split{Canary: 100, Matched: len(c.Spec.Analysis.Match) > 0}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want %q", err, want)
		}
		if route := (appMesh{}).Read(c, good); route.Accepted || route.Canary != 30 || !strings.Contains(route.Problem, want) {
			t.Errorf("read %+v; want its weights and %q", route, want)
		}
	}
	for _, intent := range []core.RouteIntent{{Split: core.Split{Primary: 100, Mirror: 10}}, {Split: core.Split{Canary: 100, Cookie: "a=b"}}} {
		c := plainCanary()
		if _, err := (appMesh{}).Render(c, appMesh{}.Objects(c)[6], nil, intent); err == nil {
			t.Errorf("%+v is not refused", intent)
		}
	}
}

// What App Mesh says counts for the generation that it has seen; the weights are read all the same.
func TestAppMeshAnswers(t *testing.T) {
	c := plainCanary()
	router := render(t, appMesh{}, c, nil, core.RouteIntent{Split: core.Split{Primary: 70, Canary: 30}})
	router.SetGeneration(3)
	for name, tt := range map[string]struct {
		seen     int64
		active   string
		accepted bool
		problem  string
	}{
		"never":             {0, "", true, ""},
		"active":            {3, "True", true, ""},
		"not this one yet":  {2, "True", false, ""},
		"an older refusal":  {2, "False", false, ""},
		"refused":           {3, "False", false, "App Mesh does not use VirtualRouter podinfo: because"},
		"refused at first":  {0, "False", false, "because"},
		"seen, but no word": {3, "", true, ""},
	} {
		u := router.DeepCopy()
		status := map[string]any{}
		if tt.seen > 0 {
			status["observedGeneration"] = tt.seen
		}
		if tt.active != "" {
			status["conditions"] = []any{map[string]any{"type": "VirtualRouterActive", "status": tt.active, "message": "because"}}
		}
		u.Object["status"] = status
		route := appMesh{}.Read(c, u)
		if route.Accepted != tt.accepted || route.Canary != 30 || !strings.Contains(route.Problem, tt.problem) || tt.problem == "" && route.Problem != "" {
			t.Errorf("%s: %+v", name, route)
		}
	}
}

// Nodes of the same name in other namespaces are not the Canary's.
func TestAppMeshDestinations(t *testing.T) {
	for _, tt := range []struct {
		in     appMesh
		target map[string]any
		want   string
	}{
		{appMesh{}, map[string]any{"virtualNodeRef": map[string]any{"name": "web-canary"}}, "web-canary"},
		{appMesh{}, map[string]any{"virtualNodeRef": map[string]any{"name": "web-canary", "namespace": "test"}}, "web-canary"},
		{appMesh{}, map[string]any{"virtualNodeRef": map[string]any{"name": "web-canary", "namespace": "elsewhere"}}, ""},
		{appMesh{}, map[string]any{"virtualNodeARN": "arn:aws:web-canary"}, ""},
		{appMesh{version: "v1beta1"}, map[string]any{"virtualNodeName": "web-canary"}, "web-canary"},
		{appMesh{version: "v1beta1"}, map[string]any{"virtualNodeName": "web-canary.test"}, "web-canary"},
		{appMesh{version: "v1beta1"}, map[string]any{"virtualNodeName": "web-canary.elsewhere"}, ""},
	} {
		if got := tt.in.leads(tt.target, "test"); got != tt.want {
			t.Errorf("%v leads to %q; want %q", tt.target, got, tt.want)
		}
	}
}

// What others put into a node survives, one that they made is theirs, and no pod is selected twice.
func TestAppMeshNodes(t *testing.T) {
	c := plainCanary()
	c.Spec.Service.Backends = []string{"backend.test", "arn:aws:b"}
	objects := appMesh{}.Objects(c)
	intent := core.RouteIntent{Split: core.Split{Primary: 100}, Pods: podLabel}
	live := parse(t, `apiVersion: appmesh.k8s.aws/v1beta2
kind: VirtualNode
metadata:
  name: NAME
  namespace: test
  ownerReferences:
  - {apiVersion: flagger.app/v1beta1, kind: Canary, name: podinfo, uid: "1", controller: true}
spec:
  awsName: kept
  podSelector: {matchLabels: {app: podinfo}}
  backends:
  - virtualService: {virtualServiceRef: {name: backend.test}, clientPolicy: {tls: {enforce: true}}}
  - virtualService: {virtualServiceRef: {name: gone}}
  listeners:
  - portMapping: {port: 1, protocol: tcp}
    healthCheck: {path: /healthz}
  - portMapping: {port: 2, protocol: tcp}
`)
	for i, selects := range []any{map[string]any{"matchLabels": map[string]any{"app": "podinfo-primary"}}, nil, map[string]any{"matchLabels": map[string]any{"app": "podinfo"}}} {
		live.SetName(objects[i].Name)
		got, err := appMesh{}.Render(c, objects[i], live, intent)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]any{
			"awsName":          "kept",
			"serviceDiscovery": map[string]any{"dns": map[string]any{"hostname": objects[i].Name + ".test.svc.cluster.local."}},
			"backends": []any{
				map[string]any{"virtualService": map[string]any{
					"virtualServiceRef": map[string]any{"name": "backend.test"}, "clientPolicy": map[string]any{"tls": map[string]any{"enforce": true}},
				}},
				map[string]any{"virtualService": map[string]any{"virtualServiceARN": "arn:aws:b"}},
			},
			"listeners": []any{
				map[string]any{"portMapping": map[string]any{"port": int64(80), "protocol": "http"}, "healthCheck": map[string]any{"path": "/healthz"}},
				map[string]any{"portMapping": map[string]any{"port": int64(2), "protocol": "tcp"}},
			},
		}
		if selects != nil {
			want["podSelector"] = selects
		}
		if !equal(got.Object["spec"], want) {
			t.Errorf("%s:\n%s", objects[i], toYAML(t, got))
		}
	}
	live.SetOwnerReferences(nil)
	if got, err := (appMesh{}).Render(c, objects[2], live, intent); err != nil || !equal(got.Object, live.Object) {
		t.Errorf("somebody's own node: %v\n%s", err, toYAML(t, got))
	}
}

// A VirtualService whose routes would be lost is not taken over; one that is the Canary's is repaired.
func TestAppMeshServices(t *testing.T) {
	c := plainCanary()
	o := appMesh{}.Objects(c)[5]
	live := render(t, appMesh{}, c, nil, core.RouteIntent{Split: core.Split{Primary: 100}})
	live.SetGroupVersionKind(o.Kind)
	live.Object["spec"] = map[string]any{"provider": map[string]any{"virtualRouter": map[string]any{"virtualRouterRef": map[string]any{"name": "other"}}}}
	if _, err := (appMesh{}).Render(c, o, live, core.RouteIntent{}); err == nil || !strings.Contains(err.Error(), "leads to the VirtualRouter other") {
		t.Errorf("got %v", err)
	}
	live.SetLabels(map[string]string{v1beta1.LabelCanary: c.Name})
	got, err := appMesh{}.Render(c, o, live, core.RouteIntent{})
	if err != nil {
		t.Fatal(err)
	}
	if name, _, _ := unstructured.NestedString(got.Object, "spec", "provider", "virtualRouter", "virtualRouterRef", "name"); name != "podinfo" {
		t.Errorf("leads to %q", name)
	}
}
