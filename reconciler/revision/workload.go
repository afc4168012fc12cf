package revision

import (
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Kinds of workload that can be targets.
const (
	Deployment = "Deployment"
	DaemonSet  = "DaemonSet"
)

// ScaleToZeroKey, with the value ScaleToZeroValue, is the node selector that keeps a DaemonSet off every node. Flagger's. It says how many pods
// run, not which, so it is no part of a revision and never reaches a primary.
const (
	ScaleToZeroKey   = "flagger.app/scale-to-zero"
	ScaleToZeroValue = "true"
)

// Brake is the one field by which a kind of workload is kept from rolling a stored template out. A hold sets it, and the owner of the workload
// may set it too; the annotation of the hold records what it was.
type Brake struct {
	// Path of the field in the object.
	Path []string
	// On keeps the workload from rolling out. Off is what Kubernetes makes of an absent field.
	On, Off any
	// record and recorded are how a Hold stores the value.
	record   func(*v1beta1.Hold, any)
	recorded func(v1beta1.Hold) any
}

// brakes by kind.
var brakes = map[string]Brake{
	Deployment: {
		Path: []string{"spec", "paused"}, On: true, Off: false,
		record:   func(h *v1beta1.Hold, v any) { h.Paused = v == true },
		recorded: func(h v1beta1.Hold) any { return h.Paused },
	},
	// The rest of the strategy stays where it is: it means nothing beside OnDelete, and its owner may go on changing it.
	DaemonSet: {
		Path: []string{"spec", "updateStrategy", "type"}, On: "OnDelete", Off: "RollingUpdate",
		record: func(h *v1beta1.Hold, v any) { h.Strategy, _ = v.(string) },
		recorded: func(h v1beta1.Hold) any {
			if h.Strategy == "" {
				// Nobody knows any more what it was; pods that are never replaced are the worse guess.
				return "RollingUpdate"
			}
			return h.Strategy
		},
	},
}

// BrakeOf returns the brake of a kind of workload; that of a Deployment for kinds that are no targets.
func BrakeOf(kind string) Brake {
	if b, ok := brakes[kind]; ok {
		return b
	}
	return brakes[Deployment]
}

// Read returns the value of the field, Off where it is absent.
func (b Brake) Read(w *unstructured.Unstructured) any {
	v, found, err := unstructured.NestedFieldNoCopy(w.Object, b.Path...)
	if !found || err != nil || v == nil {
		return b.Off
	}
	return v
}

// Hold returns the hold on a revision of a workload whose owner wants value in the field.
func (b Brake) Hold(digest string, value any) v1beta1.Hold {
	h := v1beta1.Hold{Revision: digest}
	b.record(&h, value)
	return h
}

// Wanted returns what the owner wants in the field, as a hold has recorded it.
func (b Brake) Wanted(h v1beta1.Hold) any { return b.recorded(h) }

// HoldOf returns the hold that a workload carries, nil without one. One that does not parse still holds; what it recorded is lost, and a workload
// that never rolls out again would be the worse guess.
func HoldOf(w *unstructured.Unstructured) *v1beta1.Hold {
	value, ok := w.GetAnnotations()[v1beta1.AnnotationHold]
	if !ok {
		return nil
	}
	h, err := v1beta1.ParseHold(value)
	if err != nil {
		return &v1beta1.Hold{}
	}
	return &h
}

// PutHold puts a hold on the stored template of a workload, whose digest it records. One that is held already stays as it is.
func PutHold(w *unstructured.Unstructured, digest string) error {
	if HoldOf(w) != nil {
		return nil
	}
	b := BrakeOf(w.GetKind())
	annotations := maps.Clone(w.GetAnnotations())
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[v1beta1.AnnotationHold] = b.Hold(digest, b.Read(w)).String()
	w.SetAnnotations(annotations)
	if err := unstructured.SetNestedField(w.Object, b.On, b.Path...); err != nil {
		return fmt.Errorf("%s %s: hold it: %w", w.GetKind(), w.GetName(), err)
	}
	return nil
}

// Release takes a hold off a workload and leaves the brake as the owner wants it. Without a hold a brake is the owner's own and stays.
func Release(w *unstructured.Unstructured) error {
	h := HoldOf(w)
	if h == nil {
		return nil
	}
	annotations := w.GetAnnotations()
	delete(annotations, v1beta1.AnnotationHold)
	if len(annotations) == 0 {
		annotations = nil
	}
	w.SetAnnotations(annotations)
	b := BrakeOf(w.GetKind())
	value := b.Wanted(*h)
	if value == b.Read(w) {
		return nil
	}
	if err := unstructured.SetNestedField(w.Object, value, b.Path...); err != nil {
		return fmt.Errorf("%s %s: release the hold: %w", w.GetKind(), w.GetName(), err)
	}
	return nil
}

// RollsOut tells whether the owner of a workload wants its pods to follow its template by themselves, whatever a hold makes of that.
func RollsOut(w *unstructured.Unstructured) bool {
	b := BrakeOf(w.GetKind())
	value := b.Read(w)
	if h := HoldOf(w); h != nil && value == b.On {
		value = b.Wanted(*h)
	}
	return value != b.On
}

// ScaledToZero tells whether a DaemonSet is kept off every node.
func ScaledToZero(daemonSet *unstructured.Unstructured) bool {
	selector, _, _ := unstructured.NestedMap(daemonSet.Object, "spec", "template", "spec", "nodeSelector")
	_, ok := selector[ScaleToZeroKey]
	return ok
}

// ScaleToZero keeps a DaemonSet off every node, or lets it back on those that it was meant for.
func ScaleToZero(daemonSet *unstructured.Unstructured, zero bool) error {
	path := []string{"spec", "template", "spec", "nodeSelector"}
	selector, _, err := unstructured.NestedMap(daemonSet.Object, path...)
	if err != nil {
		return fmt.Errorf("DaemonSet %s: %w", daemonSet.GetName(), err)
	}
	if selector == nil {
		selector = map[string]any{}
	}
	if delete(selector, ScaleToZeroKey); zero {
		selector[ScaleToZeroKey] = ScaleToZeroValue
	}
	if len(selector) == 0 {
		unstructured.RemoveNestedField(daemonSet.Object, path...)
		return nil
	}
	if err := unstructured.SetNestedMap(daemonSet.Object, selector, path...); err != nil {
		return fmt.Errorf("DaemonSet %s: %w", daemonSet.GetName(), err)
	}
	return nil
}

// withoutScale returns a DaemonSet's template without what scales it. It changes nothing in the one that it is given.
func withoutScale(template map[string]any) map[string]any {
	selector := object(object(template, "spec"), "nodeSelector")
	if _, scaled := selector[ScaleToZeroKey]; !scaled {
		return template
	}
	out, spec, rest := maps.Clone(template), maps.Clone(object(template, "spec")), maps.Clone(selector)
	delete(rest, ScaleToZeroKey)
	if spec["nodeSelector"] = rest; len(rest) == 0 {
		// An empty selector is stored as none.
		delete(spec, "nodeSelector")
	}
	out["spec"] = spec
	return out
}

// HostPorts tells why two DaemonSets with the same template cannot run on the same node: the ports of the node that both would take, and whether
// they use its network as a whole.
func HostPorts(w *unstructured.Unstructured) (ports []int64, network bool) {
	spec := object(object(object(w.Object, "spec"), "template"), "spec")
	network, _ = spec["hostNetwork"].(bool)
	for _, field := range []string{"initContainers", "containers"} {
		for _, c := range objects(spec, field) {
			for _, p := range objects(c, "ports") {
				if n, _ := p["hostPort"].(int64); n != 0 {
					ports = append(ports, n)
				}
			}
		}
	}
	return ports, network
}

// Idle tells whether a workload is scaled to zero.
func Idle(w *unstructured.Unstructured) bool {
	if w.GetKind() == DaemonSet {
		return ScaledToZero(w)
	}
	replicas, set, err := unstructured.NestedInt64(w.Object, "spec", "replicas")
	return err == nil && set && replicas == 0
}
