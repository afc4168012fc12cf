package webhook

import (
	"fmt"
	"slices"
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

func TestNarrowToAwaitedConfigs(t *testing.T) {
	waiting := func(namespace string, keys ...string) v1beta1.Canary {
		c := canary(namespace, "1")
		c.Status.AwaitedConfigs = keys
		return *c
	}
	var many []string
	for i := range maxAwaited + 1 {
		many = append(many, fmt.Sprintf("secret/s%d", i))
	}
	const subject = "(request.resource.resource + '/' + request.namespace + '/' + object.metadata.?name.orValue('')) in "
	for name, tt := range map[string]struct {
		scope      scope
		canaries   []v1beta1.Canary
		namespaces []string
		condition  string
	}{
		"nobody waits": {canaries: []v1beta1.Canary{waiting("a")}, namespaces: []string{noNamespace}, condition: subject + "[]"},
		"two wait": {canaries: []v1beta1.Canary{waiting("b", "secret/s", "configmap/c"), waiting("a", "configmap/c"), waiting("c")},
			namespaces: []string{"a", "b"}, condition: subject + `["configmaps/a/c", "configmaps/b/c", "secrets/b/s"]`},
		"too many":                 {canaries: []v1beta1.Canary{waiting("a", many...)}, namespaces: []string{"a"}, condition: "true"},
		"configs are none of ours": {scope: scope{ignoreConfigs: true}, canaries: []v1beta1.Canary{waiting("a", "secret/s")}, namespaces: []string{noNamespace}, condition: subject + "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			c := &admissionregv1.MutatingWebhookConfiguration{Webhooks: []admissionregv1.MutatingWebhook{{Name: newConfigsWebhook,
				MatchConditions: []admissionregv1.MatchCondition{{Name: "not-by-sluice", Expression: "x"}, {Name: awaitedCondition, Expression: "false"}}}}}
			if !narrow(c, tt.scope.wanted(tt.canaries)) {
				t.Error("nothing changed")
			}
			w := c.Webhooks[0]
			if got := namedIn(w.NamespaceSelector).Values; !slices.Equal(got, tt.namespaces) {
				t.Errorf("namespaces %q, want %q", got, tt.namespaces)
			}
			if len(w.MatchConditions) != 2 || w.MatchConditions[0].Expression != "x" || w.MatchConditions[1].Expression != tt.condition {
				t.Errorf("conditions %q, want the second to be %s", w.MatchConditions, tt.condition)
			}
			if narrow(c, tt.scope.wanted(tt.canaries)) {
				t.Error("changed a second time")
			}
		})
	}
}
