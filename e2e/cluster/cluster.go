package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/sluice-dev/sluice/e2e/cluster/internal/inside"
	"github.com/sluice-dev/sluice/e2e/cluster/internal/state"
	"github.com/sluice-dev/sluice/e2e/cluster/internal/supervisor"
	"github.com/sluice-dev/sluice/e2e/tools"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// DefaultName is the cluster's name where nobody says otherwise.
const DefaultName = "sluice"

// Environment variables.
const (
	// EnvName names the cluster.
	EnvName = "CLUSTER"
	// EnvKubeconfig is the kubeconfig of an existing cluster to use instead.
	EnvKubeconfig = "E2E_KUBECONFIG"
	// EnvImagePrefix is where an existing cluster finds the images, such as
	// "registry.example.com/sluice-tests".
	EnvImagePrefix = "E2E_IMAGE_PREFIX"
)

// ErrNotRunning means that there is no such cluster, or it is not ready.
var ErrNotRunning = errors.New("the cluster is not running")

// Cluster is a running cluster. It is safe for concurrent use.
type Cluster struct {
	name       string
	kubeconfig string
	// dir is the state folder; empty for an existing cluster.
	dir     state.Dir
	spec    supervisor.Spec
	kubectl string
	started bool
	// endWithParent tells that it ends with this process.
	endWithParent bool
	external      *external
}

// Name returns $CLUSTER or the default name.
func Name() string {
	if name := os.Getenv(EnvName); name != "" {
		return name
	}
	return DefaultName
}

// Open returns a running local cluster, or the existing one of E2E_KUBECONFIG.
// The error is ErrNotRunning if there is none.
func Open(ctx context.Context, name string) (*Cluster, error) {
	if path := os.Getenv(EnvKubeconfig); path != "" {
		return openExternal(ctx, path, io.Discard)
	}
	dir, err := state.Of(name)
	if err != nil {
		return nil, err
	}
	_, alive, err := dir.LoadProcess("supervisor")
	if err != nil {
		return nil, err
	}
	if !alive || !dir.Ready() {
		return nil, fmt.Errorf("cluster %q: %w", name, ErrNotRunning)
	}
	spec, err := supervisor.Load(dir)
	if err != nil {
		return nil, err
	}
	return &Cluster{
		name:       name,
		kubeconfig: dir.Kubeconfig(),
		dir:        dir,
		spec:       spec,
		kubectl:    filepath.Join(spec.KubernetesDir, "kubectl"),
	}, nil
}

// Name of the cluster; "external" for an existing one.
func (c *Cluster) Name() string { return c.name }

// Started tells whether Start started the cluster, rather than found it running.
func (c *Cluster) Started() bool { return c.started }

// External tells whether this is the existing cluster of E2E_KUBECONFIG.
func (c *Cluster) External() bool { return c.external != nil }

// KubeconfigPath is a file that plain kubectl on this machine can use. It
// grants all rights.
func (c *Cluster) KubeconfigPath() string { return c.kubeconfig }

// RESTConfig returns a client configuration with all rights, without limits on
// the rate of requests. The caller may change it.
func (c *Cluster) RESTConfig() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig of cluster %s: %w", c.name, err)
	}
	config.QPS = -1
	return config, nil
}

// LogDir holds one log per component, such as kubelet.log; it is empty for an
// existing cluster.
func (c *Cluster) LogDir() string {
	if c.External() {
		return ""
	}
	return c.dir.Logs()
}

// Bin returns the path of a program that the cluster runs from, such as
// "kubectl", "etcd", "ctr".
func (c *Cluster) Bin(name string) (string, error) {
	if name == "kubectl" {
		return c.kubectl, nil
	}
	for _, dir := range []string{c.spec.KubernetesDir, c.spec.ContainerdDir} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); dir != "" && err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("cluster %s has no program %q", c.name, name)
}

// DialContext opens a connection as a process on the cluster's node would.
// network is "tcp"; address is "host:port", where host is the address of a pod
// or service, or a service's name as "svc.namespace", "svc.namespace.svc" or
// in full. It fits http.Transport.DialContext.
func (c *Cluster) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if !strings.HasPrefix(network, "tcp") {
		return nil, fmt.Errorf("dial %s in cluster %s: network %q: only tcp is carried", address, c.name, network)
	}
	if c.External() {
		return c.external.dial(ctx, address)
	}
	return inside.Dial(ctx, c.dir.Dialer(), network, address)
}

// Kubectl runs kubectl with the cluster's kubeconfig and returns what it
// prints on standard output. stdin may be empty.
func (c *Cluster) Kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.kubectl, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

// Apply applies manifests (YAML, several documents) on the server's side and
// takes over fields that others own.
func (c *Cluster) Apply(ctx context.Context, manifests string) error {
	_, err := c.Kubectl(ctx, manifests, "apply", "--server-side", "--force-conflicts", "-f", "-")
	return err
}

// toolDir builds a tool group if need be and returns its folder.
func toolDir(ctx context.Context, log io.Writer, group string) (string, error) {
	dirs, err := tools.Build(ctx, log, group)
	if err != nil {
		return "", err
	}
	return dirs[group], nil
}
