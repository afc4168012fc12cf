//go:build integration

package reconciler

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"strconv"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/reconciler/revision"
)

// nodes run the pods of DaemonSets. There are two to begin with.
type nodes struct {
	mu     sync.Mutex
	joined int
	// pods holds, by DaemonSet, the hash of the template that the pod on each node runs.
	pods map[string][]string
}

// join adds a node.
func (n *nodes) join() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.joined++
}

// hashes returns what the pods of a DaemonSet run.
func (n *nodes) hashes(daemonSet string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.pods[daemonSet]...)
}

// place brings the pods of a DaemonSet to its nodes: all of them are replaced at once, or none.
func (n *nodes) place(daemonSet, hash string, idle, onDelete bool) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.pods == nil {
		n.pods = map[string][]string{}
	}
	var pods []string
	for i := 0; i < 2+n.joined && !idle; i++ {
		if have := n.pods[daemonSet]; onDelete && i < len(have) {
			pods = append(pods, have[i])
			continue
		}
		pods = append(pods, hash)
	}
	n.pods[daemonSet] = pods
	return pods
}

// runDaemonSets does what the controller of DaemonSets does: a pod on every node, told apart by the hash of the template, which it keeps in a
// ControllerRevision.
func (s *stage) runDaemonSets(ctx context.Context, pods map[string]labels.Set) {
	list := &appsv1.DaemonSetList{}
	if shared.admin.List(ctx, list, client.InNamespace(s.ns)) != nil {
		return
	}
	for i := range list.Items {
		d := &list.Items[i]
		if d.DeletionTimestamp != nil {
			continue
		}
		hash, err := s.controllerRevision(ctx, d)
		if err != nil {
			return
		}
		_, idle := d.Spec.Template.Spec.NodeSelector[revision.ScaleToZeroKey]
		status := appsv1.DaemonSetStatus{ObservedGeneration: d.Generation}
		for n, running := range s.nodes.place(d.Name, hash, idle, d.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType) {
			l := labels.Set(maps.Clone(d.Spec.Template.Labels))
			l[revision.RevisionHashLabel] = running
			// The name of a pod says nothing of its template.
			pods[fmt.Sprintf("%s-pod%02d", d.Name, n)] = l
			status.DesiredNumberScheduled++
			status.CurrentNumberScheduled++
			status.NumberReady++
			status.NumberAvailable++
			if running == hash {
				status.UpdatedNumberScheduled++
			}
		}
		if !equality.Semantic.DeepEqual(d.Status, status) {
			d.Status = status
			// A conflict is made up for in the next round.
			_ = shared.admin.Status().Update(ctx, d)
		}
	}
}

// controllerRevision stores the template of a DaemonSet and returns its hash.
func (s *stage) controllerRevision(ctx context.Context, d *appsv1.DaemonSet) (string, error) {
	raw, err := json.Marshal(d.Spec.Template)
	if err != nil {
		return "", err
	}
	template := map[string]any{}
	if err := json.Unmarshal(raw, &template); err != nil {
		return "", err
	}
	template["$patch"] = "replace"
	data, err := json.Marshal(map[string]any{"spec": map[string]any{"template": template}})
	if err != nil {
		return "", err
	}
	h := fnv.New32a()
	_, _ = h.Write(raw)
	hash := strconv.FormatUint(uint64(h.Sum32()), 36)
	l := maps.Clone(d.Spec.Template.Labels)
	l[revision.RevisionHashLabel] = hash
	err = shared.admin.Create(ctx, &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.ns, Name: d.Name + "-" + hash, Labels: l,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind(revision.DaemonSet))},
		},
		Data: runtime.RawExtension{Raw: data},
	})
	if apierrors.IsAlreadyExists(err) {
		err = nil
	}
	return hash, err
}
