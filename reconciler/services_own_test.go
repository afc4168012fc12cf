package reconciler

import (
	"encoding/json"
	"maps"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// ephemeralWorld has a Service that Git owns, with a selector and ports of its own.
func ephemeralWorld() *world {
	w := serviceWorld()
	w.canary.Spec.Primary = &v1beta1.PrimarySpec{Lifecycle: v1beta1.LifecycleEphemeral}
	w.target = &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{
		"labels": map[string]any{"app": "shop", "tier": "front", "version": "2"},
	}}}}}
	w.apex = &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "web", Labels: map[string]string{"team": "a"}, Annotations: map[string]string{"note": "x"}},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "shop", "tier": "front"},
			Ports:    []corev1.ServicePort{{Name: "web", Port: 80, TargetPort: intstr.FromInt32(9898)}},
		},
	}
	return w
}

// turn brings the apex Service to a side.
func (w *world) turn(apex core.Side, pin string) {
	w.apex = w.serviceFor(roleApex, w.apex, w.selectorFor(roleApex, apex, pin))
}

// A Service that Git owns is as in Git whenever users are at home: its selector, its ports, and no word to Flux.
func TestServiceOfAnotherHasItsOwnSelectorAtHome(t *testing.T) {
	w := ephemeralWorld()
	git := w.apex.DeepCopy()
	home := func(when string) {
		t.Helper()
		w.turn(core.SideTarget, "")
		if !equality.Semantic.DeepEqual(w.apex.Spec, git.Spec) || optedOut(w.apex) || w.apex.Annotations["note"] != "x" || w.apex.Labels["team"] != "a" {
			t.Errorf("%s: %+v of %+v, want %+v", when, w.apex.Spec, w.apex.ObjectMeta, git.Spec)
		}
		if side(w.apex, w.label) != core.SideTarget {
			t.Errorf("%s: it is not known to lead to the target", when)
		}
	}
	home("adopted")
	for _, turn := range []struct {
		side core.Side
		pin  string
	}{{core.SideTarget, "abc"}, {core.SidePrimary, ""}} {
		w.turn(turn.side, turn.pin)
		if !optedOut(w.apex) || equality.Semantic.DeepEqual(w.apex.Spec.Selector, git.Spec.Selector) || w.apex.Spec.Ports[0].Name != "web" {
			t.Errorf("turned to %+v: %+v of %+v", turn, w.apex.Spec, w.apex.ObjectMeta)
		}
		home("back from " + string(turn.side) + turn.pin)
	}
	git.Spec.Selector = map[string]string{"app": "shop", "version": "2"}
	w.apex.Spec.Selector = maps.Clone(git.Spec.Selector)
	home("changed by its owner")
	w.turn(core.SidePrimary, "")
	home("changed before")
	if back := release(w.apex, w.canary); !equality.Semantic.DeepEqual(back.Spec, git.Spec) {
		t.Errorf("released: %+v", back.Spec)
	}
}

// A selector that misses the target's pods, or finds those of the primary too, is not given back before the Canary goes.
func TestSelectorThatDoesNotLeadToTheTarget(t *testing.T) {
	for _, own := range []map[string]string{{"tier": "front"}, {"app": "shop", "version": "1"}} {
		w := ephemeralWorld()
		w.apex.Spec.Selector = own
		for range 2 {
			w.turn(core.SideTarget, "")
			if got := w.apex.Spec.Selector; len(got) != 1 || got["app"] != "shop" || !optedOut(w.apex) {
				t.Errorf("of %v: selector %v, annotations %v", own, got, w.apex.Annotations)
			}
		}
		if got := release(w.apex, w.canary).Spec.Selector; !maps.Equal(got, own) {
			t.Errorf("released with %v, want %v", got, own)
		}
	}
	w := ephemeralWorld()
	w.canary.Spec.Service.Port = 8080
	w.turn(core.SideTarget, "")
	if got := w.apex.Spec.Ports; len(got) != 1 || got[0].Port != 8080 {
		t.Errorf("the route leads to port 8080, which the Service lacks: %+v", got)
	}
}

// What was noted is not written over when somebody takes the word to Flux off while users are away.
func TestNotedSelectorOutlivesTheOptOut(t *testing.T) {
	w := ephemeralWorld()
	own := w.apex.Spec.Selector
	w.turn(core.SidePrimary, "")
	optIn(w.apex)
	w.turn(core.SidePrimary, "")
	var noted map[string]string
	if err := json.Unmarshal([]byte(w.apex.Annotations[annotationSelector]), &noted); err != nil || !maps.Equal(noted, own) || !optedOut(w.apex) {
		t.Errorf("noted %v, %v; annotations %v", noted, err, w.apex.Annotations)
	}
}
