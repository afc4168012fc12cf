package reconciler

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// services is how a Service that is a target is read. It has no pods of its own, so there is nothing to count and nothing to scale, and no controller that
// reports on it; its copies are pinned to a revision instead of the hash of pods.
type services struct{}

func (services) kind() schema.GroupVersionKind {
	return corev1.SchemeGroupVersion.WithKind(revision.Service)
}

func (services) counts(*unstructured.Unstructured) core.Workload { return core.Workload{} }

func (services) scale(*unstructured.Unstructured, int32) error { return nil }

func (services) history() schema.GroupVersionKind { return schema.GroupVersionKind{} }

func (services) hash(_, _ *unstructured.Unstructured) (string, error) { return "", nil }

func (services) hashLabel() string { return labelPinned }

// pods goes by the revision of the copy that listed them.
func (services) pods(_, hash string) func(pod, pinned string) bool {
	return func(_, pinned string) bool { return hash != "" && pinned == hash }
}

func (services) obstacles(u *unstructured.Unstructured) []string {
	var out []string
	if revision.LeadsNowhere(u) {
		out = append(out, "it has no selector, so its endpoints are listed by somebody else and copies of it would have none; "+
			"give it a selector, or make it an ExternalName")
	}
	for _, o := range u.GetOwnerReferences() {
		if isCanary(o) {
			out = append(out, "it is made by the Canary "+o.Name+"; target what that one targets in one Canary only")
		}
	}
	return out
}
