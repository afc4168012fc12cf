//go:build integration

package mesh

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/testserver"
	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/mesh/capability"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// providerCRDs are the modules that carry the CRDs of providers, and where. SMI has none: its objects are held by the golden files alone.
var providerCRDs = map[string]string{
	"github.com/projectcontour/contour": "examples/contour/01-crds.yaml",
	"istio.io/api":                      "kubernetes/customresourcedefinitions.gen.yaml",
	"github.com/traefik/traefik/v3":     "integration/fixtures/k8s/01-traefik-crd.yml",
}

// sharedCRDs are the published CRDs of providers without a module of their own, which lie beside the checkout on some machines; ownCRDs stand in for
// them elsewhere. They hold the fields that are written, so that a misspelt one is noticed.
var (
	sharedCRDs = filepath.Join("..", "..", "shared", "crds")
	ownCRDs    = filepath.Join("testdata", "crds")
)

// installFiles gives the API server the kinds of the providers without a module.
func installFiles(config *rest.Config) error {
	from := ownCRDs
	if _, err := os.Stat(sharedCRDs); err == nil {
		from = sharedCRDs
	}
	for _, file := range []string{"apisix-v2.yaml", "appmesh-v1beta2.yaml", "gloo-v1.yaml", "kuma-meshhttproute.yaml"} {
		if err := testserver.InstallCRDs(config, filepath.Join(from, file)); err != nil {
			return fmt.Errorf("install %s: %w", file, err)
		}
	}
	return nil
}

// installProviders gives the API server the kinds of further providers.
func installProviders(ctx context.Context, config *rest.Config) error {
	for module, file := range providerCRDs {
		download := exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
		download.Dir = filepath.Join("..", "e2e", "tools", "crds")
		raw, err := download.Output()
		if err != nil {
			return fmt.Errorf("find the module %s: %w", module, err)
		}
		var found struct{ Dir string }
		if err := json.Unmarshal(raw, &found); err != nil {
			return fmt.Errorf("find the module %s: %w", module, err)
		}
		if err := testserver.InstallCRDs(config, filepath.Join(found.Dir, file)); err != nil {
			return fmt.Errorf("install %s: %w", file, err)
		}
	}
	return installFiles(config)
}

// What a provider renders for each kind of split is stored by an API server with the provider's own CRDs: nothing is refused, dropped or defaulted, so that
// it reads back as asked for and a second write finds nothing to do.
func TestProvidersOnAnAPIServer(t *testing.T) {
	for _, name := range []string{"apisix", "appmesh:v1beta2", "contour", "gatewayapi:v1beta1", "gloo", "istio", "kuma", "nginx", "skipper", "traefik"} {
		holdsUp(t, world.admin, name)
	}
}

// holdsUp brings a provider's route to each kind of split that it can do, closes it by a fence, and gives it back.
func holdsUp(t *testing.T, admin client.Client, name string) {
	t.Helper()
	strict := client.WithFieldValidation(admin, metav1.FieldValidationStrict)
	for what, split := range splits() {
		if !runs(name, split) {
			continue
		}
		t.Run(name+"/"+what, func(t *testing.T) {
			ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "mesh-"}}
			if err := world.admin.Create(t.Context(), ns); err != nil {
				t.Fatal(err)
			}
			r, err := New(strict, admin, name, clock.RealClock{})
			if err != nil {
				t.Fatal(err)
			}
			r.Drifted = func(_ *v1beta1.Canary, d core.Drift) {
				t.Errorf("nobody but Sluice has written, and it was told of %+v", d)
			}
			c := plainCanary()
			c.Namespace, c.UID, c.Spec.Provider = ns.Name, "11111111-1111-1111-1111-111111111111", name
			c.Spec.Service.MeshName = "global"
			if runs(name, core.Split{Canary: 100, Matched: true}) {
				busyCanary(c)
				able, _ := capability.Lookup(name)
				if able.AnalysisMatch.Cookie {
					c.Spec.Analysis.Match[1].Headers["cookie"] = v1beta1.StringMatch{Exact: "canary"}
				}
				if most := able.AnalysisMatch.MaxEntries; most > 0 {
					c.Spec.Analysis.Match = c.Spec.Analysis.Match[:most]
				}
			}
			userObjects(t, c, name)
			for _, s := range []core.Split{{Primary: 100}, split, {Primary: 100}, split} {
				if changed, err := r.Write(t.Context(), c, core.RouteIntent{Split: s, Pods: podLabel}); err != nil || !changed {
					t.Fatalf("write %+v: changed %v, %v", s, changed, err)
				}
				route, err := r.Read(t.Context(), c)
				if err != nil || route.Split != s || route.ViaApex {
					t.Fatalf("wrote %+v, read %+v, %v", s, route, err)
				}
				if changed, err := r.Write(t.Context(), c, core.RouteIntent{Split: s, Pods: podLabel}); err != nil || changed {
					t.Fatalf("write %+v again: changed %v, %v", s, changed, err)
				}
			}
			if err := r.Fence(t.Context(), c, fenceFor("configmap/page", 1)); err != nil {
				t.Fatal(err)
			}
			r.memory = newMemory(clock.RealClock{})
			if route, err := r.Read(t.Context(), c); err != nil || route.Split != (core.Split{Primary: 100}) || route.Fence == nil {
				t.Fatalf("fenced: %+v, %v", route, err)
			}
			if err := r.GiveBack(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			objects := implementations()[name].Objects(c)
			if objects[len(objects)-1].Goes {
				// It goes with the Canary that owns it; before that the route is taken off the Services that go, too.
				if _, err := r.Write(t.Context(), c, core.RouteIntent{Split: core.Split{Primary: 100}, ViaApex: true, Pods: podLabel}); err != nil {
					t.Fatal(err)
				}
			}
			if route, err := r.Read(t.Context(), c); err != nil || !route.ViaApex {
				t.Fatalf("given back: %+v, %v", route, err)
			}
		})
	}
}

// What is kept beside the object with the weights is repaired when it is gone, and goes with the Canary that owns it.
func TestWhatStandsBesideTheRoute(t *testing.T) {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "mesh-"}}
	if err := world.admin.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	c := plainCanary()
	c.Namespace, c.UID, c.Spec.Provider = ns.Name, "11111111-1111-1111-1111-111111111111", "istio"
	intent := core.RouteIntent{Split: core.Split{Primary: 70, Canary: 30}}
	router := func() *Router {
		r, err := New(world.admin, world.admin, "istio", clock.RealClock{})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if _, err := router().Write(t.Context(), c, intent); err != nil {
		t.Fatal(err)
	}
	rule := istio{}.Objects(c)[1]
	u, err := fetch(t.Context(), world.admin, c.Namespace, rule)
	if err != nil || u == nil {
		t.Fatalf("%s: %v, %v", rule, u, err)
	}
	if err := world.admin.Delete(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if changed, err := router().Write(t.Context(), c, intent); err != nil || !changed {
		t.Fatalf("repair: changed %v, %v", changed, err)
	}
	if err := router().GiveBack(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for i, o := range (istio{}).Objects(c) {
		u, err := fetch(t.Context(), world.admin, c.Namespace, o)
		if err != nil || u == nil {
			t.Fatalf("%s: %v, %v", o, u, err)
		}
		if owned := len(u.GetOwnerReferences()) > 0; owned != o.Goes {
			t.Errorf("object %d, %s: owned by the Canary %v, want %v", i, o, owned, o.Goes)
		}
	}
}

// userObjects stores the object after which a provider makes its own, and has the Canary name it.
func userObjects(t *testing.T, c *v1beta1.Canary, provider string) {
	t.Helper()
	c.Spec.IngressRef = &v1beta1.LocalObjectReference{Name: "public"}
	c.Spec.RouteRef = &v1beta1.LocalObjectReference{Name: "public"}
	c.Spec.UpstreamRef = &v1beta1.NamespacedObjectReference{LocalObjectReference: v1beta1.LocalObjectReference{Name: "public"}}
	d, ok := implementations()[provider].(derived)
	if !ok {
		return
	}
	o, namespace := d.source(c)
	if o.Name == "" {
		return
	}
	u := parse(t, strings.ReplaceAll(sources[o.Kind.Kind], "APEX", c.Spec.TargetRef.Name))
	u.SetName(o.Name)
	u.SetNamespace(namespace)
	if err := world.admin.Create(t.Context(), u); err != nil {
		t.Fatal(err)
	}
}

// runs tells whether this build can bring a provider's route to a split.
func runs(provider string, s core.Split) bool {
	able, _ := capability.Lookup(provider)
	have := able.Available
	cookies := have.SessionAffinity || s.Cookie == "" && s.Revoked == ""
	if s.Matched && s.Canary < 100 && able.AnalysisMatch.Together {
		return false
	}
	return (have.ABTesting || !s.Matched) && (have.MirrorCanary || s.Mirror == 0) && cookies && (have.PrimaryCookie || s.PrimaryCookie == "")
}
