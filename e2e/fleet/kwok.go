package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/e2e/tools"
)

const (
	// playedNode is the node that kwok plays; the annotation tells kwok so, the
	// taint of the same key keeps all pods away that do not ask for it.
	playedNode       = "played"
	playedAnnotation = "kwok.x-k8s.io/node"
	played           = "fake"
	// playedAddresses are given to played pods; real ones have others. kwok's
	// default has room for 254.
	playedAddresses = "10.245.0.0/16"
	// leaseSeconds has kwok renew the node's lease. Without it the node counts as
	// lost after a while, and its pods go.
	leaseSeconds = 40
)

// stages are what kwok plays, from its own module: a node becomes ready at once
// and keeps being so, a pod becomes ready at once and goes when it is deleted.
var stages = []string{
	"node/fast/node-initialize.yaml", "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
	"pod/fast/pod-ready.yaml", "pod/fast/pod-delete.yaml",
}

// startKwok starts kwok and makes its node; it returns when that is ready. kwok
// ends with this process: its death is signalled when the thread ends that
// started it, so the caller keeps to one thread.
func (b *bench) startKwok(ctx context.Context) error {
	dirs, err := tools.Build(ctx, b.Progress, "kwok")
	if err != nil {
		return err
	}
	source, err := tools.SourceDir()
	if err != nil {
		return err
	}
	module, err := tools.ModuleDir(ctx, filepath.Join(source, "tools", "kwok"), "sigs.k8s.io/kwok")
	if err != nil {
		return err
	}
	args := []string{
		"--kubeconfig=" + b.cluster.KubeconfigPath(), "--cidr=" + playedAddresses, fmt.Sprintf("--node-lease-duration-seconds=%d", leaseSeconds),
		"--manage-nodes-with-annotation-selector=" + playedAnnotation + "=" + played,
	}
	for _, stage := range stages {
		args = append(args, "--config="+filepath.Join(module, "kustomize", "stage", stage))
	}
	log, err := os.Create(filepath.Join(b.dir, "kwok.log"))
	if err != nil {
		return fmt.Errorf("log of kwok: %w", err)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(dirs["kwok"], "kwok"), args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("start kwok: %w", err), log.Close())
	}
	go func() {
		_ = cmd.Wait() // whoever waits for its pods notices
		_ = log.Close()
	}()
	if err := b.client.Create(ctx, newNode()); err != nil {
		return fmt.Errorf("make the played node: %w", err)
	}
	_, err = b.await(ctx, &corev1.NodeList{}, "the played node is ready", []string{playedNode}, nodeReady)
	return err
}

// newNode is a node with room for everything, once kwok has seen it.
func newNode() *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name:        playedNode,
			Annotations: map[string]string{playedAnnotation: played},
			Labels:      map[string]string{corev1.LabelHostname: playedNode, corev1.LabelOSStable: "linux", playedAnnotation: played},
		},
		Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: playedAnnotation, Value: played, Effect: corev1.TaintEffectNoSchedule}}},
	}
}

// nodeReady tells whether pods can be placed on a node.
func nodeReady(o client.Object) (done bool, how string) {
	node := o.(*corev1.Node)
	var reasons []string
	ready := false
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			ready = c.Status == corev1.ConditionTrue
			reasons = append(reasons, fmt.Sprintf("Ready is %s since %s", c.Status, c.LastTransitionTime.Format(time.TimeOnly)))
		}
	}
	for _, t := range node.Spec.Taints {
		if t.Key != playedAnnotation {
			ready = false
			reasons = append(reasons, "tainted "+t.Key)
		}
	}
	return ready, strings.Join(reasons, ", ")
}
