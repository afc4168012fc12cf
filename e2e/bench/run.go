package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/image"
	"github.com/sluice-dev/sluice/e2e/tools"
)

// Options of a run.
type Options struct {
	// Install is the rendered install, Module the folder of Sluice's module.
	Install, Module string
	// Noop is the command that serves the no-op webhook; the port and the folder
	// of certificates are added.
	Noop []string
	// Rounds of latency after Warmup rounds; a round is one change of each kind.
	Rounds, Warmup int
	// Apps in each row, Workers that change them at once, in Slices of a time.
	Apps, Workers, Slices int
	Slice                 time.Duration
	// Progress is told what happens.
	Progress io.Writer
}

// Run measures and returns the table, and what is against the promises. Call it
// from a goroutine that keeps its thread.
func Run(ctx context.Context, o Options) (table string, problems []string, err error) {
	dir, err := os.MkdirTemp("", "bench-admission-")
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		if err == nil {
			_ = os.RemoveAll(dir)
		} else {
			fmt.Fprintf(o.Progress, "the logs are in %s\n", dir)
		}
	}()
	all, k, err := prepare(ctx, o, dir)
	if err != nil {
		return "", nil, err
	}
	if err := latencies(ctx, all, o.Warmup, o.Rounds, o.Progress); err != nil {
		return "", nil, err
	}
	if err := throughputs(ctx, all, o.Workers, o.Slices, o.Slice, o.Progress); err != nil {
		return "", nil, err
	}
	fmt.Fprintln(o.Progress, "counting calls and requests")
	for _, s := range all {
		if err := (counter{k}).count(ctx, s, time.Second); err != nil {
			return "", nil, fmt.Errorf("%s, %s: %w", s.gate, s.what, err)
		}
	}
	return render(all), judge(all), nil
}

// prepare starts everything and makes the applications.
func prepare(ctx context.Context, o Options, dir string) ([]*scenario, *cluster, error) {
	dirs, err := tools.Build(ctx, o.Progress, "kubernetes")
	if err != nil {
		return nil, nil, err
	}
	fmt.Fprintln(o.Progress, "building Sluice")
	program := filepath.Join(dir, "sluice")
	if err := image.Compile(ctx, o.Module, "./cmd/sluice", program); err != nil {
		return nil, nil, err
	}
	fmt.Fprintln(o.Progress, "starting etcd and two API servers")
	k, err := startCluster(ctx, dirs["kubernetes"], dir)
	if err != nil {
		return nil, nil, err
	}
	all, err := install(ctx, o, k, program)
	return all, k, err
}

// install makes the applications and, after them, starts the webhooks.
func install(ctx context.Context, o Options, k *cluster, program string) ([]*scenario, error) {
	gated, err := newClient(k.gated)
	if err != nil {
		return nil, err
	}
	plain, err := newClient(k.plain)
	if err != nil {
		return nil, err
	}
	mutating, validating, err := apply(ctx, gated, o.Install)
	if err != nil {
		return nil, err
	}
	if err := holdLease(ctx, gated); err != nil {
		return nil, err
	}
	fmt.Fprintln(o.Progress, "making the applications")
	all, err := scenarios(ctx, gated, plain, o.Apps)
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(o.Progress, "starting the webhooks")
	certificates := filepath.Join(k.dir, "certificates")
	ca, err := certificate(certificates)
	if err != nil {
		return nil, err
	}
	if err := startWebhooks(ctx, o, k, program, certificates); err != nil {
		return nil, err
	}
	if err := gate(ctx, gated, k, ca, mutating, validating); err != nil {
		return nil, err
	}
	return all, inForce(ctx, k, all)
}

func newClient(config *rest.Config) (client.Client, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1beta1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	return client.New(config, client.Options{Scheme: scheme})
}

// startWebhooks starts the no-op webhook and one replica of Sluice.
func startWebhooks(ctx context.Context, o Options, k *cluster, program, certificates string) error {
	kubeconfig, err := k.kubeconfig()
	if err != nil {
		return err
	}
	noop := append(o.Noop[1:], fmt.Sprintf("--port=%d", k.ports["noop"]), "--certificates="+certificates)
	if err := process(ctx, k.dir, "noop", o.Noop[0], noop...); err != nil {
		return err
	}
	if err := process(ctx, k.dir, "sluice", program, "controller", "-kubeconfig="+kubeconfig, "-own-namespace="+ownNamespace,
		"-mesh-provider=kubernetes", "-certs-mode=files", "-certs-dir="+certificates, "-threadiness=2",
		fmt.Sprintf("-webhook-port=%d", k.ports["sluice"]), fmt.Sprintf("-health-port=%d", k.ports["health"]), fmt.Sprintf("-port=%d", k.ports["metrics"]),
	); err != nil {
		return err
	}
	trust := rest.TLSClientConfig{CAFile: filepath.Join(certificates, "tls.crt")}
	if err := until(ctx, "the no-op webhook answers", func(ctx context.Context) error {
		_, err := get(ctx, &rest.Config{Host: fmt.Sprintf("https://127.0.0.1:%d", k.ports["noop"]), TLSClientConfig: trust}, "/ready")
		return err
	}); err != nil {
		return err
	}
	return until(ctx, "Sluice is ready", func(ctx context.Context) error {
		_, err := get(ctx, &rest.Config{Host: fmt.Sprintf("http://127.0.0.1:%d", k.ports["health"])}, "/readyz")
		return err
	})
}

// inForce waits until the API server asks the webhooks.
func inForce(ctx context.Context, k *cluster, all []*scenario) error {
	for _, s := range all {
		if !s.calls {
			continue
		}
		err := until(ctx, "the API server asks: "+s.gate+", "+s.what, func(ctx context.Context) error {
			if err := (counter{k}).count(ctx, s, poll); err != nil {
				return err
			}
			if s.counts.calls < s.counts.changes {
				return fmt.Errorf("%d calls for %d changes", s.counts.calls, s.counts.changes)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// scenarios are the rows of the table, with their applications.
func scenarios(ctx context.Context, gated, plain client.Client, apps int) ([]*scenario, error) {
	if err := gated.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		return nil, err
	}
	var all []*scenario
	add := func(gate, what, kind string, marks marks, c client.Client, calls, aside bool) error {
		s := &scenario{gate: gate, what: what, client: c, calls: calls, aside: aside}
		for i := range apps {
			name := strings.ToLower(fmt.Sprintf("app-%d-%d", len(all), i))
			a, err := newApp(ctx, gated, name, kind, marks)
			if err != nil {
				return err
			}
			s.apps = append(s.apps, a)
		}
		all = append(all, s)
		return nil
	}
	for _, kind := range []string{deployments, configMaps, secrets} {
		for _, err := range []error{
			add(gateNone, kind, kind, markNone, plain, false, false),
			add(gateNoop, kind, kind, markNoop, gated, true, false),
			add(gateTracked, kind, kind, markSluice, gated, true, false),
			add(gateUntracked, kind, kind, markNone, gated, false, false),
		} {
			if err != nil {
				return nil, err
			}
		}
	}
	if err := add(gateGuarded, deployments, deployments, markGuarded, gated, true, false); err != nil {
		return nil, err
	}
	return all, add(gateTracked, "Deployment: labels, annotations, replicas", deployments, markSluice, gated, false, true)
}
