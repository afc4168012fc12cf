//go:build integration

package reconciler

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

func (s *stage) daemonSet(name string) *appsv1.DaemonSet {
	d := &appsv1.DaemonSet{}
	s.get(name, d)
	return d
}

func agentImage(d *appsv1.DaemonSet) string {
	if c := d.Spec.Template.Spec.Containers; len(c) > 0 {
		return c[0].Image
	}
	return ""
}

// agent creates a DaemonSet on the nodes with a disk, and its Canary.
func (s *stage) agent(edits ...func(*appsv1.DaemonSet)) {
	s.Helper()
	s.agentOf(nil, edits...)
}

// agentOf is the same with a Canary that says how its primary lives.
func (s *stage) agentOf(primary *v1beta1.PrimarySpec, edits ...func(*appsv1.DaemonSet)) {
	s.Helper()
	l := map[string]string{"app": "web"}
	d := &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: l},
			UpdateStrategy: appsv1.DaemonSetUpdateStrategy{
				Type:          appsv1.RollingUpdateDaemonSetStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxUnavailable: new(intstr.FromString("30%"))},
			},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: l},
				Spec: corev1.PodSpec{
					NodeSelector: map[string]string{"disk": "ssd"},
					Containers:   []corev1.Container{{Name: "main", Image: "web:1", Ports: []corev1.ContainerPort{{ContainerPort: 8080}}}},
				},
			},
		},
	}
	for _, edit := range edits {
		edit(d)
	}
	s.create(d)
	s.create(&v1beta1.Canary{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: v1beta1.CanarySpec{
			TargetRef: v1beta1.LocalObjectReference{APIVersion: "apps/v1", Kind: "DaemonSet", Name: "web"},
			Service:   v1beta1.CanaryService{Port: 80, TargetPort: intstr.FromInt32(8080)},
			Primary:   primary,
			Analysis: v1beta1.CanaryAnalysis{
				Interval: "1s", Threshold: 2, StepWeight: 50,
				Webhooks: []v1beta1.CanaryWebhook{{Name: "load", URL: "http://load.test/"}},
			},
		},
	})
}

func (s *stage) setAgentImage(image string) {
	s.Helper()
	change(s, "web", &appsv1.DaemonSet{}, func(d *appsv1.DaemonSet) { d.Spec.Template.Spec.Containers[0].Image = image })
}

// held does what admission does to a change that must not roll out.
func held(d *appsv1.DaemonSet, image string) {
	d.Spec.Template.Spec.Containers[0].Image = image
	d.Annotations = with(d.Annotations, map[string]string{
		v1beta1.AnnotationHold: v1beta1.Hold{Revision: "x", Strategy: string(d.Spec.UpdateStrategy.Type)}.String(),
	})
	d.Spec.UpdateStrategy.Type = appsv1.OnDeleteDaemonSetStrategyType
}

func TestDaemonSetIsInitialised(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.agent()
	s.settled(v1beta1.PhaseInitialized)
	target, primary := s.daemonSet("web"), s.daemonSet("web-primary")
	if got := target.Spec.Template.Spec.NodeSelector; got[revision.ScaleToZeroKey] != "true" || got["disk"] != "ssd" {
		t.Errorf("the target selects nodes %v, want none, its own selector kept", got)
	}
	if got := primary.Spec.Template.Spec.NodeSelector; len(got) != 1 || got["disk"] != "ssd" || !metav1.IsControlledBy(primary, s.canary()) {
		t.Errorf("the primary selects nodes %v, owners %v", got, primary.OwnerReferences)
	}
	if rolling := primary.Spec.UpdateStrategy.RollingUpdate; rolling == nil || rolling.MaxSurge.String() != "30%" || rolling.MaxUnavailable.IntValue() != 0 {
		t.Errorf("the primary is replaced with %+v: where there is one node, users would be left without a pod", primary.Spec.UpdateStrategy)
	}
	if stored := s.snapshots(); len(stored) != 1 || strings.Contains(string(stored[0].Template), revision.ScaleToZeroKey) {
		t.Errorf("%d snapshots; want one, without what scales", len(stored))
	}
	s.followed()
	before := s.versions()
	s.stop()
	s.start()
	s.settled(v1beta1.PhaseInitialized)
	if got := s.versions(); !slices.Equal(got, before) {
		t.Errorf("a restart changed objects\n before %v\n after %v", before, got)
	}

	// A manifest that knows nothing of the selector, applied while admission is away, is reported and starts nothing.
	change(s, "web", &appsv1.DaemonSet{}, func(d *appsv1.DaemonSet) { delete(d.Spec.Template.Spec.NodeSelector, revision.ScaleToZeroKey) })
	s.until("pods on the idle target are reported", func() bool {
		c := s.canary().Status.Condition(v1beta1.ConditionReady)
		return c.Status == metav1.ConditionTrue && strings.Contains(c.Message, "2 replicas were set on the idle target")
	})
	if st := s.canary().Status; st.Phase != v1beta1.PhaseInitialized || st.Rollout != nil || len(s.snapshots()) != 1 {
		t.Errorf("a rollout started: %+v", st)
	}
}

func TestDaemonSetIsPromotedAndRolledBack(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.agent()
	s.settled(v1beta1.PhaseInitialized)

	s.checks.set(false, "")
	s.setAgentImage("web:2")
	s.until("the canary is at 50 %", func() bool { return s.canary().Status.CanaryWeight == 50 })
	ro := s.canary().Status.Rollout
	selector := s.service("web-canary").Spec.Selector
	if got := selector[revision.RevisionHashLabel]; got == "" || got != ro.PodHash || !slices.Contains(s.nodes.hashes("web"), got) || len(selector) != 2 {
		t.Errorf("the canary Service selects %v, want hash %q, which the pods %v have", selector, ro.PodHash, s.nodes.hashes("web"))
	}
	if got := agentImage(s.daemonSet("web-primary")); got != "web:1" {
		t.Errorf("the primary runs %s before the analysis ended", got)
	}
	s.checks.set(true, "")
	s.settled(v1beta1.PhaseSucceeded)
	if got := agentImage(s.daemonSet("web-primary")); got != "web:2" {
		t.Errorf("the primary runs %s", got)
	}
	s.until("the target has no pods", func() bool { return len(s.nodes.hashes("web")) == 0 })
	if svc := s.service("web-canary"); len(svc.Spec.Selector) != 1 || svc.Labels[labelPinned] != "" {
		t.Errorf("the canary Service is still pinned: %v, %v", svc.Spec.Selector, svc.Labels)
	}

	s.checks.set(true, v1beta1.VerdictFail)
	s.setAgentImage("web:3")
	s.until("the rollout failed and is over", func() bool {
		st := s.canary().Status
		return st.Phase == v1beta1.PhaseFailed && st.Rollout == nil
	})
	s.until("the target has no pods", func() bool { return len(s.nodes.hashes("web")) == 0 })
	if got := agentImage(s.daemonSet("web-primary")); got != "web:2" {
		t.Errorf("after the rollback the primary runs %s", got)
	}

	// The primary comes back from its snapshot, though the target is at the failed revision and at zero.
	if err := shared.admin.Delete(t.Context(), s.daemonSet("web-primary")); err != nil {
		t.Fatal(err)
	}
	s.until("the primary is back", func() bool { return agentImage(s.daemonSet("web-primary")) == "web:2" })
	if got := s.daemonSet("web-primary").Spec.Template.Spec.NodeSelector; len(got) != 1 {
		t.Errorf("the primary came back on nodes %v", got)
	}
}

// A node that joins gets a pod of the held revision, whatever the strategy. No user may reach it.
func TestHeldDaemonSetOnANewNode(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.agent()
	s.settled(v1beta1.PhaseInitialized)
	s.checks.set(false, "")
	s.setAgentImage("web:2")
	s.until("the canary is at 50 %", func() bool { return s.canary().Status.CanaryWeight == 50 })
	second := s.canary().Status.Rollout

	// Sluice is away while the change and the node come, so that both can be looked at.
	s.stop()
	change(s, "web", &appsv1.DaemonSet{}, func(d *appsv1.DaemonSet) { held(d, "web:3") })
	s.until("its controller has seen the change", func() bool {
		d := s.daemonSet("web")
		return d.Status.ObservedGeneration == d.Generation
	})
	s.nodes.join()
	s.until("the new node runs the held revision, the others do not", func() bool {
		pods := s.nodes.hashes("web")
		return len(pods) == 3 && pods[0] == second.PodHash && pods[1] == second.PodHash && pods[2] != second.PodHash
	})
	s.until("the node's pods are ready behind the Services", func() bool {
		return len(s.endpointsOf("web-primary")) == 3 && len(s.endpointsOf("web-canary")) == 2
	})
	if got := s.endpointsOf("web-canary"); !slices.Equal(got, []string{"web-pod00", "web-pod01"}) {
		t.Errorf("users at 50 %% reach %v, of which web-pod02 runs what nobody has analysed", got)
	}
	s.start()
	s.until("the change has a rollout of its own from its first step", func() bool {
		ro := s.canary().Status.Rollout
		return ro != nil && ro.Revision != second.Revision && s.canary().Status.CanaryWeight == 50
	})
	d := s.daemonSet("web")
	if d.Annotations[v1beta1.AnnotationHold] != "" || d.Spec.UpdateStrategy.Type != appsv1.RollingUpdateDaemonSetStrategyType ||
		d.Spec.UpdateStrategy.RollingUpdate.MaxUnavailable.String() != "30%" {
		t.Errorf("after the hold: %+v, %v; want the strategy exactly as it was", d.Spec.UpdateStrategy, d.Annotations)
	}
	for _, stored := range s.snapshots() {
		if strings.Contains(string(stored.Workload), "OnDelete") {
			t.Errorf("the hold was stored as the workload's own: %s", stored.Workload)
		}
	}
	s.checks.set(true, "")
	s.settled(v1beta1.PhaseSucceeded)
	if got, want := s.router.written(), []int{0, 50, 0, 50, 100, 0}; !slices.Equal(got, want) {
		t.Errorf("weights %v, want %v", got, want)
	}
}

// endpointsOf returns the pods behind a Service, in the order of their names.
func (s *stage) endpointsOf(service string) []string {
	s.Helper()
	var slice discoveryv1.EndpointSlice
	s.get(service+"-slice", &slice)
	var pods []string
	for _, e := range slice.Endpoints {
		pods = append(pods, e.TargetRef.Name)
	}
	return pods
}

func TestDaemonSetIsGivenBack(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.agent()
	s.settled(v1beta1.PhaseInitialized)
	s.checks.set(false, "")
	s.setAgentImage("web:2")
	s.until("the canary is at 50 %", func() bool { return s.canary().Status.CanaryWeight == 50 })
	change(s, "web", &appsv1.DaemonSet{}, func(d *appsv1.DaemonSet) { held(d, "web:3") })
	if err := shared.admin.Delete(t.Context(), s.canary()); err != nil {
		t.Fatal(err)
	}
	s.until("the Canary is gone", func() bool { return !s.get("web", &v1beta1.Canary{}) })
	d := s.daemonSet("web")
	if agentImage(d) != "web:1" || len(d.Spec.Template.Spec.NodeSelector) != 1 || len(s.nodes.hashes("web")) != 2 {
		t.Errorf("target: %s on nodes %v, %d pods", agentImage(d), d.Spec.Template.Spec.NodeSelector, len(s.nodes.hashes("web")))
	}
	if d.Spec.UpdateStrategy.Type != appsv1.RollingUpdateDaemonSetStrategyType || len(d.Labels) != 0 || d.Annotations[v1beta1.AnnotationHold] != "" {
		t.Errorf("strategy %v, labels %v, annotations %v", d.Spec.UpdateStrategy, d.Labels, d.Annotations)
	}
	if s.get("web-primary", &appsv1.DaemonSet{}) || s.service("web").Spec.Selector["app"] != "web" {
		t.Error("the primary is still there, or the apex Service leads to it")
	}
}

func TestDaemonSetThatCannotHaveATwin(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit func(*appsv1.DaemonSet)
		says string
	}{
		"port":    {func(d *appsv1.DaemonSet) { d.Spec.Template.Spec.Containers[0].Ports[0].HostPort = 8080 }, "remove hostPort"},
		"network": {func(d *appsv1.DaemonSet) { d.Spec.Template.Spec.HostNetwork = true }, "remove hostNetwork"},
		"strategy": {func(d *appsv1.DaemonSet) {
			d.Spec.UpdateStrategy = appsv1.DaemonSetUpdateStrategy{Type: appsv1.OnDeleteDaemonSetStrategyType}
		}, "set it to RollingUpdate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.agent(c.edit)
			s.until("it is reported", func() bool {
				ready := s.canary().Status.Condition(v1beta1.ConditionReady)
				return ready != nil && ready.Reason == "TargetUnsuited" && strings.Contains(ready.Message, c.says)
			})
			d := s.daemonSet("web")
			if s.get("web-primary", &appsv1.DaemonSet{}) || len(d.Spec.Template.Spec.NodeSelector) != 1 {
				t.Errorf("it was taken over all the same: nodes %v", d.Spec.Template.Spec.NodeSelector)
			}
		})
	}
}
