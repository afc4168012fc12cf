//go:build integration

package reconciler

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
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
