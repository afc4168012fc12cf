//go:build integration

package webhook

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/analysis/query/promql"
	"github.com/sluice-dev/sluice/api/testserver"
	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/api/validation"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// patience bounds how long a state may take to come about.
const patience = 3 * time.Minute

// world is the API server with the shipped configurations and a webhook server that answers them, shared by all tests: each uses a namespace of
// its own.
var world struct {
	config *rest.Config
	scheme *runtime.Scheme
	// admin is a person with all rights; sluice is the user whose requests are left alone.
	admin, sluice client.Client
	warnings      *recorder
	metrics       *prometheus.Registry
	// address is where the webhook is served.
	address string
	// kubeconfig is the admin's, as a file.
	kubeconfig string
	// cache is what the webhook process reads from.
	cache client.Reader
	// fencer stands for the routes.
	fencer *fencer
	// requests counts what the webhook process asks of the API server, watches aside.
	requests atomic.Int64
}

func TestMain(m *testing.M) {
	logf.SetLogger(zap.New(zap.WriteTo(os.Stderr)))
	base := filepath.Join("..", "manifests", "base")
	options := testserver.Options{CRDs: []string{filepath.Join(base, "crds")}, Webhooks: []string{filepath.Join(base, "webhook")}, Uncached: true}
	os.Exit(testserver.Run(options, func(s *testserver.Server) int { return run(m, s) }))
}

func run(m *testing.M, s *testserver.Server) int {
	world.scheme = s.Scheme
	world.kubeconfig = filepath.Join(s.Directory, "kubeconfig")
	if err := os.WriteFile(world.kubeconfig, s.KubeConfig, 0o600); err != nil {
		fmt.Fprintln(os.Stderr, "write the kubeconfig:", err)
		return 1
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	defer func() {
		cancel()
		<-stopped
	}()
	if err := serve(ctx, s.Config, s.WebhookInstallOptions, stopped); err != nil {
		fmt.Fprintln(os.Stderr, "serve the webhook:", err)
		return 1
	}
	return m.Run()
}

// serve runs the webhook server as the shipped service account and prepares the clients. It closes stopped when the server has ended.
func serve(ctx context.Context, config *rest.Config, install envtest.WebhookInstallOptions, stopped chan<- struct{}) error {
	world.config = config
	world.warnings = &recorder{}
	world.metrics = prometheus.NewRegistry()
	var err error
	if world.admin, err = clientFor("admin"); err != nil {
		return err
	}
	if world.sluice, err = clientFor(own); err != nil {
		return err
	}
	if err := grant(ctx); err != nil {
		return err
	}
	// With the shipped rights and no others.
	asSluice := as(own)
	asSluice.Impersonate.Groups = nil
	asSluice.WarningHandler = rest.NoWarnings{}
	asSluice.Wrap(func(next http.RoundTripper) http.RoundTripper { return counter{next} })
	world.address = net.JoinHostPort(install.LocalServingHost, strconv.Itoa(install.LocalServingPort))
	mgr, err := ctrl.NewManager(asSluice, ctrl.Options{
		Scheme:  world.scheme,
		Metrics: server.Options{BindAddress: "0"},
		Cache: cache.Options{ByObject: map[client.Object]cache.ByObject{
			&appsv1.ControllerRevision{}: {Label: labels.SelectorFromSet(labels.Set{v1beta1.LabelSnapshot: "true"})},
		}},
		WebhookServer: webhook.NewServer(webhook.Options{
			Host: install.LocalServingHost, Port: install.LocalServingPort, CertDir: install.LocalServingCertDir,
			TLSOpts: []func(*tls.Config){},
		}),
	})
	if err != nil {
		return err
	}
	world.cache = mgr.GetCache()
	world.fencer = &fencer{}
	options := Options{Username: own, Fencer: world.fencer, Registerer: world.metrics, Validation: validation.Options{DefaultProvider: "kubernetes", CheckQuery: promql.Check}}
	if err := Setup(ctx, mgr, options); err != nil {
		return err
	}
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		return err
	}
	mgr.GetWebhookServer().Register("/strip", &admission.Webhook{Handler: admission.HandlerFunc(stripMarks)})
	mgr.GetWebhookServer().Register("/panic", &admission.Webhook{Handler: guard{path: "/panic", inner: panicking{}, reach: reach{username: own}, metrics: m, now: time.Now}})
	go func() {
		defer close(stopped)
		if err := mgr.Start(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "manager:", err)
		}
	}()
	if !mgr.GetCache().WaitForCacheSync(ctx) {
		return fmt.Errorf("the cache did not synchronise")
	}
	check := mgr.GetWebhookServer().StartedChecker()
	return testserver.Poll(ctx, patience, func(context.Context) error { return check(nil) })
}

// grant applies the shipped rights.
func grant(ctx context.Context) error {
	for _, file := range []string{"cluster.yaml", "workloads.yaml"} {
		raw, err := os.ReadFile(filepath.Join("..", "manifests", "base", "rbac", file))
		if err != nil {
			return err
		}
		for document := range strings.SplitSeq(string(raw), "\n---\n") {
			u := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(document), u); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			if err := world.admin.Create(ctx, u); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	return nil
}

// as returns a configuration that acts as a user with all rights.
func as(user string) *rest.Config {
	c := rest.CopyConfig(world.config)
	c.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:masters"}}
	c.QPS = -1
	return c
}

func clientFor(user string) (client.Client, error) {
	c := as(user)
	c.WarningHandler = world.warnings
	return client.New(c, client.Options{Scheme: world.scheme})
}

// counter counts the requests of the webhook process.
type counter struct{ next http.RoundTripper }

func (c counter) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Query().Get("watch") == "" {
		world.requests.Add(1)
	}
	return c.next.RoundTrip(req)
}

// stripMarks is somebody else's webhook, which takes off what it does not know.
func stripMarks(_ context.Context, req admission.Request) admission.Response {
	u, err := decode(req.Object)
	if err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	p := newPatch(u)
	p.dropAnnotation(v1beta1.AnnotationHold)
	p.dropAnnotation(v1beta1.AnnotationAdmitted)
	if u.GetKind() == revision.Deployment || u.GetKind() == revision.DaemonSet {
		b := revision.BrakeOf(u.GetKind())
		p.value(b.Path, b.Read(u), b.Off)
	}
	return allowed(answer{patches: p.operations})
}

// panicking is a handler with a defect.
type panicking struct{}

func (panicking) handle(context.Context, admission.Request) (answer, error) { panic("a defect") }

func eventually(t *testing.T, check func() error) {
	t.Helper()
	if err := testserver.Poll(t.Context(), patience, func(context.Context) error { return check() }); err != nil {
		t.Fatal(err)
	}
}

// namespace creates a namespace named after the test.
func namespace(t *testing.T) string {
	t.Helper()
	name := strings.Trim(strings.Map(lowerOrDash, t.Name()), "-")
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: name + "-"}}
	if err := world.admin.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	return ns.Name
}

func lowerOrDash(r rune) rune {
	if r >= 'A' && r <= 'Z' {
		return r - 'A' + 'a'
	}
	if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
		return r
	}
	return '-'
}

// calls is how often a path was asked.
func calls(t *testing.T, path string) (n float64) {
	t.Helper()
	families, err := world.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "sluice_admission_requests_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "path" && l.GetValue() == path {
					n += m.GetCounter().GetValue()
				}
			}
		}
	}
	return n
}
