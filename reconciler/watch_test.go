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
