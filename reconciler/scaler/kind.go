package scaler

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Kinds of autoscalers, as spec.autoscalerRef.kind names them.
const (
	HPA          = "HorizontalPodAutoscaler"
	ScaledObject = "ScaledObject"
)

// Limits are between how many replicas an autoscaler keeps a workload.
type Limits struct{ Min, Max int32 }

// Kind is all in which one kind of autoscaler differs from another. Implementations are pure, and change nothing but what they are told to.
type Kind interface {
	// GroupVersionKind of the objects.
	GroupVersionKind() schema.GroupVersionKind
	// Limits that an autoscaler sets, with the defaults of its kind where it sets none.
	Limits(*unstructured.Unstructured) Limits
	// Pause keeps the autoscaler of an idle target from giving it pods, and remembers what its user had set there. Repeating it changes nothing.
	Pause(*unstructured.Unstructured)
	// Resume undoes Pause: what the user had set is there again. Repeating it changes nothing.
	Resume(*unstructured.Unstructured)
	// limit sets the limits in a spec.
	limit(spec map[string]any, l Limits)
	// rewrite turns the spec of a target's autoscaler into that of its primary's, limits and the reference to the workload aside.
	rewrite(spec map[string]any, target string, ref *v1beta1.AutoscalerReference)
	// inherits tells whether the primary's copy gets a label or annotation.
	inherits(key string, label bool) bool
}

var kinds = map[string]Kind{HPA: hpa{}, ScaledObject: scaledObject{}}

// Of returns the kind with a name; false for one that nobody knows.
func Of(kind string) (Kind, bool) {
	k, ok := kinds[kind]
	return k, ok
}

// Kinds are the names of the kinds, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// Empty returns an object of a kind to read into.
func Empty(k Kind) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(k.GroupVersionKind())
	return u
}

// Scales tells whether an autoscaler scales the workload with a name; if not, why says so in words. Kinds differ in whether a reference has to
// name the workload's kind.
func Scales(u *unstructured.Unstructured, kind, name string) (why string, ok bool) {
	ref := section(u.Object, "spec", "scaleTargetRef")
	k, _ := ref["kind"].(string)
	n, _ := ref["name"].(string)
	if n == name && (k == kind || k == "") {
		return "", true
	}
	return fmt.Sprintf("%s %s scales %s %s and not the target; let its spec.scaleTargetRef name %s %s",
		u.GetKind(), u.GetName(), k, n, kind, name), false
}

// section returns the object at a path, nil where there is none.
func section(m map[string]any, path ...string) map[string]any {
	for _, p := range path {
		m, _ = m[p].(map[string]any)
	}
	return m
}

// number reads a count; found tells that it is set.
func number(m map[string]any, field string) (n int32, found bool) {
	switch v := m[field].(type) {
	case int64:
		return int32(v), true
	case float64:
		return int32(v), true
	}
	return 0, false
}

// or returns the count of a field, or what it means when it is absent.
func or(m map[string]any, field string, absent int32) int32 {
	if n, found := number(m, field); found {
		return n
	}
	return absent
}

// generatedBy are parts of the keys by which tools and this program know the objects that they manage. A copy with these would be theirs too: they
// would delete it because it is in nobody's manifests, or take it for the original.
var generatedBy = []string{"toolkit.fluxcd.io/", "argocd.argoproj.io/", "meta.helm.sh/", "helm.sh/", "app.kubernetes.io/instance",
	"app.kubernetes.io/managed-by", "kubectl.kubernetes.io/", "sluice.dev/"}

func others(key string) bool {
	return !slices.ContainsFunc(generatedBy, func(part string) bool { return strings.Contains(key, part) })
}
