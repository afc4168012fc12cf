package scaler

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// hpa is the autoscaler of Kubernetes. It leaves a workload without replicas alone, so nothing has to keep it from an idle target.
type hpa struct{}

func (hpa) GroupVersionKind() schema.GroupVersionKind {
	return autoscalingv2.SchemeGroupVersion.WithKind(HPA)
}

func (hpa) Limits(u *unstructured.Unstructured) Limits {
	spec := section(u.Object, "spec")
	low := or(spec, "minReplicas", 1)
	return Limits{Min: low, Max: max(low, or(spec, "maxReplicas", low))}
}

// Blind tells whether an autoscaler says that it cannot tell the load, for instance because nothing serves its metrics. It leaves its workload at the size
// that it has then. Only a HorizontalPodAutoscaler says so, and not of one that is at zero.
func Blind(u *unstructured.Unstructured) bool {
	if u.GetKind() != HPA {
		return false
	}
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		if condition["type"] == string(autoscalingv2.ScalingActive) {
			return condition["status"] != "True" && condition["reason"] != "ScalingDisabled"
		}
	}
	return false
}

func (hpa) limit(spec map[string]any, l Limits) {
	spec["minReplicas"], spec["maxReplicas"] = int64(l.Min), int64(l.Max)
}

func (hpa) Pause(*unstructured.Unstructured)  {}
func (hpa) Resume(*unstructured.Unstructured) {}

func (hpa) rewrite(map[string]any, string, *v1beta1.AutoscalerReference) {}

func (hpa) inherits(key string, label bool) bool { return label && others(key) }
