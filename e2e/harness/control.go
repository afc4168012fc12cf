package harness

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// pollEvery is how often a state is looked at that cannot be watched simply.
const pollEvery = 200 * time.Millisecond

func inNamespace(namespace string) client.ListOption { return client.InNamespace(namespace) }

// ScaleSluice sets the number of Sluice's replicas and waits until there are
// as many ready pods, and no others. 0 takes Sluice away.
func (h *Harness) ScaleSluice(ctx context.Context, replicas int) error {
	_, err := h.Cluster.Kubectl(ctx, "", "-n", SluiceNamespace, "scale", "deployment/"+sluiceDeployment, fmt.Sprintf("--replicas=%d", replicas))
	if err != nil {
		return err
	}
	return h.poll(ctx, fmt.Sprintf("Sluice has %d ready pods", replicas), func(ctx context.Context) (bool, string, error) {
		pods, err := h.SluicePods(ctx)
		if err != nil {
			return false, "", err
		}
		ready := 0
		for _, pod := range pods {
			if isReady(pod) {
				ready++
			}
		}
		return ready == replicas && len(pods) == replicas, fmt.Sprintf("%d pods, %d ready", len(pods), ready), nil
	})
}

// SluicePods are the controller's pods that exist, ready or not.
func (h *Harness) SluicePods(ctx context.Context) ([]corev1.Pod, error) {
	var pods corev1.PodList
	err := h.Client.List(ctx, &pods, inNamespace(SluiceNamespace), client.MatchingLabels{"app.kubernetes.io/component": "controller"})
	if err != nil {
		return nil, fmt.Errorf("list Sluice's pods: %w", err)
	}
	return slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool {
		return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	}), nil
}

func isReady(pod corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// Leader returns the name of the pod that reconciles; "" if none holds the
// lease.
func (h *Harness) Leader(ctx context.Context) (string, error) {
	var lease coordinationv1.Lease
	if err := h.Client.Get(ctx, types.NamespacedName{Namespace: SluiceNamespace, Name: sluiceDeployment}, &lease); err != nil {
		return "", fmt.Errorf("read Sluice's lease: %w", err)
	}
	if lease.Spec.HolderIdentity == nil {
		return "", nil
	}
	pod, _, _ := strings.Cut(*lease.Spec.HolderIdentity, "_")
	return pod, nil
}

// KillPod sends SIGKILL to the processes of all containers of a pod: no
// shutdown, no release of leases. The kubelet starts them again.
func (h *Harness) KillPod(ctx context.Context, key types.NamespacedName) error {
	var pod corev1.Pod
	if err := h.Client.Get(ctx, key, &pod); err != nil {
		return fmt.Errorf("kill pod %s: %w", key, err)
	}
	for _, status := range pod.Status.ContainerStatuses {
		_, id, found := strings.Cut(status.ContainerID, "://")
		if !found {
			return fmt.Errorf("kill pod %s: container %s does not run", key, status.Name)
		}
		if err := h.Cluster.KillContainer(ctx, id); err != nil {
			return fmt.Errorf("kill pod %s: %w", key, err)
		}
	}
	return nil
}

// poll looks at a state until it is as wanted, for at most the harness's
// timeout. look also says in words how it is.
func (h *Harness) poll(ctx context.Context, what string, look func(context.Context) (done bool, how string, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		done, how, err := look(ctx)
		if done {
			return nil
		}
		if err != nil {
			how = err.Error()
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w; last seen: %s", what, ctx.Err(), how)
		}
	}
}
