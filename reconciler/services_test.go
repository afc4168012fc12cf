package reconciler

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

func serviceWorld() *world {
	c := &v1beta1.Canary{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "web", UID: "1"}}
	c.Spec.TargetRef = v1beta1.LocalObjectReference{Kind: "Deployment", Name: "web"}
	c.Spec.Service = v1beta1.CanaryService{Port: 80, TargetPort: intstr.FromString("http")}
	return &world{canary: c, kind: deployments{}, label: revision.SelectorLabel{Key: "app", Value: "shop"}}
}

func TestSelectors(t *testing.T) {
	w := serviceWorld()
	for _, c := range []struct {
		role role
		apex core.Side
		pin  string
		want map[string]string
	}{
		{rolePrimary, "", "abc", map[string]string{"app": "shop-primary"}},
		{roleCanary, "", "", map[string]string{"app": "shop"}},
		{roleCanary, "", "abc", map[string]string{"app": "shop", "pod-template-hash": "abc"}},
		{roleApex, core.SidePrimary, "abc", map[string]string{"app": "shop-primary"}},
		{roleApex, core.SideTarget, "", map[string]string{"app": "shop"}},
		{roleApex, core.SideTarget, "abc", map[string]string{"app": "shop", "pod-template-hash": "abc"}},
		{roleApex, core.SideUnknown, "", nil},
	} {
		if got := w.selectorFor(c.role, c.apex, c.pin); !equality.Semantic.DeepEqual(got, c.want) {
			t.Errorf("%s %s %q: selector %v, want %v", c.role, c.apex, c.pin, got, c.want)
		}
	}
}

func TestSideOfAService(t *testing.T) {
	label := revision.SelectorLabel{Key: "app", Value: "shop"}
	for want, selector := range map[core.Side]map[string]string{
		core.SidePrimary: {"app": "shop-primary"},
		core.SideTarget:  {"app": "shop", "tier": "front"},
		core.SideUnknown: {"tier": "front"},
	} {
		if got := side(&corev1.Service{Spec: corev1.ServiceSpec{Selector: selector}}, label); got != want {
			t.Errorf("%v: side %q, want %q", selector, got, want)
		}
	}
	if side(nil, label) != core.SideUnknown {
		t.Error("a missing Service has a side")
	}
}

func TestOwnedServiceHasExactlyTheMetadataAskedFor(t *testing.T) {
	w := serviceWorld()
	w.canary.Spec.Service.Canary = &v1beta1.CustomMetadata{Labels: map[string]string{"team": "a"}, Annotations: map[string]string{"note": "x"}}
	w.canary.Spec.Service.UnmanagedMetadata = &v1beta1.UnmanagedMetadata{Annotations: []string{"cloud"}}
	made := w.serviceFor(roleCanary, nil, w.selectorFor(roleCanary, "", ""))
	if made.Name != "web-canary" || !metav1.IsControlledBy(made, w.canary) || made.Labels["app"] != "web-canary" || made.Labels["team"] != "a" {
		t.Errorf("new Service %+v", made.ObjectMeta)
	}
	stored := made.DeepCopy()
	stored.Labels["old"], stored.Annotations["cloud"], stored.Annotations["stray"] = "x", "kept", "x"
	stored.Spec.Ports[0].NodePort = 30001
	got := w.serviceFor(roleCanary, stored, w.selectorFor(roleCanary, "", "abc"))
	if got.Labels["old"] != "" || got.Annotations["stray"] != "" || got.Annotations["cloud"] != "kept" || got.Annotations["note"] != "x" {
		t.Errorf("metadata %v %v", got.Labels, got.Annotations)
	}
	if got.Spec.Ports[0].NodePort != 30001 || got.Spec.Selector["pod-template-hash"] != "abc" {
		t.Errorf("spec %+v", got.Spec)
	}
}

func TestBorrowedServiceIsGivenBackAsItWas(t *testing.T) {
	w := serviceWorld()
	theirs := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "web", Labels: map[string]string{"mine": "yes"}, Annotations: map[string]string{"a": "b"}},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, LoadBalancerClass: new("x"), Selector: map[string]string{"app": "shop", "tier": "front"},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, NodePort: 30002}},
		},
	}
	seen := w.serviceFor(roleApex, theirs, nil)
	if !equality.Semantic.DeepEqual(seen.Spec, theirs.Spec) || seen.Annotations[annotationSelector] != "" {
		t.Errorf("a Service that is left alone was changed: %+v", seen)
	}
	taken := w.serviceFor(roleApex, seen, w.selectorFor(roleApex, core.SidePrimary, ""))
	again := w.serviceFor(roleApex, taken, w.selectorFor(roleApex, core.SidePrimary, ""))
	if !equality.Semantic.DeepEqual(taken, again) {
		t.Error("taking over twice differs from once")
	}
	if len(taken.OwnerReferences) != 0 || taken.Labels["mine"] != "yes" || *taken.Spec.LoadBalancerClass != "x" || taken.Spec.Ports[0].NodePort != 30002 {
		t.Errorf("what others own was changed: %+v", taken)
	}
	back := release(taken, w.canary)
	if !equality.Semantic.DeepEqual(back.Spec.Selector, theirs.Spec.Selector) || !equality.Semantic.DeepEqual(back.ObjectMeta, theirs.ObjectMeta) {
		t.Errorf("given back %+v %v", back.ObjectMeta, back.Spec.Selector)
	}
}

func TestPortDiscovery(t *testing.T) {
	w := serviceWorld()
	w.canary.Spec.Service.PortDiscovery = true
	w.target = &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
		"containers": []any{
			map[string]any{"name": "main", "ports": []any{
				map[string]any{"name": "http", "containerPort": int64(8080)},
				map[string]any{"name": "dns", "containerPort": int64(53), "protocol": "UDP"},
				map[string]any{"containerPort": int64(9999)},
			}},
			map[string]any{"name": "twin", "ports": []any{map[string]any{"name": "dns", "containerPort": int64(54)}}},
			map[string]any{"name": "envoy", "ports": []any{map[string]any{"name": "admin", "containerPort": int64(1)}}},
		},
	}}}}}
	got := w.ports()
	if len(got) != 3 {
		t.Fatalf("ports %+v, want the main port, dns and the unnamed one", got)
	}
	if got[0].Name != "http" || got[0].Port != 80 || got[0].TargetPort != intstr.FromString("http") {
		t.Errorf("main port %+v", got[0])
	}
	if got[1].Name != "dns" || got[1].Protocol != corev1.ProtocolUDP || got[2].Name != "tcp-main-2" || got[2].Port != 9999 {
		t.Errorf("discovered ports %+v", got[1:])
	}
}

func TestPodsAreToldByName(t *testing.T) {
	long := "a-name-that-is-so-long-that-kubernetes-cuts-the-names-of-pods"
	for _, c := range []struct {
		deployment, hash, pod string
		want                  bool
	}{
		{"web-primary", "", "web-primary-5d4f8b6c9d-x7k2p", true},
		{"web-primary", "", "web-5d4f8b6c9d-x7k2p", false},
		{"web", "", "web-primary-5d4f8b6c9d-x7k2p", false},
		{"web", "", "web-5d4f8b6c9d-x7k2p", true},
		{"web", "5d4f8b6c9d", "web-5d4f8b6c9d-x7k2p", true},
		{"web", "5d4f8b6c9d", "web-6b6c9d8f4d-x7k2p", false},
		{"web", "5d4f8b6c9d", "web-5d4f8b6c9d-x7k2p-more", false},
		{"web", "5d4f8b6c9d", "web-primary-5d4f8b6c9d-x7k2p", false},
		{"web", "", "address 10.0.0.1", false},
		{long[:55], "5d4f8b6c9d", long[:55] + "-5dx7k2p", true},
		{long[:60], "", long[:58] + "x7k2p", true},
	} {
		if got := (deployments{}).pods(c.deployment, c.hash)(c.pod, ""); got != c.want {
			t.Errorf("%s is a pod of %s %s: %v, want %v", c.pod, c.deployment, c.hash, got, c.want)
		}
	}
}
