package supervisor

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/sluice-dev/sluice/e2e/cluster/internal/inside"
	"github.com/sluice-dev/sluice/e2e/cluster/internal/state"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	pollInterval = 100 * time.Millisecond
	callTimeout  = 5 * time.Second
)

// step is something that must be true before the cluster counts as ready.
type step struct {
	what string
	// try reports nil once it is true, or why it is not yet.
	try func(context.Context) error
}

// settle brings the fresh node to a cluster that works, one step after the
// other, and says how long each took.
func (s *supervisor) settle(ctx context.Context) error {
	config, err := clientcmd.BuildConfigFromFlags("", s.dir.Kubeconfig())
	if err != nil {
		return fmt.Errorf("read the cluster's own kubeconfig: %w", err)
	}
	config.Timeout = callTimeout
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("client of the cluster: %w", err)
	}
	for _, step := range []step{
		{"images are loaded", s.loadImages},
		{"the API server answers", func(ctx context.Context) error { return apiReady(ctx, client) }},
		{"DNS is installed", func(ctx context.Context) error {
			return s.run(ctx, coreDNS, filepath.Join(s.spec.KubernetesDir, "kubectl"), "apply", "--server-side", "-f", "-")
		}},
		{"the node is ready", func(ctx context.Context) error { return nodeReady(ctx, client) }},
		{"service accounts exist", func(ctx context.Context) error {
			_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
			return err
		}},
		// This goes through kube-proxy to CoreDNS, and through it again to
		// the API server: all that pods rely on.
		{"names and service addresses work", func(ctx context.Context) error {
			conn, err := inside.Dial(ctx, s.dir.Dialer(), "tcp", "kubernetes.default.svc."+state.ClusterDomain+":443")
			if err != nil {
				return err
			}
			return conn.Close()
		}},
	} {
		if err := poll(ctx, step); err != nil {
			return err
		}
		s.say("%s", step.what)
	}
	return nil
}

// poll tries a step until it holds or ctx ends; then the last reason tells.
func poll(ctx context.Context, s step) error {
	for {
		attempt, cancel := context.WithTimeout(ctx, 4*callTimeout)
		err := s.try(attempt)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w; last: %w", s.what, ctx.Err(), err)
		case <-time.After(pollInterval):
		}
	}
}

// loadImages imports the prepared archives. An import that is repeated after a
// failure is harmless.
func (s *supervisor) loadImages(ctx context.Context) error {
	for _, archive := range s.spec.Images {
		if err := s.run(ctx, "", filepath.Join(s.spec.ContainerdDir, "ctr"), "--address", s.dir.ContainerdSocket(),
			"--namespace", "k8s.io", "images", "import", "--snapshotter", s.spec.Snapshotter, archive); err != nil {
			return err
		}
	}
	return nil
}

func apiReady(ctx context.Context, client kubernetes.Interface) error {
	var status int
	err := client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).StatusCode(&status).Error()
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("/readyz answers %d", status)
	}
	return nil
}

func nodeReady(ctx context.Context, client kubernetes.Interface) error {
	node, err := client.CoreV1().Nodes().Get(ctx, state.NodeName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, c := range node.Status.Conditions {
		if c.Type != corev1.NodeReady {
			continue
		}
		if c.Status == corev1.ConditionTrue {
			return nil
		}
		return fmt.Errorf("node is not ready: %s", c.Message)
	}
	return fmt.Errorf("node has not reported yet")
}
