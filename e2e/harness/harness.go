package harness

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/cluster/addons"
)

// Namespaces.
const (
	// SluiceNamespace is where the shipped manifests put Sluice.
	SluiceNamespace = "sluice-system"
	// TestNamespace holds applications and, from the shipped manifests, the
	// load tester.
	TestNamespace = "test"
)

// Addresses within the cluster.
const (
	// EntryPoint takes user traffic.
	EntryPoint = addons.TraefikAddress
	// MetricsServer is Prometheus, for a Canary's spec.metricsServer.
	MetricsServer = "http://" + addons.PrometheusAddress
	// LoadTester is the load tester, for hooks.
	LoadTester = "http://loadtester.test"
)

const (
	defaultReadyTimeout = 5 * time.Minute
	scrapeInterval      = time.Second
)

// Options for Up and Connect.
type Options struct {
	// Log receives progress, one line at a time; nil discards it.
	Log io.Writer
	// ReadyTimeout bounds each wait for pods; 0 means two minutes.
	ReadyTimeout time.Duration
	// SluiceArgs are added to the controller's arguments.
	SluiceArgs []string
	// WithoutSluice leaves Sluice to InstallSluice.
	WithoutSluice bool
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.ReadyTimeout == 0 {
		o.ReadyTimeout = defaultReadyTimeout
	}
	return o
}

// Harness is a cluster with everything on it. It is safe for concurrent use.
type Harness struct {
	Cluster *cluster.Cluster
	// Client knows the built-in types, Canaries and Gateway API routes. It
	// reads from the API server, without a cache.
	Client client.WithWatch

	log     io.Writer
	timeout time.Duration
	// args are the controller's further arguments.
	args []string
}

// Up makes sure that everything runs on the cluster, and returns when it is
// ready. When all of it is there already, that takes seconds.
func Up(ctx context.Context, c *cluster.Cluster, o Options) (*Harness, error) {
	o = o.withDefaults()
	h, err := Connect(c, o)
	if err != nil {
		return nil, err
	}
	shared := addons.Options{Log: o.Log, ReadyTimeout: o.ReadyTimeout, ScrapeInterval: scrapeInterval}
	// The Gateway API comes before Sluice, which then finds it at its start.
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"Traefik", func() error { return addons.Traefik(ctx, c, shared) }},
		{"Prometheus", func() error { return addons.Prometheus(ctx, c, shared) }},
		{"podinfo", func() error { return c.LoadTool(ctx, o.Log, "podinfo", "podinfo", appImage) }},
		{"Sluice", func() error { return h.InstallSluice(ctx) }},
		{"the load tester", func() error { return h.installLoadTester(ctx) }},
	} {
		if step.name == "Sluice" && o.WithoutSluice {
			continue
		}
		start := time.Now()
		if err := step.do(); err != nil {
			return nil, fmt.Errorf("set up %s: %w", step.name, err)
		}
		h.logf("%s is ready after %s", step.name, time.Since(start).Round(100*time.Millisecond))
	}
	return h, nil
}

// Connect is a harness of what is on the cluster now; nothing is installed.
func Connect(c *cluster.Cluster, o Options) (*Harness, error) {
	o = o.withDefaults()
	config, err := c.RESTConfig()
	if err != nil {
		return nil, err
	}
	// What the server warns of is for users of kubectl.
	config.WarningHandler = rest.NoWarnings{}
	log.SetLogger(logr.Discard())
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1beta1.AddToScheme, gatewayv1.Install} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("types of the harness: %w", err)
		}
	}
	connected, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connect to cluster %s: %w", c.Name(), err)
	}
	return &Harness{Cluster: c, Client: connected, log: o.Log, timeout: o.ReadyTimeout, args: o.SluiceArgs}, nil
}

func (h *Harness) logf(format string, args ...any) {
	fmt.Fprintf(h.log, format+"\n", args...)
}

// Apply applies manifests (YAML, several documents) as kubectl apply does.
func (h *Harness) Apply(ctx context.Context, manifests string) error {
	_, err := h.Cluster.Kubectl(ctx, manifests, "apply", "-f", "-")
	return err
}

// RolledOut waits until a Deployment's pods are all of its current template and
// ready. The error tells what its pods are waiting for.
func (h *Harness) RolledOut(ctx context.Context, namespace, name string) error {
	return h.rolledOut(ctx, namespace, "deployment/"+name)
}

// AppRolledOut does the same for the workload of an application.
func (h *Harness) AppRolledOut(ctx context.Context, a App) error {
	a = a.withDefaults()
	return h.rolledOut(ctx, a.Namespace, strings.ToLower(a.Kind)+"/"+a.Name)
}

func (h *Harness) rolledOut(ctx context.Context, namespace, workload string) error {
	_, err := h.Cluster.Kubectl(ctx, "", "--namespace", namespace, "rollout", "status", workload, "--timeout="+h.timeout.String())
	if err != nil {
		return fmt.Errorf("%w\n%s", err, h.namespaceReport(ctx, namespace))
	}
	return nil
}
