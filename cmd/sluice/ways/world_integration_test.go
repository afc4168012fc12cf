//go:build integration

package ways

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-dev/sluice/api/testserver"
)

const (
	root         = "../../.."
	ownNamespace = "sluice-system"
	// together is how many applications are played side by side: they wait most of the time.
	together = "12"
	// patience bounds how long a state may take to come about on a busy machine.
	patience = 4 * time.Minute
)

// world is the cluster that all tests share; each has a namespace of its own.
var world struct {
	config     *rest.Config
	admin      client.Client
	kubeconfig string
	// dir holds what the processes need, and what they write. It goes with them.
	dir string
	// metrics is where Sluice shows its numbers.
	metrics string
	audience
	gates
}

func TestMain(m *testing.M) {
	gatewayAPI, err := exec.CommandContext(context.Background(), "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	if err != nil {
		fmt.Fprintln(os.Stderr, "find the module of Gateway API:", err)
		os.Exit(1)
	}
	os.Exit(testserver.Run(testserver.Options{
		CRDs:     []string{filepath.Join(root, "manifests/base/crds"), filepath.Join(strings.TrimSpace(string(gatewayAPI)), "config/crd/standard")},
		Webhooks: []string{filepath.Join(root, "manifests/base/webhook")},
	}, func(server *testserver.Server) int { return run(server, m) }))
}

func run(server *testserver.Server, m *testing.M) int {
	log.SetLogger(logr.Discard())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := flag.Set("test.parallel", together); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	end, err := open(ctx, server)
	defer end()
	if err != nil {
		fmt.Fprintln(os.Stderr, "prepare the world:", err)
		return 1
	}
	status := m.Run()
	if status != 0 {
		output, err := os.ReadFile(filepath.Join(world.dir, "sluice.log"))
		fmt.Fprintf(os.Stderr, "--- the end of Sluice's log (%v)\n%s\n", err, output[max(0, len(output)-16<<10):])
	}
	return status
}

// open starts everything that belongs to the world. The returned function ends it, and is to be called after an error too.
func open(ctx context.Context, server *testserver.Server) (end func(), err error) {
	var ends []func()
	end = func() {
		for _, e := range ends {
			e()
		}
	}
	if err := gatewayv1.Install(server.Scheme); err != nil {
		return end, err
	}
	world.config, world.dir, world.audience = server.Config, server.Directory, newAudience()
	world.config.QPS = -1
	if world.admin, err = server.Client(); err != nil {
		return end, err
	}
	world.kubeconfig = filepath.Join(world.dir, "kubeconfig")
	if err := os.WriteFile(world.kubeconfig, server.KubeConfig, 0o600); err != nil {
		return end, err
	}
	if err := install(ctx); err != nil {
		return end, err
	}
	if err := join(ctx); err != nil {
		return end, err
	}
	if err := play(ctx, server.Scheme); err != nil {
		return end, err
	}
	ends = append(ends, world.open())
	stop, err := start(ctx, filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kube-controller-manager"), "controllers.log",
		"--kubeconfig="+world.kubeconfig, "--leader-elect=false", "--secure-port=0",
		"--controllers=deployment-controller,replicaset-controller,daemonset-controller,endpointslice-controller,garbage-collector-controller",
		"--concurrent-deployment-syncs=10", "--concurrent-replicaset-syncs=10", "--kube-api-qps=500", "--kube-api-burst=500")
	ends = append(ends, stop)
	if err != nil {
		return end, err
	}
	stop, err = sluice(ctx, server)
	ends = append(ends, stop)
	return end, err
}

// install applies what the manifests ship, webhooks and workloads aside.
func install(ctx context.Context) error {
	file, err := os.Open(filepath.Join(root, "dist/install.yaml"))
	if err != nil {
		return fmt.Errorf("%w: run make manifests", err)
	}
	defer file.Close()
	decoder := utilyaml.NewYAMLOrJSONDecoder(file, 4096)
	for {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		switch object.GroupVersionKind().Group {
		case "admissionregistration.k8s.io", "apiextensions.k8s.io", "apps", "policy":
			continue
		}
		if err := world.admin.Create(ctx, object); err != nil {
			return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
}

// sluice builds the binary and runs it as the shipped service account, at the address that the webhook configurations lead to.
func sluice(ctx context.Context, server *testserver.Server) (stop func(), err error) {
	nothing := func() {}
	binary := filepath.Join(world.dir, "sluice")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "..").CombinedOutput(); err != nil {
		return nothing, fmt.Errorf("build Sluice: %w: %s", err, out)
	}
	user, err := server.AddUser(envtest.User{
		Name:   "system:serviceaccount:" + ownNamespace + ":sluice",
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + ownNamespace, "system:authenticated"},
	}, nil)
	if err != nil {
		return nothing, err
	}
	raw, err := user.KubeConfig()
	if err != nil {
		return nothing, err
	}
	kubeconfig := filepath.Join(world.dir, "sluice.kubeconfig")
	if err := os.WriteFile(kubeconfig, raw, 0o600); err != nil {
		return nothing, err
	}
	ports, err := freePorts(ctx)
	if err != nil {
		return nothing, err
	}
	world.metrics = fmt.Sprintf("http://127.0.0.1:%d/metrics", ports[0])
	hooks := server.WebhookInstallOptions
	stop, err = start(ctx, binary, "sluice.log", "controller", "-kubeconfig="+kubeconfig, "-own-namespace="+ownNamespace, "-drain=0s", "-threadiness=12",
		"-certs-mode=files", "-certs-dir="+hooks.LocalServingCertDir, fmt.Sprintf("-webhook-port=%d", hooks.LocalServingPort),
		fmt.Sprintf("-port=%d", ports[0]), fmt.Sprintf("-health-port=%d", ports[1]))
	if err != nil {
		return stop, err
	}
	return stop, testserver.Poll(ctx, patience, func(ctx context.Context) error {
		_, err := testserver.Fetch(ctx, fmt.Sprintf("http://127.0.0.1:%d/readyz", ports[1]))
		return err
	})
}

// start runs a program until the returned function is called, and writes what it says to a file.
func start(ctx context.Context, program, output string, args ...string) (stop func(), err error) {
	file, err := os.Create(filepath.Join(world.dir, output))
	if err != nil {
		return func() {}, err
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Start(); err != nil {
		return func() {}, errors.Join(err, file.Close())
	}
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = file.Close()
	}, nil
}

// freePorts returns two ports outside the range of outgoing connections.
func freePorts(ctx context.Context) (ports [2]int, err error) {
	found := 0
	for port := 31000 + os.Getpid()%1000; found < len(ports) && port < 32768; port++ {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		l.Close()
		ports[found] = port
		found++
	}
	if found < len(ports) {
		return ports, errors.New("no ports are free")
	}
	return ports, nil
}
