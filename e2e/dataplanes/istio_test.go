//go:build e2e && integration

package dataplanes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/xds"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/testserver"
	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/traffic"
	"github.com/sluice-dev/sluice/mesh"
	"github.com/sluice-dev/sluice/reconciler/core"
)

const (
	namespace = "test"
	port      = 8080
	// calls in each measurement, and how sure a share must be wrong before it fails the test.
	calls      = 400
	confidence = 0.9999
)

// TestIstio has istiod judge and serve the routes of every strategy. A gRPC client is the data plane.
func TestIstio(t *testing.T) {
	admin, err := server.Client()
	must(t, err)
	xdsAddress := startIstiod(t, admin)
	must(t, admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
	c := &v1beta1.Canary{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "app", UID: "11111111-1111-1111-1111-111111111111"}}
	c.Spec.TargetRef = v1beta1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "app"}
	c.Spec.Provider, c.Spec.Service.Port = "istio", port
	c.Spec.Analysis = v1beta1.CanaryAnalysis{}
	apex, primary, canary := c.ServiceNames()
	sides := map[string]string{}
	for _, name := range []string{apex, primary, canary} {
		sides[serve(t, admin, name)] = name
	}
	refusesNonsense(t, admin, primary)
	router, err := mesh.New(admin, admin, "istio", clock.RealClock{})
	must(t, err)
	conn := dial(t, xdsAddress, fmt.Sprintf("xds:///%s.%s.svc.cluster.local:%d", apex, namespace, port))
	u := user{t, conn, sides}
	write := func(split core.Split) {
		t.Helper()
		_, err := router.Write(t.Context(), c, core.RouteIntent{Split: split})
		must(t, err)
	}
	for _, weight := range []int{0, 25, 60, 100, 0} {
		write(core.Split{Primary: 100 - weight, Canary: weight})
		u.sees(canary, weight, "")
	}
	c.Spec.Analysis.Match = []v1beta1.AnalysisMatch{{Headers: map[string]v1beta1.StringMatch{"X-User": {Exact: "insider"}}}}
	write(core.Split{Canary: 100, Matched: true})
	u.sees(canary, 100, "insider")
	u.sees(canary, 0, "outsider")
	u.sees(canary, 0, "")
	c.Spec.Analysis.Match = nil
	write(core.Split{Primary: 100, Mirror: 30})
	u.sees(canary, 0, "insider")
	c.Spec.Analysis.SessionAffinity = &v1beta1.SessionAffinity{CookieName: "seen", MaxAge: 60}
	write(core.Split{Primary: 80, Canary: 20, Cookie: "seen=abc"})
	u.sees(canary, 20, "")
	write(core.Split{Primary: 100, Revoked: "seen=abc"})
	u.sees(canary, 0, "")
}

// refusesNonsense shows that istiod is asked: the CRD alone allows this.
func refusesNonsense(t *testing.T, admin client.Client, host string) {
	t.Helper()
	rule := map[string]any{"route": []any{map[string]any{"destination": map[string]any{"host": host}, "weight": int64(-1)}}}
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": map[string]any{"name": "nonsense", "namespace": namespace},
		"spec": map[string]any{"hosts": []any{"nonsense"}, "gateways": []any{"mesh"}, "http": []any{rule}},
	}}
	must(t, testserver.Poll(t.Context(), patience, func(ctx context.Context) error {
		err := admin.Create(ctx, u.DeepCopy(), client.DryRunAll)
		if err != nil && strings.Contains(err.Error(), `admission webhook "validation.istio.io" denied`) {
			return nil
		}
		return errors.Join(errors.New("istiod has not refused a negative weight"), err)
	}))
}

// serve starts a gRPC server, makes a Service for it and returns its address.
func serve(t *testing.T, admin client.Client, name string) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", ownAddress(t)+":0")
	must(t, err)
	s := grpc.NewServer()
	healthpb.RegisterHealthServer(s, health.NewServer())
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(s.Stop)
	at := listener.Addr().(*net.TCPAddr)
	meta := metav1.ObjectMeta{Namespace: namespace, Name: name}
	must(t, admin.Create(t.Context(), &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "grpc", Port: port}}}}))
	meta.Labels = map[string]string{discoveryv1.LabelServiceName: name}
	portName, number, ready := "grpc", int32(at.Port), true
	must(t, admin.Create(t.Context(), &discoveryv1.EndpointSlice{
		ObjectMeta: meta, AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &portName, Port: &number}},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{at.IP.String()}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
	}))
	return at.String()
}

// ownAddress is one of this machine's that an EndpointSlice may name: no loopback.
func ownAddress(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	must(t, err)
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && ip.IP.IsGlobalUnicast() {
			return ip.IP.String()
		}
	}
	t.Fatal("this machine has no address but loopback: give it one")
	return ""
}

func dial(t *testing.T, xdsAddress, target string) *grpc.ClientConn {
	t.Helper()
	ip := ownAddress(t)
	resolver, err := xds.NewXDSResolverWithConfigForTesting(fmt.Appendf(nil, `{
		"xds_servers": [{"server_uri": %q, "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}],
		"node": {"id": "sidecar~%s~caller.%s~%s.svc.cluster.local", "metadata": {"GENERATOR": "grpc", "NAMESPACE": %q, "INSTANCE_IPS": %q,
			"ISTIO_VERSION": "1.31.0", "CLUSTER_ID": "Kubernetes"}}}`, xdsAddress, ip, namespace, namespace, namespace, ip))
	must(t, err)
	conn, err := grpc.NewClient(target, grpc.WithResolvers(resolver), grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// user is a gRPC client that routes its own calls as istiod tells it.
type user struct {
	*testing.T
	conn  *grpc.ClientConn
	sides map[string]string
}

// ask calls n times, as somebody where one is named, and counts who answers.
func (u user) ask(ctx context.Context, n int, who string) (map[string]int, error) {
	if who != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "x-user", who)
	}
	met := map[string]int{}
	for range n {
		var p peer.Peer
		if _, err := healthpb.NewHealthClient(u.conn).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.Peer(&p), grpc.WaitForReady(true)); err != nil {
			return met, err
		}
		met[u.sides[p.Addr.String()]]++
	}
	return met, nil
}

// sees waits until the share that a side has of the calls is as given, and nobody else but the primary has any.
func (u user) sees(side string, weight int, who string) {
	u.Helper()
	var met map[string]int
	err := testserver.Poll(u.Context(), patience, func(ctx context.Context) error {
		var err error
		if met, err = u.ask(ctx, calls, who); err != nil {
			return err
		}
		if others := calls - met["app-primary"] - met["app-canary"]; others > 0 {
			return fmt.Errorf("%d calls met neither side: %v", others, met)
		}
		if share := traffic.CheckShare(met[side], calls, weight, confidence); !share.OK() {
			return fmt.Errorf("%s", share)
		}
		return nil
	})
	if err != nil {
		u.Fatalf("at weight %d, as %q: %v", weight, who, err)
	}
	u.Logf("at weight %d, as %q: %v", weight, who, met)
}
