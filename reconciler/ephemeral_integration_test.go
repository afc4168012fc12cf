//go:build integration

package reconciler

import (
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/scaler"
)

func ephemeral() *v1beta1.PrimarySpec {
	return &v1beta1.PrimarySpec{Lifecycle: v1beta1.LifecycleEphemeral, Retain: "3s"}
}

// pushHeld changes the target as admission lets it through: stored, but paused.
func (s *stage) pushHeld(image string) {
	s.Helper()
	change(s, "web", &appsv1.Deployment{}, func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.Containers[0].Image = image
		d.Spec.Paused = true
		d.Annotations = with(d.Annotations, map[string]string{v1beta1.AnnotationHold: v1beta1.Hold{Revision: "x"}.String()})
	})
}

// hash is that of the pods that the target runs.
func (s *stage) hash() string {
	last, _ := s.running.Load(s.deployment("web").UID)
	hash, _ := last.(string)
	return hash
}

// atHome waits until the target serves an image alone.
func (s *stage) atHome(image string) {
	s.Helper()
	s.until("the target serves "+image+" alone", func() bool {
		st, d, apex := s.canary().Status, s.deployment("web"), s.service("web")
		return st.TargetServes && st.Rollout == nil && s.image("web") == image && !d.Spec.Paused && *d.Spec.Replicas == 2 &&
			apex.Spec.Selector["app"] == "web" && len(apex.Spec.Selector) == 1 && !s.get("web-primary", &appsv1.Deployment{})
	})
}

// The life of an ephemeral primary on an API server: adopting and leaving touch no template, and the pods that were analysed are those that serve.
func TestEphemeralPrimary(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.applicationOf(ephemeral())
	s.until("the target runs", func() bool { return s.hash() != "" })
	adopted := s.hash()
	s.settled(v1beta1.PhaseInitialized)
	s.atHome("web:1")
	if d := s.deployment("web"); d.Labels[v1beta1.LabelGuarded] != "true" || s.hash() != adopted {
		t.Errorf("adopted: labels %v, pods %s, before %s", d.Labels, s.hash(), adopted)
	}

	s.pushHeld("web:2")
	s.until("the canary has users", func() bool { return s.canary().Status.CanaryWeight == 50 })
	if got := s.service("web").Spec.Selector["app"]; got != "web-primary" || s.image("web-primary") != "web:1" {
		t.Errorf("while the canary has users the apex Service selects %q and the primary runs %s", got, s.image("web-primary"))
	}
	analysed := s.hash()
	s.until("the revision is promoted", func() bool { return s.canary().Status.Phase == v1beta1.PhaseSucceeded })
	s.atHome("web:2")
	if s.hash() != analysed || analysed == adopted {
		t.Errorf("analysed were pods of %s, those of %s serve; adopted were %s", analysed, s.hash(), adopted)
	}

	s.deleteCanary()
	s.until("the target is unmarked", func() bool { return len(s.deployment("web").Labels) == 0 })
	if d := s.deployment("web"); s.hash() != analysed || d.Spec.Paused || *d.Spec.Replicas != 2 {
		t.Errorf("given back: pods %s, before %s, paused %v, %d replicas", s.hash(), analysed, d.Spec.Paused, *d.Spec.Replicas)
	}
}

// A failed revision leaves users on the primary, and a change back takes them home.
func TestEphemeralPrimaryAfterAFailure(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.applicationOf(ephemeral())
	s.settled(v1beta1.PhaseInitialized)
	s.checks.set(true, v1beta1.VerdictFail)
	s.pushHeld("web:2")
	s.until("the rollout has failed", func() bool { st := s.canary().Status; return st.Phase == v1beta1.PhaseFailed && st.Rollout == nil })
	if d := s.deployment("web"); *d.Spec.Replicas != 0 || s.service("web").Spec.Selector["app"] != "web-primary" || s.image("web-primary") != "web:1" {
		t.Errorf("after the failure: target at %d, primary runs %s", *d.Spec.Replicas, s.image("web-primary"))
	}
	s.checks.set(true, v1beta1.VerdictPass)
	s.pushHeld("web:1")
	s.atHome("web:1")
}

// A DaemonSet lives the same life: the pods that were analysed stay, and its own way of replacing pods comes back.
func TestEphemeralPrimaryOfADaemonSet(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.agentOf(ephemeral())
	home := func(image string) {
		t.Helper()
		s.until("the DaemonSet serves "+image+" alone", func() bool {
			st, d := s.canary().Status, s.daemonSet("web")
			return st.TargetServes && st.Rollout == nil && agentImage(d) == image && d.Spec.UpdateStrategy.Type == appsv1.RollingUpdateDaemonSetStrategyType &&
				len(s.service("web").Spec.Selector) == 1 && s.service("web").Spec.Selector["app"] == "web" && !s.get("web-primary", &appsv1.DaemonSet{})
		})
	}
	home("web:1")
	adopted := s.nodes.hashes("web")
	push := func(image string) {
		t.Helper()
		change(s, "web", &appsv1.DaemonSet{}, func(d *appsv1.DaemonSet) { held(d, image) })
	}
	s.checks.set(false, "")
	push("web:2")
	s.until("the canary has users", func() bool { return s.canary().Status.CanaryWeight == 50 })
	analysed := s.nodes.hashes("web")
	if agentImage(s.daemonSet("web-primary")) != "web:1" || s.service("web").Spec.Selector["app"] != "web-primary" {
		t.Errorf("while the canary has users the primary runs %s and the apex Service selects %v",
			agentImage(s.daemonSet("web-primary")), s.service("web").Spec.Selector)
	}
	s.checks.set(true, v1beta1.VerdictPass)
	home("web:2")
	if got := s.nodes.hashes("web"); !slices.Equal(got, analysed) || slices.Equal(got, adopted) {
		t.Errorf("pods %v, analysed %v, adopted %v", got, analysed, adopted)
	}

	s.checks.set(true, v1beta1.VerdictFail)
	push("web:3")
	s.until("the rollout has failed", func() bool { st := s.canary().Status; return st.Phase == v1beta1.PhaseFailed && st.Rollout == nil })
	if got := agentImage(s.daemonSet("web-primary")); got != "web:2" {
		t.Errorf("after the failure the primary runs %s", got)
	}
	s.until("the target has no pods", func() bool { return len(s.nodes.hashes("web")) == 0 })
	s.checks.set(true, v1beta1.VerdictPass)
	push("web:2")
	home("web:2")
	before := s.nodes.hashes("web")
	s.deleteCanary()
	s.until("the target is unmarked", func() bool { return len(s.daemonSet("web").Labels) == 0 })
	if d := s.daemonSet("web"); !slices.Equal(s.nodes.hashes("web"), before) || len(d.Spec.Template.Spec.NodeSelector) != 1 {
		t.Errorf("given back: pods %v, before %v, on nodes %v", s.nodes.hashes("web"), before, d.Spec.Template.Spec.NodeSelector)
	}
}

// The user's autoscaler is left alone at home; the primary has a copy of it while it serves, and is never smaller than users need.
func TestEphemeralPrimaryWithAnAutoscaler(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.create(horizontal(1, 6))
	s.applicationOf(ephemeral())
	s.scale("web", 4)
	ref := reference(scaler.HPA, "autoscaling/v2")
	change(s, "web", &v1beta1.Canary{}, func(c *v1beta1.Canary) { c.Spec.AutoscalerRef = &ref })
	s.settled(v1beta1.PhaseInitialized)
	spec := s.hpa("size").Spec
	if n := *s.deployment("web").Spec.Replicas; n != 4 || s.hpa("size-primary") != nil {
		t.Errorf("adopted: %d replicas, a copy of the autoscaler %v", n, s.hpa("size-primary"))
	}
	s.checks.set(false, "")
	s.pushHeld("web:2")
	s.until("half of the users are on the canary", func() bool { w, _ := s.router.at(s.ns); return w == 50 })
	if p := s.hpa("size-primary"); p == nil || *p.Spec.MinReplicas != 4 || *s.deployment("web-primary").Spec.Replicas != 4 {
		t.Errorf("the primary has %d pods for the users of 4, and the autoscaler %+v", *s.deployment("web-primary").Spec.Replicas, p)
	}
	s.checks.set(true, v1beta1.VerdictPass)
	s.until("the target serves alone", func() bool {
		st := s.canary().Status
		return st.Phase == v1beta1.PhaseSucceeded && st.TargetServes && !s.get("web-primary", &appsv1.Deployment{}) && s.hpa("size-primary") == nil
	})
	if n := *s.deployment("web").Spec.Replicas; n < 4 || n > 6 {
		t.Errorf("the target serves all users with %d pods, want at least 4 and no more than its autoscaler allows", n)
	}
	if got := s.hpa("size").Spec; !equality.Semantic.DeepEqual(got, spec) {
		t.Errorf("the user's autoscaler is %+v, before %+v", got, spec)
	}
}

// A Service that Git owns is as in Git whenever users are at home.
func TestEphemeralPrimaryWithAServiceOfAnother(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	git := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Annotations: map[string]string{"note": "x"}},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Name: "mine", Port: 80, TargetPort: intstr.FromInt32(8080)}}},
	}
	s.create(git)
	s.applicationOf(ephemeral())
	s.settled(v1beta1.PhaseInitialized)
	asInGit := func(when string) {
		t.Helper()
		got := s.service("web")
		if !equality.Semantic.DeepEqual(got.Spec, git.Spec) || optedOut(got) || got.Annotations["note"] != "x" || len(got.OwnerReferences) != 0 {
			t.Errorf("%s: %+v of %+v", when, got.Spec, got.ObjectMeta)
		}
	}
	asInGit("adopted")
	s.pushHeld("web:2")
	s.until("the canary has users", func() bool { return s.canary().Status.CanaryWeight == 50 })
	if got := s.service("web"); got.Spec.Selector["app"] != "web-primary" || !optedOut(got) || got.Spec.Ports[0].Name != "mine" {
		t.Errorf("during a rollout: %+v of %+v", got.Spec, got.ObjectMeta)
	}
	s.atHome("web:2")
	asInGit("promoted")
	s.deleteCanary()
	s.until("the target is unmarked", func() bool { return len(s.deployment("web").Labels) == 0 })
	asInGit("given back")
	if got := s.service("web"); len(got.Labels) != 0 || len(got.Annotations) != 1 {
		t.Errorf("given back with labels %v, annotations %v", got.Labels, got.Annotations)
	}
}
