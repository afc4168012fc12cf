package revision

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Service is the kind of a target whose revision says where requests are led, and not what serves them.
const Service = "Service"

// ofTheObject are the fields of a Service's spec that are no part of a revision: what the API server assigns to each Service of its own, and how the one
// Service is reached from outside the cluster. Copies of the Service have their own.
var ofTheObject = []string{
	"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort", "allocateLoadBalancerNodePorts",
	"externalIPs", "externalTrafficPolicy", "loadBalancerIP", "loadBalancerClass", "loadBalancerSourceRanges",
}

// What the API server makes of absent fields. A newer one may show a stored Service with such a default, which is no change.
const (
	defaultAffinityTimeout = int32(10800)
	defaultTrafficPolicy   = string(corev1.ServiceInternalTrafficPolicyCluster)
)

// serviceTemplate returns what of a Service's spec makes a revision: to whom it leads, and how. It changes nothing in the spec that it is given.
func serviceTemplate(spec map[string]any) map[string]any {
	out := maps.Clone(spec)
	for _, field := range ofTheObject {
		delete(out, field)
	}
	if out["type"] != string(corev1.ServiceTypeExternalName) {
		// The other types differ in how the one Service is reached.
		delete(out, "type")
	}
	dropEqual(out, "sessionAffinity", string(corev1.ServiceAffinityNone))
	dropEqual(out, "internalTrafficPolicy", defaultTrafficPolicy)
	dropEqual(out, "publishNotReadyAddresses", false)
	timeout, _, _ := unstructured.NestedInt64(out, "sessionAffinityConfig", "clientIP", "timeoutSeconds")
	if out["sessionAffinity"] == nil || timeout == int64(defaultAffinityTimeout) {
		delete(out, "sessionAffinityConfig")
	}
	var ports []any
	for _, p := range objects(spec, "ports") {
		ports = append(ports, portTemplate(p))
	}
	if out["ports"] = ports; len(ports) == 0 {
		delete(out, "ports")
	}
	if len(object(out, "selector")) == 0 {
		delete(out, "selector")
	}
	return out
}

// portTemplate is the same of one port.
func portTemplate(port map[string]any) map[string]any {
	out := maps.Clone(port)
	delete(out, "nodePort")
	dropEqual(out, "protocol", string(corev1.ProtocolTCP))
	dropEqual(out, "targetPort", out["port"])
	return out
}

func dropEqual(m map[string]any, field string, value any) {
	if m[field] == value {
		delete(m, field)
	}
}

// LeadTo makes a Service's spec lead where a template of another one, or of an earlier state of itself, says. What is of the one Service stays: its
// addresses and how it is reached from outside the cluster.
func LeadTo(template []byte, spec *corev1.ServiceSpec) error {
	var next corev1.ServiceSpec
	if err := json.Unmarshal(template, &next); err != nil {
		return fmt.Errorf("the template of a Service: %w", err)
	}
	if next.Type == "" {
		if next.Type = spec.Type; spec.Type == "" || spec.Type == corev1.ServiceTypeExternalName {
			next.Type = corev1.ServiceTypeClusterIP
		}
	}
	withDefaults(&next)
	keepAddresses(&next, spec)
	*spec = next
	return nil
}

// withDefaults fills in what the API server would, so that a Service that is as it ought to be is not written again.
func withDefaults(s *corev1.ServiceSpec) {
	if s.SessionAffinity == "" {
		s.SessionAffinity = corev1.ServiceAffinityNone
	}
	if s.SessionAffinity == corev1.ServiceAffinityClientIP && s.SessionAffinityConfig == nil {
		s.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: new(defaultAffinityTimeout)}}
	}
	if s.InternalTrafficPolicy == nil && s.Type != corev1.ServiceTypeExternalName {
		s.InternalTrafficPolicy = new(corev1.ServiceInternalTrafficPolicyCluster)
	}
	for i := range s.Ports {
		p := &s.Ports[i]
		if p.Protocol == "" {
			p.Protocol = corev1.ProtocolTCP
		}
		if p.TargetPort == (intstr.IntOrString{}) {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
	}
}

// keepAddresses copies what is of the one Service. An external name has no addresses, and the API server refuses those that it is left with.
func keepAddresses(next, have *corev1.ServiceSpec) {
	if next.Type == corev1.ServiceTypeExternalName {
		next.ExternalIPs = have.ExternalIPs
		return
	}
	next.ClusterIP, next.ClusterIPs = have.ClusterIP, have.ClusterIPs
	next.IPFamilies, next.IPFamilyPolicy = have.IPFamilies, have.IPFamilyPolicy
	next.HealthCheckNodePort, next.AllocateLoadBalancerNodePorts = have.HealthCheckNodePort, have.AllocateLoadBalancerNodePorts
	next.ExternalIPs, next.ExternalTrafficPolicy = have.ExternalIPs, have.ExternalTrafficPolicy
	next.LoadBalancerIP, next.LoadBalancerClass, next.LoadBalancerSourceRanges = have.LoadBalancerIP, have.LoadBalancerClass, have.LoadBalancerSourceRanges
	for i := range next.Ports {
		p := &next.Ports[i]
		if at := slices.IndexFunc(have.Ports, func(h corev1.ServicePort) bool { return h.Name == p.Name && h.Protocol == p.Protocol }); at >= 0 {
			p.NodePort = have.Ports[at].NodePort
		}
	}
}

// LeadsByName tells whether a Service, or a template of one, leads to a name of the DNS: then it has no endpoints.
func LeadsByName(spec map[string]any) bool {
	return spec["type"] == string(corev1.ServiceTypeExternalName)
}

// LeadsNowhere tells whether the endpoints of a Service are for others to list: it has no selector, and a copy of it would have none.
func LeadsNowhere(service *unstructured.Unstructured) bool {
	spec := object(service.Object, "spec")
	return len(object(spec, "selector")) == 0 && !LeadsByName(spec)
}

// RestoreService makes a Service lead where a snapshot of it says.
func RestoreService(s Snapshot, spec *corev1.ServiceSpec) error {
	if spec.Type == corev1.ServiceTypeExternalName {
		// How it was reached before it was one is all that is left to go by.
		var before struct{ Type corev1.ServiceType }
		if err := json.Unmarshal(s.Workload, &before); err != nil {
			return fmt.Errorf("the snapshot of Service %s: %w", s.Target.Name, err)
		}
		spec.Type = before.Type
	}
	return LeadTo(s.Template, spec)
}

// ServicePorts returns the ports of a Service.
func ServicePorts(service *unstructured.Unstructured) []int32 {
	var out []int32
	for _, p := range objects(object(service.Object, "spec"), "ports") {
		if n, ok := p["port"].(int64); ok {
			out = append(out, int32(n))
		}
	}
	return out
}
