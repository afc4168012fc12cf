package reconciler

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// daemonSets is how DaemonSets are read and written. How many pods one has is for the nodes to say; all that can be asked for is none, by a node
// selector that no node has.
type daemonSets struct{}

func (daemonSets) kind() schema.GroupVersionKind {
	return appsv1.SchemeGroupVersion.WithKind(revision.DaemonSet)
}

// counts are of nodes, by the oldest pod on each: one that is replaced by a surge is not updated before its old pod is gone.
func (daemonSets) counts(u *unstructured.Unstructured) core.Workload {
	w := core.Workload{
		Total:     statusCount(u, "currentNumberScheduled"),
		Updated:   statusCount(u, "updatedNumberScheduled"),
		Available: statusCount(u, "numberAvailable"),
	}
	if revision.ScaledToZero(u) {
		// Pods that still run are on nodes that are not meant for them any more.
		w.Total += statusCount(u, "numberMisscheduled")
		return w
	}
	// One that is to run wants a pod at least: its controller may not have counted the nodes yet, and where no node fits nobody would be served.
	// Pods that a tainted node keeps are not counted: they stay for as long as the taint does, and replacing them does not wait for them.
	w.Replicas = max(1, statusCount(u, "desiredNumberScheduled"))
	return w
}

func (daemonSets) scale(u *unstructured.Unstructured, replicas int32) error {
	return revision.ScaleToZero(u, replicas == 0)
}

func (daemonSets) history() schema.GroupVersionKind {
	return appsv1.SchemeGroupVersion.WithKind("ControllerRevision")
}

// hash waits for the target to be scaled up: the selector that scales it is in the template, so its pods get another hash than those of the same
// revision that run.
func (daemonSets) hash(controllerRevision, target *unstructured.Unstructured) (string, error) {
	if revision.ScaledToZero(target) {
		return "", nil
	}
	template, err := revision.TemplateOf(target)
	if err != nil {
		return "", err
	}
	return revision.RevisionHash(controllerRevision, template)
}

func (daemonSets) hashLabel() string { return revision.RevisionHashLabel }

// pods goes by the names <daemonset>-<random>, which say nothing of the revision: that is told by the Service that listed the pod, which selects
// the hash.
func (daemonSets) pods(name, hash string) func(pod, pinned string) bool {
	return func(pod, pinned string) bool {
		return generated(pod, name+"-") && (hash == "" || pinned == hash)
	}
}

func (daemonSets) obstacles(u *unstructured.Unstructured) []string {
	var out []string
	ports, network := revision.HostPorts(u)
	switch {
	case network:
		out = append(out, "the template uses the network of the node, and the primary runs beside the target on every node; remove hostNetwork")
	case len(ports) > 0:
		out = append(out, fmt.Sprintf("the template takes the port %d of the node, and the primary runs beside the target on every node; "+
			"remove hostPort and let the Service lead to the pods", ports[0]))
	}
	if !revision.RollsOut(u) {
		out = append(out, "spec.updateStrategy.type: OnDelete leaves it to people to replace pods, which a rollout does; set it to RollingUpdate")
	}
	return out
}
