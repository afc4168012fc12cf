//go:build integration

package loadtester

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/testserver"
)

const namespace, gatesName, patience = "test", "loadtester-gates", 2 * time.Minute

var apiServer *testserver.Server

func TestMain(m *testing.M) {
	os.Exit(testserver.Run(testserver.Options{}, func(s *testserver.Server) int {
		apiServer = s
		return m.Run()
	}))
}

// ship creates the namespace, and what the manifests have in a file.
func ship(t *testing.T, c client.Client, path string) {
	t.Helper()
	if err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for decoder := yaml.NewYAMLOrJSONDecoder(file, 4096); ; {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(object); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		object.SetNamespace(namespace)
		if object.GetKind() == "RoleBinding" {
			// kustomize writes the namespace here.
			subjects, _, _ := unstructured.NestedSlice(object.Object, "subjects")
			subjects[0].(map[string]any)["namespace"] = namespace
			if err := unstructured.SetNestedSlice(object.Object, subjects, "subjects"); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
}

// Two replicas with the rights of the shipped manifests agree about gates, also after both were started anew.
func TestSharedGates(t *testing.T) {
	admin, err := apiServer.Client()
	if err != nil {
		t.Fatal(err)
	}
	ship(t, admin, "../../manifests/loadtester/gates.yaml")
	config := rest.CopyConfig(apiServer.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + namespace + ":loadtester"}
	core, err := corev1client.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	gates := func() Gates { return NewSharedGates(core.ConfigMaps(namespace), gatesName) }
	// The API server's authoriser learns of roles by watching them.
	if err := testserver.Poll(t.Context(), patience, func(ctx context.Context) error {
		return gates().Set(ctx, "gate.other.test", true)
	}); err != nil {
		t.Fatal(err)
	}

	replica := func() *tester { return newTester(t, func(c *Config) { c.Gates = gates() }) }
	first, second := replica(), replica()
	first.expect("/gate/check", podinfoGate, 403, "Forbidden")
	first.expect("/gate/open", podinfoGate, 202, "")
	second.expect("/gate/check", podinfoGate, 200, "Approved")
	second.expect("/rollback/check", podinfoGate, 403, "Forbidden")
	second.expect("/rollback/open", podinfoGate, 202, "")
	first.stop()
	second.stop()

	third := replica()
	third.expect("/gate/check", podinfoGate, 200, "Approved")
	third.expect("/rollback/check", podinfoGate, 200, "Approved")
	third.expect("/gate/close", podinfoGate, 202, "")
	third.expect("/gate/close", podinfoGate, 202, "")
	third.expect("/gate/check", podinfoGate, 403, "Forbidden")
	third.expect("/gate/open", `{"name":"a b","namespace":"test"}`, 503, "cannot be kept")

	if open, err := gates().Open(t.Context(), "gate.other.test"); err != nil || !open {
		t.Errorf("a gate that nobody touched: %v, %v", open, err)
	}
	// Nothing else is within the load tester's rights.
	if _, err := core.Secrets(namespace).List(t.Context(), metav1.ListOptions{}); err == nil {
		t.Error("the load tester may list Secrets")
	}
	if err := admin.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: gatesName}}); err != nil {
		t.Fatal(err)
	}
	third.expect("/rollback/check", podinfoGate, 503, "does not exist: create it")
	third.expect("/gate/open", podinfoGate, 503, "does not exist: create it")
}
