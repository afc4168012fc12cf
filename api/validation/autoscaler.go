package validation

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

const (
	horizontal   = "HorizontalPodAutoscaler"
	scaledObject = "ScaledObject"
)

// autoscaler denies a reference that no autoscaler can meet. Kind and name find it: which version of its API is named does not matter.
func (r *review) autoscaler() {
	a := r.canary.Spec.AutoscalerRef
	if a == nil {
		return
	}
	groups := map[string]struct{ group, use string }{
		horizontal:   {"autoscaling", "autoscaling/v2"},
		scaledObject: {"keda.sh", "keda.sh/v1alpha1"},
	}
	of, known := groups[a.Kind]
	if !known {
		r.deny("spec.autoscalerRef.kind", a.Kind, "is not a kind of autoscaler; use %s or %s", horizontal, scaledObject)
		return
	}
	if gv, err := schema.ParseGroupVersion(a.APIVersion); err != nil || gv.Group != of.group {
		r.deny("spec.autoscalerRef.apiVersion", a.APIVersion, "is not the API of a %s; use %s", a.Kind, of.use)
	}
	if a.Name == "" {
		r.deny("spec.autoscalerRef.name", nil, "is required; name the autoscaler of the target")
	}
	if a.Kind == horizontal && len(a.PrimaryScalerQueries) > 0 {
		r.warn("spec.autoscalerRef.primaryScalerQueries", nil, "has no effect on a HorizontalPodAutoscaler, which asks no queries; remove it")
	}
	r.scalerLimits(a.PrimaryScalerReplicas)
}

// scalerLimits denies limits that no autoscaler could have.
func (r *review) scalerLimits(own *v1beta1.ScalerReplicas) {
	if own == nil || own.MinReplicas == nil || own.MaxReplicas == nil {
		return
	}
	if low, high := *own.MinReplicas, *own.MaxReplicas; low > high {
		r.deny("spec.autoscalerRef.primaryScalerReplicas.minReplicas", low, "is above maxReplicas %d; swap them", high)
	}
}
