//go:build integration

package reconciler

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

func (s *stage) deleteCanary() {
	s.Helper()
	if err := shared.admin.Delete(s.Context(), s.canary()); err != nil {
		s.Fatal(err)
	}
	s.until("the Canary is gone", func() bool { return !s.get("web", &v1beta1.Canary{}) })
}

// unmarked holds that nothing tells the configs of the application from those of others.
func (s *stage) unmarked() {
	s.Helper()
	for _, o := range []client.Object{&corev1.ConfigMap{}, &corev1.Secret{}} {
		name := map[bool]string{true: "settings", false: "token"}[kindOf(o) == "ConfigMap"]
		if !s.get(name, o) || o.GetLabels()[v1beta1.LabelTracked] != "" {
			s.Errorf("%s %s: labels %v", kindOf(o), name, o.GetLabels())
		}
	}
}

// servesAlone holds that the target serves behind the apex Service with the promoted revision.
func (s *stage) servesAlone() {
	s.Helper()
	if d := s.deployment("web"); *d.Spec.Replicas != 2 || s.image("web") != "web:1" || d.Labels[v1beta1.LabelTracked] != "" {
		s.Errorf("target: %d replicas of %s, labels %v", *d.Spec.Replicas, s.image("web"), d.Labels)
	}
	if got := s.service("web").Spec.Selector["app"]; got != "web" {
		s.Errorf("the apex Service selects %q", got)
	}
	if s.get("web-primary", &appsv1.Deployment{}) {
		s.Error("the primary is still there")
	}
	s.unmarked()
}

// A Canary can be deleted whatever state it and its surroundings are in, with and without revertOnDeletion.
func TestDeletionNeverSticks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		disturb func(*stage)
		holds   func(*stage)
	}{
		"as it is": {func(*stage) {}, (*stage).servesAlone},
		"the provider was removed": {func(s *stage) {
			change(s, "web", &v1beta1.Canary{}, func(c *v1beta1.Canary) { c.Spec.Provider = "istio" })
			s.until("the Canary says so", func() bool { return s.canary().Status.Condition(v1beta1.ConditionReady).Reason == "ProviderUnknown" })
		}, (*stage).servesAlone},
		"in a rollout, and the provider was removed": {func(s *stage) {
			s.checks.set(false, "")
			s.setImage("web:2")
			s.until("the canary has users", func() bool { return s.canary().Status.CanaryWeight == 50 })
			change(s, "web", &v1beta1.Canary{}, func(c *v1beta1.Canary) { c.Spec.Provider = "istio" })
		}, (*stage).servesAlone},
		"the spec is invalid": {func(s *stage) {
			// What admission refuses, and may have been stored while it was away.
			change(s, "web", &v1beta1.Canary{}, func(c *v1beta1.Canary) {
				c.Spec.Analysis.Webhooks = []v1beta1.CanaryWebhook{{Name: "no URL"}}
				c.Spec.Analysis.Metrics = []v1beta1.CanaryMetric{{Name: "no query"}}
				c.Spec.AutoscalerRef = &v1beta1.AutoscalerReference{LocalObjectReference: v1beta1.LocalObjectReference{Kind: "ScaledObject", Name: "missing"}}
			})
		}, (*stage).servesAlone},
		"suspended": {func(s *stage) {
			change(s, "web", &v1beta1.Canary{}, func(c *v1beta1.Canary) { c.Spec.Suspend = true })
		}, (*stage).servesAlone},
		"the target is missing": {func(s *stage) {
			if err := shared.admin.Delete(s.Context(), s.deployment("web"), client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
				s.Fatal(err)
			}
			s.until("the target is gone", func() bool { return !s.get("web", &appsv1.Deployment{}) })
		}, (*stage).unmarked},
		"primary and Services are missing": {func(s *stage) {
			s.stop()
			for _, o := range []client.Object{s.deployment("web-primary"), s.service("web"), s.service("web-primary"), s.service("web-canary")} {
				if err := shared.admin.Delete(s.Context(), o); err != nil {
					s.Fatal(err)
				}
			}
			if err := shared.admin.Delete(s.Context(), s.canary()); err != nil {
				s.Fatal(err)
			}
			s.start()
		}, func(s *stage) {
			if d := s.deployment("web"); *d.Spec.Replicas == 0 {
				s.Error("the target is left at zero")
			}
		}},
		"the namespace is being deleted": {func(s *stage) {
			if err := shared.admin.Delete(s.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.ns}}); err != nil {
				s.Fatal(err)
			}
		}, func(*stage) {}},
	} {
		for _, revert := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", reverting", false: ""}[revert], func(t *testing.T) {
				t.Parallel()
				s := newStage(t)
				s.application()
				change(s, "web", &v1beta1.Canary{}, func(c *v1beta1.Canary) { c.Spec.RevertOnDeletion = revert })
				s.settled(v1beta1.PhaseInitialized)
				c.disturb(s)
				if s.get("web", &v1beta1.Canary{}) && s.canary().DeletionTimestamp == nil {
					s.deleteCanary()
				}
				s.until("the Canary is gone", func() bool { return !s.get("web", &v1beta1.Canary{}) })
				c.holds(s)
			})
		}
	}
}
