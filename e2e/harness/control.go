package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
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
	return h.SluiceReady(ctx, replicas)
}

// SluiceReady waits until there are as many ready pods, and no others.
func (h *Harness) SluiceReady(ctx context.Context, replicas int) error {
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
	holder, _, err := h.Lease(ctx)
	pod, _, _ := strings.Cut(holder, "_")
	return pod, err
}

// Lease returns who holds Sluice's lease, another identity after each start,
// and when it was last renewed; "" if nobody does.
func (h *Harness) Lease(ctx context.Context) (holder string, renewed time.Time, err error) {
	var lease coordinationv1.Lease
	if err := h.Client.Get(ctx, types.NamespacedName{Namespace: SluiceNamespace, Name: sluiceDeployment}, &lease); err != nil {
		return "", time.Time{}, fmt.Errorf("read Sluice's lease: %w", err)
	}
	if lease.Spec.HolderIdentity == nil || lease.Spec.RenewTime == nil {
		return "", time.Time{}, nil
	}
	return *lease.Spec.HolderIdentity, lease.Spec.RenewTime.Time, nil
}

// KillPod sends SIGKILL to the processes of all containers of a pod: no
// shutdown, no release of leases. The kubelet starts them again.
func (h *Harness) KillPod(ctx context.Context, key types.NamespacedName) error {
	return h.eachContainer(ctx, "kill", key, h.Cluster.KillContainer)
}

// FreezePod stops the processes of all containers of a pod where they are: it
// neither answers nor ends connections.
func (h *Harness) FreezePod(ctx context.Context, key types.NamespacedName) error {
	return h.eachContainer(ctx, "freeze", key, h.Cluster.FreezeContainer)
}

// ThawPod lets a frozen pod go on.
func (h *Harness) ThawPod(ctx context.Context, key types.NamespacedName) error {
	return h.eachContainer(ctx, "thaw", key, h.Cluster.ThawContainer)
}

// eachContainer does something to the containers that a pod runs now.
func (h *Harness) eachContainer(ctx context.Context, what string, key types.NamespacedName, do func(ctx context.Context, id string) error) error {
	var pod corev1.Pod
	if err := h.Client.Get(ctx, key, &pod); err != nil {
		return fmt.Errorf("%s pod %s: %w", what, key, err)
	}
	for _, status := range pod.Status.ContainerStatuses {
		_, id, found := strings.Cut(status.ContainerID, "://")
		if !found {
			return fmt.Errorf("%s pod %s: container %s does not run", what, key, status.Name)
		}
		if err := do(ctx, id); err != nil {
			return fmt.Errorf("%s pod %s: %w", what, key, err)
		}
	}
	return nil
}

// Restarts is how often a pod's containers were started again.
func (h *Harness) Restarts(ctx context.Context, key types.NamespacedName) (int, error) {
	var pod corev1.Pod
	if err := h.Client.Get(ctx, key, &pod); err != nil {
		return 0, fmt.Errorf("restarts of pod %s: %w", key, err)
	}
	restarts := 0
	for _, status := range pod.Status.ContainerStatuses {
		restarts += int(status.RestartCount)
	}
	return restarts, nil
}

// SluiceArgs returns the arguments of the controller's container.
func (h *Harness) SluiceArgs(ctx context.Context) ([]string, error) {
	var deployment appsv1.Deployment
	if err := h.Client.Get(ctx, types.NamespacedName{Namespace: SluiceNamespace, Name: sluiceDeployment}, &deployment); err != nil {
		return nil, fmt.Errorf("read Sluice's arguments: %w", err)
	}
	return deployment.Spec.Template.Spec.Containers[0].Args, nil
}

// SetSluiceArgs replaces the arguments of the controller's container, which
// replaces its pods one by one.
func (h *Harness) SetSluiceArgs(ctx context.Context, args []string) error {
	quoted, err := json.Marshal(args)
	if err != nil {
		return fmt.Errorf("set Sluice's arguments: %w", err)
	}
	_, err = h.Cluster.Kubectl(ctx, "", "-n", SluiceNamespace, "patch", "deployment/"+sluiceDeployment, "--type=json",
		`--patch=[{"op":"replace","path":"/spec/template/spec/containers/0/args","value":`+string(quoted)+`}]`)
	return err
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
