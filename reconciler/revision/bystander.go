package revision

import (
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Bystanders are objects of the target's namespace that select pods by their labels. What was written for the target's pods does not mean the primary's,
// which serve in their place.
type Bystanders struct {
	Budgets  []policyv1.PodDisruptionBudget
	Policies []networkingv1.NetworkPolicy
}

// OnlyTarget names those that select the pods of the target and not those of its primary, as KIND/NAME. A selector that cannot be read selects nothing.
func (b Bystanders) OnlyTarget(s Snapshot, selectorLabels []string) ([]string, error) {
	target, err := decodeTemplate(s.Template)
	if err != nil {
		return nil, err
	}
	primary, err := PrimaryTemplate(s, selectorLabels)
	if err != nil {
		return nil, err
	}
	of, instead := podLabels(target), podLabels(primary)
	only := func(selectors ...*metav1.LabelSelector) bool {
		for _, selector := range selectors {
			if m, err := metav1.LabelSelectorAsSelector(selector); err == nil && m.Matches(of) && !m.Matches(instead) {
				return true
			}
		}
		return false
	}
	var out []string
	for _, o := range b.Budgets {
		if only(o.Spec.Selector) {
			out = append(out, fmt.Sprintf("PodDisruptionBudget/%s", o.Name))
		}
	}
	for _, o := range b.Policies {
		if only(selectorsOf(o)...) {
			out = append(out, fmt.Sprintf("NetworkPolicy/%s", o.Name))
		}
	}
	return out, nil
}

// selectorsOf are all selectors of pods of a NetworkPolicy's own namespace: whom it is about, and whom it lets these talk to.
func selectorsOf(p networkingv1.NetworkPolicy) []*metav1.LabelSelector {
	out := []*metav1.LabelSelector{&p.Spec.PodSelector}
	var peers []networkingv1.NetworkPolicyPeer
	for _, rule := range p.Spec.Ingress {
		peers = append(peers, rule.From...)
	}
	for _, rule := range p.Spec.Egress {
		peers = append(peers, rule.To...)
	}
	for _, peer := range peers {
		if peer.NamespaceSelector == nil && peer.PodSelector != nil {
			out = append(out, peer.PodSelector)
		}
	}
	return out
}

func podLabels(template map[string]any) labels.Set {
	out := labels.Set{}
	for k, v := range object(object(template, "metadata"), "labels") {
		if text, ok := v.(string); ok {
			out[k] = text
		}
	}
	return out
}
