package reconciler

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

func daemonSetAt(t *testing.T, zero bool, status map[string]any) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "DaemonSet",
		"metadata": map[string]any{"name": "web", "generation": int64(4)},
		"spec": map[string]any{
			"updateStrategy": map[string]any{"type": "RollingUpdate"},
			"template":       map[string]any{"spec": map[string]any{"containers": []any{}}},
		},
		"status": status,
	}}
	if err := (daemonSets{}).scale(u, map[bool]int32{true: 0, false: 7}[zero]); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestCountsOfDaemonSets(t *testing.T) {
	status := func(seen, desired, current, updated, available, misscheduled int64) map[string]any {
		return map[string]any{
			"observedGeneration": seen, "desiredNumberScheduled": desired, "currentNumberScheduled": current, "updatedNumberScheduled": updated,
			"numberAvailable": available, "numberMisscheduled": misscheduled,
		}
	}
	for _, c := range []struct {
		name      string
		zero      bool
		status    map[string]any
		want      core.Workload
		rolledOut bool
	}{
		{"all nodes run it", false, status(4, 3, 3, 3, 3, 0), core.Workload{Current: true, Replicas: 3, Total: 3, Updated: 3, Available: 3}, true},
		{"scaled up, its controller has not looked", false, status(3, 0, 0, 0, 0, 0), core.Workload{Replicas: 1}, false},
		{"no node fits", false, status(4, 0, 0, 0, 0, 0), core.Workload{Current: true, Replicas: 1}, false},
		{"half replaced", false, status(4, 4, 4, 2, 4, 0), core.Workload{Current: true, Replicas: 4, Total: 4, Updated: 2, Available: 4}, false},
		{"held: nobody replaces them", false, status(4, 2, 2, 0, 2, 0), core.Workload{Current: true, Replicas: 2, Total: 2, Available: 2}, false},
		{"a node joined", false, status(4, 3, 2, 2, 2, 0), core.Workload{Current: true, Replicas: 3, Total: 2, Updated: 2, Available: 2}, false},
		{"a tainted node keeps its pod", false, status(4, 2, 2, 2, 2, 1), core.Workload{Current: true, Replicas: 2, Total: 2, Updated: 2, Available: 2}, true},
		{"scaled to zero, pods still there", true, status(4, 0, 0, 0, 0, 3), core.Workload{Current: true, Total: 3}, false},
		{"scaled to zero, its controller has not looked", true, status(3, 3, 3, 3, 3, 0), core.Workload{Total: 3, Updated: 3, Available: 3}, false},
		{"scaled to zero", true, status(4, 0, 0, 0, 0, 0), core.Workload{Current: true}, true},
		{"new", false, nil, core.Workload{Replicas: 1}, false},
	} {
		got := observeWorkload(daemonSets{}, daemonSetAt(t, c.zero, c.status))
		c.want.Exists, c.want.Generation = true, 4
		if got != c.want || got.RolledOut(100) != c.rolledOut {
			t.Errorf("%s: %+v, rolled out %v\nwant %+v, %v", c.name, got, got.RolledOut(100), c.want, c.rolledOut)
		}
	}
}

func TestPodsOfDaemonSets(t *testing.T) {
	for _, c := range []struct {
		name, hash, pod, pinned string
		want                    bool
	}{
		{"web", "", "web-x7k2p", "", true},
		{"web", "abc", "web-x7k2p", "abc", true},
		// Its Service is not known to have chosen it by the hash.
		{"web", "abc", "web-x7k2p", "", false},
		{"web", "abc", "web-x7k2p", "def", false},
		{"web", "", "web-primary-x7k2p", "", false},
		{"web-primary", "", "web-primary-x7k2p", "", true},
		{"web-primary", "", "web-x7k2p", "", false},
		{"web", "", "web-5d4f8b6c9d-x7k2p", "", false},
		{"web", "", "address 10.0.0.1", "", false},
		{strings.Repeat("n", 70), "", strings.Repeat("n", 58) + "x7k2p", "", true},
	} {
		if got := (daemonSets{}).pods(c.name, c.hash)(c.pod, c.pinned); got != c.want {
			t.Errorf("%s, listed by a Service pinned to %q, is a pod of %s %s: %v, want %v", c.pod, c.pinned, c.name, c.hash, got, c.want)
		}
	}
}

// The hash that is wanted is that of pods that run, so it is not asked for before the target is scaled up.
func TestHashOfADaemonSetThatIsIdle(t *testing.T) {
	u := daemonSetAt(t, true, nil)
	template, _, _ := unstructured.NestedMap(u.Object, "spec", "template")
	kept := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"labels": map[string]any{revision.RevisionHashLabel: "idle"}},
		"data":     map[string]any{"spec": map[string]any{"template": template}},
	}}
	if hash, err := (daemonSets{}).hash(kept, u); hash != "" || err != nil {
		t.Errorf("hash %q, %v", hash, err)
	}
}

func TestObstaclesOfDaemonSets(t *testing.T) {
	u := daemonSetAt(t, false, nil)
	if got := (daemonSets{}).obstacles(u); len(got) != 0 {
		t.Errorf("a good one: %q", got)
	}
	ports := []any{map[string]any{"ports": []any{map[string]any{"hostPort": int64(9100)}}}}
	if err := unstructured.SetNestedSlice(u.Object, ports, "spec", "template", "spec", "containers"); err != nil {
		t.Fatal(err)
	}
	if err := unstructured.SetNestedField(u.Object, "OnDelete", "spec", "updateStrategy", "type"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join((daemonSets{}).obstacles(u), "\n"); !strings.Contains(got, "port 9100") || !strings.Contains(got, "OnDelete") {
		t.Errorf("obstacles %q", got)
	}
}
