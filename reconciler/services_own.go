package reconciler

import (
	"encoding/json"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	k8slabels "k8s.io/apimachinery/pkg/labels"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// This file holds what a Service that somebody else made, in Git most often, keeps of its own. It is pure.

// ownSelector is the selector that the owner of the apex Service gave it, where it can lead users to the target: with an ephemeral primary, and if it
// selects all pods of the target and none of the primary. Nil otherwise.
func (w *world) ownSelector() map[string]string {
	if w.canary.Lifecycle() != v1beta1.LifecycleEphemeral || w.apex == nil || w.target == nil || w.label.Key == "" {
		return nil
	}
	own := originalSelector(w.apex)
	if own == nil || w.hasOwn(w.apex) {
		own = w.apex.Spec.Selector
	}
	if metav1.IsControlledBy(w.apex, w.canary) || own[w.label.Key] != w.label.Value {
		return nil
	}
	labels, _, err := unstructured.NestedStringMap(w.target.Object, "spec", "template", "metadata", "labels")
	if err != nil {
		return nil
	}
	if !k8slabels.SelectorFromSet(own).Matches(k8slabels.Set(labels)) {
		return nil
	}
	return own
}

// hasOwn tells whether a Service that was taken over has the selector that its owner gives it, maybe another than before.
func (w *world) hasOwn(s *corev1.Service) bool {
	return !optedOut(s) && side(s, w.label) == core.SideTarget && s.Labels[labelPinned] == ""
}

// keepsPorts tells whether a Service has ports of its own that do for both sides: with an ephemeral primary nothing of it is to differ from Git.
func (w *world) keepsPorts(r role, s *corev1.Service) bool {
	return r == roleApex && w.canary.Lifecycle() == v1beta1.LifecycleEphemeral && !metav1.IsControlledBy(s, w.canary) &&
		slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == w.canary.Spec.Service.Port })
}

// originalSelector is the one that was noted when a Service was taken over; nil when none was.
func originalSelector(s *corev1.Service) map[string]string {
	original := map[string]string{}
	if json.Unmarshal([]byte(s.Annotations[annotationSelector]), &original) != nil || len(original) == 0 {
		return nil
	}
	return original
}

// optedOut tells whether Flux leaves a Service alone.
func optedOut(s *corev1.Service) bool {
	for k, v := range fluxOptOut() {
		if s.Annotations[k] != v {
			return false
		}
	}
	return true
}

// optIn lets Flux look after a Service again.
func optIn(s *corev1.Service) {
	for k, v := range fluxOptOut() {
		if s.Annotations[k] == v {
			delete(s.Annotations, k)
		}
	}
}

// release returns a Service as it goes on without Sluice.
func release(s *corev1.Service, c *v1beta1.Canary) *corev1.Service {
	out := s.DeepCopy()
	if original := originalSelector(out); original != nil {
		out.Spec.Selector = original
	}
	delete(out.Annotations, annotationSelector)
	delete(out.Labels, v1beta1.LabelCanary)
	optIn(out)
	out.OwnerReferences = slices.DeleteFunc(out.OwnerReferences, func(o metav1.OwnerReference) bool { return isCanary(o) && o.Name == c.Name })
	return out
}
