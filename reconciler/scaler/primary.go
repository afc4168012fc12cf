package scaler

import (
	"fmt"
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// PrimaryName is how the primary's copy of an autoscaler is called.
func PrimaryName(scaler string) string { return scaler + suffix }

// PrimaryOptions is what a primary's copy depends on besides its source.
type PrimaryOptions struct {
	// Canary owns the copy; its autoscalerRef says in what that differs.
	Canary *v1beta1.Canary
	// Labels mark the copy as this program's.
	Labels map[string]string
	// Floor is how many replicas the copy must keep at least, as far as its maximum allows; 0 asks for nothing.
	Floor int32
}

// PrimaryLimits are the limits of a primary's copy without a floor: those of its source, or of the Canary.
func PrimaryLimits(k Kind, source *unstructured.Unstructured, ref *v1beta1.AutoscalerReference) Limits {
	l := k.Limits(source)
	if own := ref.PrimaryScalerReplicas; own != nil {
		if own.MinReplicas != nil {
			l.Min = *own.MinReplicas
		}
		if own.MaxReplicas != nil {
			l.Max = *own.MaxReplicas
		}
		if own.MaxReplicas != nil && own.MinReplicas == nil {
			// The maximum was written with the primary in mind, the minimum was not.
			l.Min = min(l.Min, l.Max)
		}
	}
	l.Max = max(l.Max, l.Min)
	return l
}

// Primary renders the primary's copy of the target's autoscaler. Every field of the spec, known or not, is the source's, but for the workload, the
// limits, and what asks about the target.
func Primary(k Kind, source *unstructured.Unstructured, o PrimaryOptions) (*unstructured.Unstructured, error) {
	ref := o.Canary.Spec.AutoscalerRef
	if ref == nil {
		return nil, fmt.Errorf("canary %s names no autoscaler", o.Canary.Name)
	}
	spec, _, err := unstructured.NestedMap(source.Object, "spec")
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", source.GetKind(), source.GetName(), err)
	}
	target := section(spec, "scaleTargetRef")
	if target == nil {
		return nil, fmt.Errorf("%s %s has no spec.scaleTargetRef; let it name the target", source.GetKind(), source.GetName())
	}
	target["name"] = o.Canary.PrimaryName()
	limits := PrimaryLimits(k, source, ref)
	if floor := min(o.Floor, limits.Max); floor > limits.Min {
		limits.Min = floor
	}
	if o.Floor > 0 {
		// Idle replicas are what is left whatever the minimum says.
		delete(spec, "idleReplicaCount")
	}
	if low, idles := number(spec, "idleReplicaCount"); idles && low >= limits.Min {
		// KEDA refuses as many idle replicas as it keeps anyway.
		delete(spec, "idleReplicaCount")
	}
	k.limit(spec, limits)
	k.rewrite(spec, o.Canary.Spec.TargetRef.Name, ref)

	u := Empty(k)
	u.SetNamespace(o.Canary.Namespace)
	u.SetName(PrimaryName(ref.Name))
	u.SetLabels(chosen(k, source.GetLabels(), true))
	u.SetAnnotations(chosen(k, source.GetAnnotations(), false))
	u.SetLabels(with(u.GetLabels(), o.Labels))
	u.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(o.Canary, v1beta1.GroupVersion.WithKind(v1beta1.CanaryKind))})
	u.Object["spec"] = spec
	return u, nil
}

func chosen(k Kind, from map[string]string, label bool) map[string]string {
	var out map[string]string
	for key, value := range from {
		if k.inherits(key, label) {
			out = with(out, map[string]string{key: value})
		}
	}
	return out
}

// Merge returns an existing copy with what Sluice owns of it as it ought to be: the whole spec, and its own labels and annotations. What others have
// put there stays, but for a pause that would leave nobody to serve.
func Merge(k Kind, existing, want *unstructured.Unstructured) *unstructured.Unstructured {
	next := existing.DeepCopy()
	next.Object["spec"] = want.DeepCopy().Object["spec"]
	if labels := want.GetLabels(); len(labels) > 0 {
		next.SetLabels(with(next.GetLabels(), labels))
	}
	if annotations := want.GetAnnotations(); len(annotations) > 0 {
		next.SetAnnotations(with(next.GetAnnotations(), annotations))
	}
	if _, keda := k.(scaledObject); keda && next.GetAnnotations()[annotationPaused] == idle {
		annotations := cloned(next.GetAnnotations())
		delete(annotations, annotationPaused)
		next.SetAnnotations(annotations)
	}
	return next
}

func with(base, more map[string]string) map[string]string {
	out := cloned(base)
	maps.Copy(out, more)
	return out
}
