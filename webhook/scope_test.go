package webhook

import (
	"testing"

	admissionregv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

func TestNarrow(t *testing.T) {
	notIn := metav1.LabelSelectorRequirement{Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpNotIn, Values: []string{"kube-system"}}
	in := func(names ...string) metav1.LabelSelectorRequirement {
		return metav1.LabelSelectorRequirement{Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpIn, Values: names}
	}
	canaries := []v1beta1.Canary{*canary("b", "1"), *canary("a", "1"), *canary("b", "2")}
	for name, tt := range map[string]struct {
		have     *metav1.LabelSelector
		canaries []v1beta1.Canary
		want     []metav1.LabelSelectorRequirement
		changed  bool
	}{
		"first Canaries":    {&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{notIn, in(noNamespace)}}, canaries, []metav1.LabelSelectorRequirement{notIn, in("a", "b")}, true},
		"nothing to do":     {&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{notIn, in("a", "b")}}, canaries, []metav1.LabelSelectorRequirement{notIn, in("a", "b")}, false},
		"last Canary gone":  {&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{in("a"), notIn}}, nil, []metav1.LabelSelectorRequirement{in(noNamespace), notIn}, true},
		"selector was lost": {nil, canaries[:1], []metav1.LabelSelectorRequirement{in("b")}, true},
		"list was lost":     {&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{notIn}}, nil, []metav1.LabelSelectorRequirement{notIn, in(noNamespace)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			other := admissionregv1.MutatingWebhook{Name: "targets.sluice.dev", NamespaceSelector: &metav1.LabelSelector{}}
			c := &admissionregv1.MutatingWebhookConfiguration{Webhooks: []admissionregv1.MutatingWebhook{other, {Name: newTargetsWebhook, NamespaceSelector: tt.have}}}
			if got := narrow(c, scope{}.wanted(tt.canaries)); got != tt.changed {
				t.Errorf("changed: %v, want %v", got, tt.changed)
			}
			if a, b := mustJSON(t, c.Webhooks[1].NamespaceSelector.MatchExpressions), mustJSON(t, tt.want); a != b {
				t.Errorf("selector %s, want %s", a, b)
			}
			if len(c.Webhooks[0].NamespaceSelector.MatchExpressions) > 0 {
				t.Error("the other webhook was narrowed too")
			}
		})
	}
}
