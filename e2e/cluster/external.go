package cluster

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// external is the existing cluster of E2E_KUBECONFIG.
type external struct {
	config *rest.Config
	client kubernetes.Interface
}

// openExternal connects to an existing cluster and checks that it answers.
func openExternal(ctx context.Context, path string, log io.Writer) (*Cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("%s=%s: %w", EnvKubeconfig, path, err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("%s=%s: %w", EnvKubeconfig, path, err)
	}
	if err := client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error(); err != nil {
		return nil, fmt.Errorf("%s=%s: the cluster does not answer: %w", EnvKubeconfig, path, err)
	}
	dir, err := toolDir(ctx, log, "kubernetes")
	if err != nil {
		return nil, err
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("%s=%s: %w", EnvKubeconfig, path, err)
	}
	if _, err := os.Stat(absolute); err != nil {
		return nil, fmt.Errorf("%s: %w", EnvKubeconfig, err)
	}
	return &Cluster{
		name:       "external",
		kubeconfig: absolute,
		kubectl:    filepath.Join(dir, "kubectl"),
		external:   &external{config: config, client: client},
	}, nil
}

func (e *external) dial(ctx context.Context, address string) (net.Conn, error) {
	target, err := e.resolve(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("dial %s in the existing cluster: %w", address, err)
	}
	conn, err := e.portForward(target)
	if err != nil {
		return nil, fmt.Errorf("dial %s in the existing cluster: %w", address, err)
	}
	return conn, nil
}
