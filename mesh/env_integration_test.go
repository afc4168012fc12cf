//go:build integration

package mesh

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/testserver"
	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// patience bounds how long a cache may take to show what was written.
const patience = 3 * time.Minute

// world is the API server that all tests share; each uses a namespace of its own.
var world struct {
	config *rest.Config
	// admin reads and writes directly, cached reads through a cache as the controller does.
	admin, cached client.Client
	// writes counts the requests of cached that are not reads.
	writes atomic.Int64
}

func TestMain(m *testing.M) {
	os.Exit(testserver.Run(testserver.Options{}, func(s *testserver.Server) int { return run(m, s) }))
}

func run(m *testing.M, s *testserver.Server) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := connect(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "prepare the tests:", err)
		return 1
	}
	return m.Run()
}

// connect makes the clients, and installs the CRDs of providers, those of Gateway API once it was seen what the router says without them.
func connect(ctx context.Context, s *testserver.Server) error {
	world.config = s.Config
	var err error
	if world.admin, err = s.Client(); err != nil {
		return err
	}
	counted := rest.CopyConfig(s.Config)
	counted.Wrap(func(next http.RoundTripper) http.RoundTripper { return countWrites{next} })
	store, err := cache.New(counted, cache.Options{Scheme: s.Scheme, DefaultTransform: cache.TransformStripManagedFields()})
	if err != nil {
		return err
	}
	go func() { _ = store.Start(ctx) }()
	if world.cached, err = client.New(counted, client.Options{Scheme: s.Scheme, Cache: &client.CacheOptions{Reader: store, Unstructured: true}}); err != nil {
		return err
	}
	if err := withoutGatewayAPI(ctx); err != nil {
		return err
	}
	module, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	if err != nil {
		return fmt.Errorf("find the module of Gateway API: %w", err)
	}
	crds := filepath.Join(strings.TrimSpace(string(module)), "config", "crd", "standard")
	if err := testserver.InstallCRDs(s.Config, crds); err != nil {
		return err
	}
	if err := goneGatewayAPI(ctx, s); err != nil {
		return err
	}
	if err = testserver.InstallCRDs(s.Config, crds); err != nil {
		return err
	}
	if err := installProviders(ctx, s.Config); err != nil {
		return err
	}
	// What the API server says of the kinds that it knows may be from before the CRD went.
	return testserver.Poll(ctx, patience, func(ctx context.Context) error {
		routes := &unstructured.UnstructuredList{}
		routes.SetGroupVersionKind(gatewayKind("HTTPRouteList"))
		return world.admin.List(ctx, routes)
	})
}

// goneGatewayAPI holds that leaving works when the kind of the route was there and is taken out of the API server, whatever a cache still knows.
// It has a cache of its own, because one that has lost a kind is slow to look for it again.
func goneGatewayAPI(ctx context.Context, s *testserver.Server) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	store, err := cache.New(s.Config, cache.Options{Scheme: s.Scheme})
	if err != nil {
		return err
	}
	go func() { _ = store.Start(ctx) }()
	store.WaitForCacheSync(ctx)
	cached, err := client.New(s.Config, client.Options{Scheme: s.Scheme, Cache: &client.CacheOptions{Reader: store, Unstructured: true}})
	if err != nil {
		return err
	}
	r, c := &Router{client: cached, live: world.admin, memory: newMemory(clock.RealClock{})}, plainCanary()
	c.Namespace = "default"
	if _, err := r.Write(ctx, c, core.RouteIntent{Split: core.Split{Primary: 50, Canary: 50}}); err != nil {
		return fmt.Errorf("before the CRD goes: %w", err)
	}
	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	crd.SetName("httproutes.gateway.networking.k8s.io")
	if err := world.admin.Delete(ctx, crd); err != nil {
		return err
	}
	if err := testserver.Poll(ctx, patience, func(ctx context.Context) error {
		err := world.admin.Get(ctx, client.ObjectKeyFromObject(crd), crd)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("the CRD is still there"), err)
	}); err != nil {
		return err
	}
	// What was written is remembered for a moment, and found to be gone when it is written again.
	if err := testserver.Poll(ctx, patience, func(ctx context.Context) error { return r.GiveBack(ctx, c) }); err != nil {
		return fmt.Errorf("after the CRD has gone: %w", err)
	}
	return nil
}

// withoutGatewayAPI holds that a missing kind is a problem of the route and not an error, that nothing can be written then, and that leaving works.
// It runs first because kinds are not taken out of an API server again.
func withoutGatewayAPI(ctx context.Context) error {
	r, c := &Router{client: world.cached, live: world.admin, memory: newMemory(clock.RealClock{})}, plainCanary()
	c.Namespace = "default"
	route, err := r.Read(ctx, c)
	const problem = "the cluster does not know HTTPRoute of gateway.networking.k8s.io/v1; install"
	if err != nil || route.Exists || route.Accepted || !strings.Contains(route.Problem, problem) {
		return fmt.Errorf("without the CRD: read %+v, %w", route, err)
	}
	if changed, err := r.Write(ctx, c, core.RouteIntent{Split: core.Split{Primary: 100}}); changed || err == nil || !strings.Contains(err.Error(), "install the provider's CRDs") {
		return fmt.Errorf("without the CRD: write %v, %w", changed, err)
	}
	if err := errors.Join(r.GiveBack(ctx, c), r.Fence(ctx, c, v1beta1.Fence{Cause: "configmap/page"})); err != nil {
		return fmt.Errorf("without the CRD: %w", err)
	}
	return nil
}

type countWrites struct{ next http.RoundTripper }

func (t countWrites) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodGet {
		world.writes.Add(1)
	}
	return t.next.RoundTrip(req)
}

// stage is a namespace of a test's own with a router and a Canary in it.
type stage struct {
	*testing.T
	router *Router
	canary *v1beta1.Canary
	// answers counts what the gateway has said.
	answers int
}

func newStage(t *testing.T) *stage {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "mesh-"}}
	if err := world.admin.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	c := plainCanary()
	c.Namespace, c.UID = ns.Name, "11111111-1111-1111-1111-111111111111"
	r, err := New(world.cached, world.admin, "gatewayapi:v1", clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	return &stage{T: t, router: r, canary: c}
}

// create stores a route given as YAML, as somebody else.
func (s *stage) create(u *unstructured.Unstructured, who string) {
	s.Helper()
	u.SetNamespace(s.canary.Namespace)
	u.SetResourceVersion("")
	if err := world.admin.Create(s.Context(), u, client.FieldOwner(who)); err != nil {
		s.Fatal(err)
	}
	s.synced()
}

// live reads the route from the API server.
func (s *stage) live() *unstructured.Unstructured {
	s.Helper()
	o := gatewayAPI{}.Objects(s.canary)[0]
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(o.Kind)
	if err := world.admin.Get(s.Context(), client.ObjectKey{Namespace: s.canary.Namespace, Name: o.Name}, u); err != nil {
		s.Fatal(err)
	}
	return u
}

// synced waits until the cache shows what the API server holds, and returns what the router reads then.
func (s *stage) synced() core.Route {
	s.Helper()
	want := s.live().GetResourceVersion()
	err := wait.PollUntilContextTimeout(s.Context(), 10*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		u, err := s.router.get(ctx, s.canary, gatewayAPI{}.Objects(s.canary)[0])
		return u != nil && u.GetResourceVersion() == want, err
	})
	if err != nil {
		s.Fatalf("the cache does not show version %s: %v", want, err)
	}
	route, err := s.router.Read(s.Context(), s.canary)
	if err != nil {
		s.Fatal(err)
	}
	return route
}

// write brings the route to a split and waits for the cache.
func (s *stage) write(primary, canary int) core.Route {
	s.Helper()
	if _, err := s.router.Write(s.Context(), s.canary, core.RouteIntent{Split: core.Split{Primary: primary, Canary: canary}}); err != nil {
		s.Fatal(err)
	}
	return s.synced()
}

// settled holds that writing the same split again changes nothing and sends nothing.
func (s *stage) settled(intent core.RouteIntent) {
	s.Helper()
	version, requests := s.live().GetResourceVersion(), world.writes.Load()
	changed, err := s.router.Write(s.Context(), s.canary, intent)
	if err != nil || changed {
		s.Errorf("writing %+v again: changed %v, %v", intent, changed, err)
	}
	if now := s.live().GetResourceVersion(); now != version {
		s.Errorf("writing %+v again moved version %s to %s", intent, version, now)
	}
	if sent := world.writes.Load() - requests; sent != 0 {
		s.Errorf("writing %+v again sent %d requests", intent, sent)
	}
}
