//go:build integration

package reconciler

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// What goes on minding the pods of a target that serve nobody any more is pointed out, once.
func TestBystanders(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	selects := func(values ...string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: metav1.LabelSelectorOpIn, Values: values}}}
	}
	s.create(&policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "guard"}, Spec: policyv1.PodDisruptionBudgetSpec{Selector: selects("web")}})
	s.create(&policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "both"}, Spec: policyv1.PodDisruptionBudgetSpec{Selector: selects("web", "web-primary")}})
	s.create(&networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: "wall"}, Spec: networkingv1.NetworkPolicySpec{PodSelector: *selects("web")}})
	s.application()
	s.settled(v1beta1.PhaseInitialized)
	const want = "PodDisruptionBudget/guard, NetworkPolicy/wall: these select the pods of web only, and users are served by those of web-primary; " +
		"select app in (web, web-primary) there"
	s.told("SelectsTargetOnly", want)
	s.setImage("web:2")
	s.settled(v1beta1.PhaseSucceeded)
	if n := s.notes("SelectsTargetOnly"); len(n) != 1 {
		t.Errorf("it is told %d times: %q", len(n), n)
	}
}
