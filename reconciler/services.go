package reconciler

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// This file renders Services. It is pure.

// annotationSelector on a Service that was taken over holds the selector that its owner gave it, as JSON.
const annotationSelector = "sluice.dev/original-selector"

// labelPinned on the canary Service is the hash of the pods that it selects; on a copy of a target that is a Service the revision that it leads to.
// Whoever lists the endpoints of a Service gives them its labels, so it tells of each endpoint whether it was chosen by this hash.
const labelPinned = "sluice.dev/pinned"

// role is what a Service is for.
type role string

const (
	roleApex    role = "apex"
	rolePrimary role = "primary"
	roleCanary  role = "canary"
)

// fluxOptOut keeps Flux from writing over Services whose selectors move.
func fluxOptOut() map[string]string {
	return map[string]string{
		"kustomize.toolkit.fluxcd.io/reconcile": "disabled",
		"helm.toolkit.fluxcd.io/driftDetection": "disabled",
	}
}

// selectorFor returns the selector of a Service. An apex Service of neither side gets none.
func (w *world) selectorFor(r role, apex core.Side, pin string) map[string]string {
	primary, target := map[string]string{w.label.Key: w.label.Primary().Value}, map[string]string{w.label.Key: w.label.Value}
	switch {
	case r == rolePrimary, r == roleApex && apex == core.SidePrimary:
		return primary
	case (r == roleCanary || r == roleApex && apex == core.SideTarget) && pin != "":
		target[w.kind.hashLabel()] = pin
		return target
	case r == roleApex && apex == core.SideTarget:
		if own := w.ownSelector(); own != nil {
			return own
		}
		return target
	case r == roleCanary:
		return target
	}
	return nil
}

// serviceFor returns a Service as it ought to be: existing with Sluice's fields set, or a new one when existing is nil. A nil selector leaves
// the existing one.
func (w *world) serviceFor(r role, existing *corev1.Service, selector map[string]string) *corev1.Service {
	c := w.canary
	out := existing.DeepCopy()
	if out == nil {
		out = w.newService(r)
	}
	if metav1.IsControlledBy(out, c) {
		w.ownMetadata(r, out)
		if t := c.Spec.Service.TrafficDistribution; t != "" {
			out.Spec.TrafficDistribution = &t
		}
	} else {
		w.borrow(out, selector)
	}
	if selector != nil {
		out.Spec.Selector = selector
		setOrDrop(out.Labels, labelPinned, selector[w.kind.hashLabel()])
	}
	if (selector != nil || existing == nil) && !w.keepsPorts(r, out) {
		out.Spec.Ports = carryOver(w.ports(), out.Spec.Ports)
	}
	return out
}

func (w *world) newService(r role) *corev1.Service {
	c := w.canary
	apex, primary, canary := c.ServiceNames()
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       c.Namespace,
			Name:            map[role]string{roleApex: apex, rolePrimary: primary, roleCanary: canary}[r],
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(c, v1beta1.GroupVersion.WithKind(v1beta1.CanaryKind))},
		},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP},
	}
	if c.Spec.Service.Headless {
		s.Spec.ClusterIP = corev1.ClusterIPNone
	}
	return s
}

// ownMetadata gives a Service that the Canary made exactly the labels and annotations that the Canary asks for, but for the keys that it leaves
// to others.
func (w *world) ownMetadata(r role, s *corev1.Service) {
	spec := w.canary.Spec.Service
	custom := map[role]*v1beta1.CustomMetadata{roleApex: spec.Apex, rolePrimary: spec.Primary, roleCanary: spec.Canary}[r]
	labels, annotations := map[string]string{}, fluxOptOut()
	if custom != nil {
		maps.Copy(labels, custom.Labels)
		maps.Copy(annotations, custom.Annotations)
	}
	if u := spec.UnmanagedMetadata; u != nil {
		keep(labels, s.Labels, u.Labels)
		keep(annotations, s.Annotations, u.Annotations)
	}
	if w.label.Key != "" {
		labels[w.label.Key] = revision.LabelValue(s.Name)
	}
	labels[v1beta1.LabelCanary] = revision.LabelValue(w.canary.Name)
	s.Labels, s.Annotations = labels, annotations
}

// setOrDrop sets a key; an empty value removes it.
func setOrDrop(m map[string]string, key, value string) {
	if delete(m, key); value != "" {
		m[key] = value
	}
}

// keep copies the live values of keys that others manage.
func keep(to, from map[string]string, keys []string) {
	for _, k := range keys {
		if v, ok := from[k]; ok {
			to[k] = v
		}
	}
}

// borrow marks a Service that somebody else made. Its selector is noted before it is changed, so that it can be given back. While it has its own
// selector its owner may change that.
func (w *world) borrow(s *corev1.Service, selector map[string]string) {
	metav1.SetMetaDataLabel(&s.ObjectMeta, v1beta1.LabelCanary, revision.LabelValue(w.canary.Name))
	if s.Annotations == nil {
		s.Annotations = map[string]string{}
	}
	if selector != nil && len(s.Spec.Selector) > 0 && (originalSelector(s) == nil || w.hasOwn(s)) {
		// A map of strings always marshals.
		raw, _ := json.Marshal(s.Spec.Selector)
		s.Annotations[annotationSelector] = string(raw)
	}
	if selector != nil && maps.Equal(selector, w.ownSelector()) {
		optIn(s)
	} else {
		maps.Copy(s.Annotations, fluxOptOut())
	}
	w.ownAgain(s)
}

// ownAgain gives a Service the identity of a Canary that was restored from a backup; an owner that no longer exists would have the Service collected.
func (w *world) ownAgain(s *corev1.Service) {
	for i, o := range s.OwnerReferences {
		if isCanary(o) && o.Name == w.canary.Name {
			s.OwnerReferences[i].UID = w.canary.UID
		}
	}
}

// ports returns the ports of the generated Services: the Canary's, then the discovered ones by number.
func (w *world) ports() []corev1.ServicePort {
	spec := w.canary.Spec.Service
	main := corev1.ServicePort{
		Name:       spec.MainPortName(),
		Protocol:   corev1.ProtocolTCP,
		Port:       spec.Port,
		TargetPort: spec.ContainerPort(),
	}
	if spec.AppProtocol != "" {
		main.AppProtocol = &spec.AppProtocol
	}
	ports := []corev1.ServicePort{main}
	if spec.PortDiscovery && w.target != nil {
		ports = append(ports, discover(w.target, main)...)
	}
	return ports
}

// discover returns the target's other container ports, each name and number once. Sidecars that a mesh injects are left out.
func discover(target *unstructured.Unstructured, main corev1.ServicePort) []corev1.ServicePort {
	containers, _, _ := unstructured.NestedSlice(target.Object, "spec", "template", "spec", "containers")
	var found []corev1.ServicePort
	names, numbers := map[string]bool{main.Name: true}, map[string]bool{portKey(main): true}
	for _, c := range containers {
		container, _ := c.(map[string]any)
		name, _ := container["name"].(string)
		if name == "istio-proxy" || name == "envoy" {
			continue
		}
		list, _ := container["ports"].([]any)
		for i, p := range list {
			port, ok := discovered(p, name, i, main)
			if !ok || names[port.Name] || numbers[portKey(port)] {
				continue
			}
			names[port.Name], numbers[portKey(port)] = true, true
			found = append(found, port)
		}
	}
	slices.SortFunc(found, func(a, b corev1.ServicePort) int { return int(a.Port - b.Port) })
	return found
}

func portKey(p corev1.ServicePort) string { return fmt.Sprintf("%s/%d", p.Protocol, p.Port) }

// discovered returns the Service port for one container port, unless the main port leads to it.
func discovered(p any, container string, index int, main corev1.ServicePort) (corev1.ServicePort, bool) {
	port, _ := p.(map[string]any)
	number, _ := port["containerPort"].(int64)
	name, _ := port["name"].(string)
	protocol, _ := port["protocol"].(string)
	if number == 0 || main.TargetPort == intstr.FromInt32(int32(number)) || (name != "" && main.TargetPort == intstr.FromString(name)) {
		return corev1.ServicePort{}, false
	}
	if protocol == "" {
		protocol = string(corev1.ProtocolTCP)
	}
	if name == "" {
		name = fmt.Sprintf("%s-%s-%d", strings.ToLower(protocol), container, index)
	}
	return corev1.ServicePort{
		Name:       name,
		Protocol:   corev1.Protocol(protocol),
		Port:       int32(number),
		TargetPort: intstr.FromInt32(int32(number)),
	}, true
}

// carryOver keeps node ports that were assigned to ports of the same name.
func carryOver(want, have []corev1.ServicePort) []corev1.ServicePort {
	for i := range want {
		for _, h := range have {
			if h.Name == want[i].Name || (len(have) == 1 && len(want) == 1 && h.Name == "") {
				want[i].NodePort = h.NodePort
			}
		}
	}
	return want
}
