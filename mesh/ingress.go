package mesh

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// This file holds what providers have in common that keep an Ingress beside one of the user's.

var ingressKind = schema.GroupVersionKind{Group: "networking.k8s.io", Version: "v1", Kind: "Ingress"}

const (
	fieldIngressRef = "spec.ingressRef"
	// annotationClass names the class of an Ingress in the old way, which is still read where spec.ingressClassName is absent.
	annotationClass = "kubernetes.io/ingress.class"
)

// ingressSource is the user's Ingress, ingressObjects the one beside it.
func ingressSource(c *v1beta1.Canary) (Object, string) {
	if c.Spec.IngressRef == nil {
		return Object{}, ""
	}
	return Object{Kind: ingressKind, Name: c.Spec.IngressRef.Name}, c.Namespace
}

func ingressObjects(c *v1beta1.Canary) []Object {
	if c.Spec.IngressRef == nil {
		return nil
	}
	return []Object{{Kind: ingressKind, Name: c.Spec.IngressRef.Name + "-canary", Goes: true}}
}

// toApex narrows the spec of an Ingress to what leads to the apex Service: its class, these paths, and the default backend where it is that.
func toApex(c *v1beta1.Canary, spec map[string]any) (map[string]any, error) {
	apex, _, _ := c.ServiceNames()
	out := map[string]any{}
	var rules []any
	for _, rule := range mapsIn(spec["rules"]) {
		http, _ := rule["http"].(map[string]any)
		paths := slices.DeleteFunc(mapsIn(http["paths"]), func(path map[string]any) bool { return ingressService(path["backend"]) != apex })
		if len(paths) > 0 {
			http["paths"] = anys(paths)
			rules = append(rules, rule)
		}
	}
	setOrDrop(out, map[string]any{"ingressClassName": spec["ingressClassName"], "rules": rules})
	if ingressService(spec["defaultBackend"]) == apex {
		out["defaultBackend"] = spec["defaultBackend"]
	}
	if out["rules"] == nil && out["defaultBackend"] == nil {
		return nil, fmt.Errorf("%s: Ingress %s has no path to Service %s; add one, or name another Ingress", fieldIngressRef, c.Spec.IngressRef.Name, apex)
	}
	return out, nil
}

// ingressPaths lists the paths of the spec of an Ingress, and its default backend as if it were one. They may be changed in place.
func ingressPaths(spec map[string]any) []map[string]any {
	var out []map[string]any
	for _, rule := range mapsIn(spec["rules"]) {
		http, _ := rule["http"].(map[string]any)
		out = append(out, mapsIn(http["paths"])...)
	}
	if backend, ok := spec["defaultBackend"].(map[string]any); ok {
		out = append(out, map[string]any{"backend": backend})
	}
	return out
}

// ingressService names the Service of a backend; empty for any other.
func ingressService(backend any) string {
	of, _ := backend.(map[string]any)
	service, _ := of["service"].(map[string]any)
	return text(service["name"])
}

// redirectPaths has all paths to one of the Services from lead to another.
func redirectPaths(spec map[string]any, to string, from ...string) {
	for _, path := range ingressPaths(spec) {
		if slices.Contains(from, ingressService(path["backend"])) {
			path["backend"].(map[string]any)["service"].(map[string]any)["name"] = to
		}
	}
}

// pathsLeadTo tells whether a path of an Ingress leads to one of the Services.
func pathsLeadTo(ingress *unstructured.Unstructured, names ...string) bool {
	spec, _ := ingress.Object["spec"].(map[string]any)
	return slices.ContainsFunc(ingressPaths(spec), func(path map[string]any) bool { return slices.Contains(names, ingressService(path["backend"])) })
}

// ingressOthers refuses to take over an Ingress that is none of a canary's: its paths would be lost.
func ingressOthers(c *v1beta1.Canary, existing *unstructured.Unstructured, mark string) error {
	_, primary, canary := c.ServiceNames()
	if existing == nil || claimed(existing, c) || existing.GetAnnotations()[mark] != "" || pathsLeadTo(existing, primary, canary) {
		return nil
	}
	return fmt.Errorf("%s: Ingress %s, which would hold the weights, exists and has no annotation %s; rename or delete it",
		fieldIngressRef, existing.GetName(), mark)
}
