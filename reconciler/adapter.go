package reconciler

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// adapter is all in which one kind of target differs from another, as far as reading and writing it goes. Implementations are pure. How a kind
// is held, and what of it makes a revision, is known to package revision, which admission shares.
type adapter interface {
	// kind of target, and of its primary.
	kind() schema.GroupVersionKind
	// counts returns how many pods are wanted and how many there are: the counts of core.Workload, and nothing else of it.
	counts(*unstructured.Unstructured) core.Workload
	// scale sets how many pods are wanted. A kind that cannot be told a number knows none and all.
	scale(*unstructured.Unstructured, int32) error
	// history is the kind of the objects, owned by the workload, in which its controller keeps the templates of its pods; empty of a kind without pods
	// of its own, which is pinned to the revision itself.
	history() schema.GroupVersionKind
	// hash returns the label value that the pods of a template carry, if the given object of the history is that of the target's template;
	// else "".
	hash(object, target *unstructured.Unstructured) (string, error)
	// hashLabel is the key of that label.
	hashLabel() string
	// pods returns which ready endpoints are pods of the workload with a name, by the name of the pod and the hash that its Service was pinned to
	// when it was listed. An empty hash accepts the pods of any template.
	pods(name, hash string) func(pod, pinned string) bool
	// obstacles says in words what of the target keeps it from being rolled out.
	obstacles(*unstructured.Unstructured) []string
}

// adapters of the kinds of target that can be rolled out.
var adapters = map[string]adapter{
	revision.Deployment: deployments{},
	revision.DaemonSet:  daemonSets{},
	revision.Service:    services{},
}

// adaptable are the names of these kinds, sorted.
func adaptable() []string { return slices.Sorted(maps.Keys(adapters)) }

// empty returns an object to read a workload into. Workloads stay unstructured: fields of a newer Kubernetes must survive being read, compared
// and rendered.
func empty(k adapter) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(k.kind())
	return u
}

// Lengths of the names that Kubernetes generates for pods: what is cut to maxBase, then random characters.
const (
	maxBase    = 58
	randomTail = 5
)

// generated tells whether a pod's name was made from a base.
func generated(pod, base string) bool {
	base = base[:min(len(base), maxBase)]
	return len(pod) == len(base)+randomTail && strings.HasPrefix(pod, base)
}

// statusCount reads a number from a workload's status, 0 where it is absent.
func statusCount(u *unstructured.Unstructured, field string) int32 {
	n, _, _ := unstructured.NestedInt64(u.Object, "status", field)
	return int32(n)
}
