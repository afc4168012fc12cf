package reconciler

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// A change of the user's Ingress wakes the Canaries of its namespace whose route is made after it, and no others.
func TestTheUsersIngressWakesItsCanaries(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	canary := func(namespace, name, ingress string) client.Object {
		c := &v1beta1.Canary{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		if ingress != "" {
			c.Spec.IngressRef = &v1beta1.LocalObjectReference{Name: ingress}
		}
		return c
	}
	r := &Reconciler{Options: Options{Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		canary("test", "mine", "public"), canary("test", "other", "internal"), canary("test", "none", ""), canary("elsewhere", "namesake", "public"),
	).Build()}}
	ingress := &unstructured.Unstructured{Object: map[string]any{}}
	ingress.SetKind("Ingress")
	ingress.SetNamespace("test")
	ingress.SetName("public")
	got := r.forRoute(t.Context(), ingress)
	if len(got) != 1 || got[0].Namespace != "test" || got[0].Name != "mine" {
		t.Errorf("woken: %v", got)
	}
}

// The Upstream that settings are copied from may be in another namespace; without one it is in the Canary's.
func TestTheUsersUpstreamWakesItsCanaries(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	canary := func(namespace, name, in string) client.Object {
		c := &v1beta1.Canary{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		c.Spec.UpstreamRef = &v1beta1.NamespacedObjectReference{LocalObjectReference: v1beta1.LocalObjectReference{Name: "settings"}, Namespace: in}
		return c
	}
	r := &Reconciler{Options: Options{Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		canary("test", "mine", "gloo-system"), canary("gloo-system", "beside", ""), canary("test", "other", ""), canary("test", "third", "elsewhere"),
	).Build()}}
	upstream := &unstructured.Unstructured{Object: map[string]any{}}
	upstream.SetKind(kindUpstream)
	upstream.SetNamespace("gloo-system")
	upstream.SetName("settings")
	woken := map[string]bool{}
	for _, request := range r.forRoute(t.Context(), upstream) {
		woken[request.String()] = true
	}
	if len(woken) != 2 || !woken["test/mine"] || !woken["gloo-system/beside"] {
		t.Errorf("woken: %v", woken)
	}
}
