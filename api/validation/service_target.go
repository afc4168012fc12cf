package validation

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// serviceTarget denies a target of kind Service whose copies would lead nowhere or that no route leads to, and warns of what it has no part in.
func (r *review) serviceTarget() {
	if !r.canary.TargetsService() {
		return
	}
	ref, s := r.canary.Spec.TargetRef, &r.canary.Spec.Service
	if s.Name != "" && s.Name != ref.Name {
		r.deny("spec.service.name", s.Name, "is another Service than the target, whose copies the route leads to; remove it")
	}
	if a := r.canary.Spec.AutoscalerRef; a != nil {
		r.warn("spec.autoscalerRef", a.Kind+"/"+a.Name, "has no effect on a Service, which has no pods of its own; remove it")
	}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"portName", s.PortName != ""},
		{"targetPort", s.TargetPort != intstr.IntOrString{}},
		{"appProtocol", s.AppProtocol != ""},
		{"portDiscovery", s.PortDiscovery},
	} {
		if f.set {
			r.warn("spec.service."+f.name, nil, "has no effect on a Service, whose copies have its own ports; remove it")
		}
	}
	if r.known && !r.can.Splits {
		r.warn("spec.provider", r.can.Name, "leads nobody: who calls Service %s meets each change of it at once; send users to %s",
			ref.Name, r.canary.PrimaryName())
	}
	r.serviceAsItIs()
}

// serviceAsItIs judges the target itself, where it is known. One that was taken over is not judged here again, but reported with its rollout.
func (r *review) serviceAsItIs() {
	target, old, ref := r.opts.Facts.Target, r.opts.Old, r.canary.Spec.TargetRef
	if target == nil || old != nil && sameObject(old.Spec.TargetRef, ref) {
		return
	}
	if target.LeadsNowhere {
		r.deny(fieldTarget, "Service/"+ref.Name, "has no selector, so copies of it would have no endpoints; give it a selector, or make it an ExternalName")
	}
	if port := r.canary.Spec.Service.Port; len(target.Ports) > 0 && !slices.Contains(target.Ports, port) {
		r.warn("spec.service.port", port, "is no port of Service %s, so the route leads nowhere; use one of %s",
			ref.Name, strings.Trim(fmt.Sprint(target.Ports), "[]"))
	}
}
