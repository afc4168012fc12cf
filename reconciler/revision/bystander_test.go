package revision

import (
	"slices"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestBystandersOfTheTargetOnly(t *testing.T) {
	s := Snapshot{
		Target:   Target{Kind: Deployment, Name: "web"},
		Template: []byte(`{"metadata":{"labels":{"app":"web","tier":"front"}},"spec":{}}`),
		Workload: []byte(`{"selector":{"matchLabels":{"app":"web"}}}`),
	}
	match := func(k, v string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{k: v}}
	}
	in := func(values ...string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: metav1.LabelSelectorOpIn, Values: values}}}
	}
	budget := func(name string, selector *metav1.LabelSelector) policyv1.PodDisruptionBudget {
		return policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: policyv1.PodDisruptionBudgetSpec{Selector: selector}}
	}
	policy := func(name string, about *metav1.LabelSelector, from ...networkingv1.NetworkPolicyPeer) networkingv1.NetworkPolicy {
		return networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.NetworkPolicySpec{
			PodSelector: *about, Ingress: []networkingv1.NetworkPolicyIngressRule{{From: from}},
		}}
	}
	egress := policy("out", match("app", "db"))
	egress.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{{PodSelector: match("app", "web")}}}}
	b := Bystanders{
		Budgets: []policyv1.PodDisruptionBudget{
			budget("target", match("app", "web")), budget("both", in("web", "web-primary")), budget("tier", match("tier", "front")),
			budget("other", match("app", "api")), budget("all", &metav1.LabelSelector{}), budget("none", nil), budget("expression", in("web")),
			budget("broken", &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: "Like"}}}),
		},
		Policies: []networkingv1.NetworkPolicy{
			policy("about", match("app", "web")), policy("everybody", &metav1.LabelSelector{}),
			policy("lets-in", match("app", "db"), networkingv1.NetworkPolicyPeer{PodSelector: match("app", "web")}),
			policy("elsewhere", match("app", "db"), networkingv1.NetworkPolicyPeer{PodSelector: match("app", "web"), NamespaceSelector: match("team", "blue")}),
			egress,
		},
	}
	got, err := b.OnlyTarget(s, nil)
	want := []string{"PodDisruptionBudget/target", "PodDisruptionBudget/expression", "NetworkPolicy/about", "NetworkPolicy/lets-in", "NetworkPolicy/out"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("OnlyTarget() = %q, %v; want %q", got, err, want)
	}
	s.Workload = []byte(`{}`)
	if _, err := b.OnlyTarget(s, nil); err == nil {
		t.Error("a workload without a selector label has no primary to compare with")
	}
}
