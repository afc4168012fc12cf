package mesh

import (
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// This file makes VirtualNodes, and what of listeners and gateways goes with them.

// annotationAccessLog of a Canary has the nodes log each request.
const (
	annotationAccessLog = "appmesh.flagger.app/accesslog"
	accessLogEnabled    = "enabled"
	// gatewayPrefix is that of the annotations by which a gateway exposes a VirtualService.
	gatewayPrefix = "gateway.appmesh.k8s.aws/"
)

// renderNode sets what of a node is the Canary's. An apex node that somebody else made is theirs altogether.
func (a appMesh) renderNode(c *v1beta1.Canary, o Object, existing *unstructured.Unstructured, spec map[string]any, pods core.PodLabel) error {
	apex, primary, canary := c.ServiceNames()
	if o.Name == apex && existing != nil && !slices.ContainsFunc(existing.GetOwnerReferences(), isCanary) {
		return nil
	}
	listener := appMeshListener(spec, a.port(c))
	if a.old() {
		spec["meshName"] = c.Spec.Service.MeshName
		spec["serviceDiscovery"] = map[string]any{"dns": map[string]any{"hostName": o.Name + "." + c.Namespace}}
	} else {
		if err := a.listenerTimeout(c, listener); err != nil {
			return err
		}
		spec["serviceDiscovery"] = map[string]any{"dns": map[string]any{"hostname": o.Name + "." + c.Namespace + ".svc.cluster.local."}}
		switch selected := map[string]string{apex: pods.Target, primary: pods.Primary}[o.Name]; {
		case o.Name == canary:
			// A pod that two nodes select gets no sidecar.
			delete(spec, "podSelector")
		case pods.Key != "":
			spec["podSelector"] = map[string]any{"matchLabels": map[string]any{pods.Key: selected}}
		}
	}
	if len(c.Spec.Service.Backends) > 0 {
		spec["backends"] = a.backends(c.Spec.Service.Backends, mapsIn(spec["backends"]))
	}
	if c.Annotations[annotationAccessLog] == accessLogEnabled {
		return unstructured.SetNestedField(spec, "/dev/stdout", "logging", "accessLog", "file", "path")
	}
	return nil
}

// listenerTimeout bounds a request in the sidecar of the application as the route does in that of its clients.
func (a appMesh) listenerTimeout(c *v1beta1.Canary, listener map[string]any) error {
	limit, err := appMeshTimeout(c)
	if err != nil {
		return err
	}
	// The protocol is set with the port.
	protocol, _, _ := unstructured.NestedString(listener, "portMapping", "protocol")
	if limit == nil {
		unstructured.RemoveNestedField(listener, "timeout", protocol, "perRequest")
		return nil
	}
	return unstructured.SetNestedMap(listener, limit, "timeout", protocol, "perRequest")
}

// backends lists the VirtualServices that the application calls, with what others put beside their names.
func (a appMesh) backends(names []string, live []map[string]any) []any {
	out := make([]any, 0, len(names))
	for _, name := range names {
		service := map[string]any{"virtualServiceRef": map[string]any{"name": name}}
		switch {
		case a.old():
			service = map[string]any{"virtualServiceName": name}
		case strings.HasPrefix(name, "arn:aws"):
			service = map[string]any{"virtualServiceARN": name}
		}
		for _, entry := range live {
			before, _ := entry["virtualService"].(map[string]any)
			if merged := with(before, service); before != nil && equality.Semantic.DeepEqual(merged, before) {
				service = before
			}
		}
		out = append(out, map[string]any{"virtualService": service})
	}
	return out
}

// appMeshPort is where an application listens, and how it speaks.
type appMeshPort struct {
	number   int64
	protocol string
}

// port is that of the containers, where the Canary gives its number; v1beta1 knows the port of the Services only.
func (a appMesh) port(c *v1beta1.Canary) appMeshPort {
	s := &c.Spec.Service
	out := appMeshPort{number: int64(s.Port), protocol: "http"}
	if at := s.ContainerPort(); !a.old() && at.Type == intstr.Int && at.IntVal > 0 {
		out.number = int64(at.IntVal)
	}
	if strings.Contains(s.PortName, "grpc") {
		out.protocol = "grpc"
	}
	return out
}

// appMeshListener sets the port of the first listener and returns it. What others set of it, and other listeners, stay.
func appMeshListener(spec map[string]any, port appMeshPort) map[string]any {
	listeners := listOf(spec["listeners"])
	var first map[string]any
	if len(listeners) > 0 {
		first, _ = listeners[0].(map[string]any)
		listeners = listeners[1:]
	}
	first = with(first, map[string]any{"portMapping": map[string]any{"port": port.number, "protocol": port.protocol}})
	spec["listeners"] = append([]any{first}, listeners...)
	return first
}

// appMeshGateway has a gateway expose the VirtualService of the apex Service under the Canary's hosts.
func appMeshGateway(c *v1beta1.Canary, u *unstructured.Unstructured) {
	apex, _, _ := c.ServiceNames()
	s, by := &c.Spec.Service, map[string]string{}
	if name := u.GetName(); len(s.Hosts) > 0 && (name == apex || name == apex+"."+c.Namespace) {
		by[gatewayPrefix+"expose"], by[gatewayPrefix+"domain"] = "true", strings.Join(s.Hosts, ",")+","
		if s.Timeout != "" {
			by[gatewayPrefix+"timeout"] = string(s.Timeout)
		}
		if r := s.Retries; r != nil && r.Attempts > 0 {
			by[gatewayPrefix+"retries"] = strconv.Itoa(int(r.Attempts))
		}
	}
	annotate(u, gatewayPrefix, by)
}
