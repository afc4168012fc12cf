//go:build integration

package mesh

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/sluice-dev/sluice/api/testserver"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// The first version of App Mesh's objects takes the place of the second for a while: an API server keeps no fields of one version that another lacks.
func TestOldAppMeshOnAnAPIServer(t *testing.T) {
	withoutAppMesh(t)
	t.Cleanup(func() {
		withoutAppMesh(t)
		if err := installFiles(world.config); err != nil {
			t.Error(err)
		}
	})
	crds := envtest.CRDInstallOptions{Paths: []string{filepath.Join(ownCRDs, "appmesh-v1beta1.yaml")}, ErrorIfPathMissing: true}
	if _, err := envtest.InstallCRDs(world.config, crds); err != nil {
		t.Fatal(err)
	}
	// It has learnt nothing of the other version.
	admin, err := client.New(world.config, client.Options{Scheme: world.admin.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	holdsUp(t, admin, "appmesh")
}

// withoutAppMesh takes the kinds of App Mesh out of the API server and waits until they are gone.
func withoutAppMesh(t *testing.T) {
	t.Helper()
	for _, plural := range []string{"virtualnodes", "virtualrouters", "virtualservices"} {
		crd := &unstructured.Unstructured{}
		crd.SetGroupVersionKind(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"))
		crd.SetName(plural + ".appmesh.k8s.aws")
		err := testserver.Poll(context.WithoutCancel(t.Context()), patience, func(ctx context.Context) error {
			err := world.admin.Delete(ctx, crd)
			if apierrors.IsNotFound(err) {
				return nil
			}
			return errors.Join(errors.New("the CRD is still there"), err)
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// What the primary's pods are part of is there before them, whatever else is not, and selects each pod once.
func TestPreparedForPods(t *testing.T) {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "mesh-"}}
	if err := world.admin.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	c := plainCanary()
	c.Namespace, c.UID, c.Spec.Provider = ns.Name, "11111111-1111-1111-1111-111111111111", "appmesh:v1beta2"
	r, err := New(world.admin, world.admin, "", clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Prepare(t.Context(), c, podLabel); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"podinfo": "podinfo", "podinfo-primary": "podinfo-primary", "podinfo-canary": ""}
	for _, o := range (appMesh{}).Objects(c) {
		u, err := fetch(t.Context(), world.admin, c.Namespace, o)
		if err != nil || (u != nil) != o.BeforePods {
			t.Fatalf("%s: %v, %v", o, u, err)
		}
		if u == nil {
			continue
		}
		selected, _, err := unstructured.NestedString(u.Object, "spec", "podSelector", "matchLabels", "app")
		if err != nil || selected != want[o.Name] {
			t.Errorf("%s selects %q, %v", o, selected, err)
		}
	}
	if route, err := r.Read(t.Context(), c); err != nil || route.Exists {
		t.Errorf("prepared, but read %+v, %v", route, err)
	}
	if _, err := r.Write(t.Context(), c, core.RouteIntent{Split: core.Split{Primary: 100}, Pods: podLabel}); err != nil {
		t.Fatal(err)
	}
	c.Spec.Provider = "gatewayapi:v1"
	if err := r.Prepare(t.Context(), c, podLabel); err != nil {
		t.Fatal(err)
	}
	if route, err := r.Read(t.Context(), c); err != nil || route.Exists {
		t.Errorf("nothing is to be prepared, but read %+v, %v", route, err)
	}
}
