package mesh

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// This file is the dialect of a VirtualRouter, and of the routes in a VirtualService of v1beta1.

func (appMesh) list(*v1beta1.Canary) []string { return []string{"spec", "routes"} }

// protocols are the fields of a route, one of which it has; that for HTTP comes first.
func (a appMesh) protocols() []string {
	if a.old() {
		return []string{"http", "http2", "grpc", "tcp"}
	}
	return []string{"httpRoute", "http2Route", "grpcRoute", "tcpRoute"}
}

func (a appMesh) words() (string, []string) {
	return a.protocols()[0], append(a.protocols(), "name", "priority")
}

// route returns what a route is by its protocol, and the field that holds it.
func (a appMesh) route(rule map[string]any) (map[string]any, string) {
	for _, field := range a.protocols() {
		if route, ok := rule[field].(map[string]any); ok {
			return route, field
		}
	}
	return nil, a.protocols()[0]
}

// conditions are one match, all of which must hold. Without a path it is for all paths.
func (a appMesh) conditions(rule map[string]any) []any {
	route, _ := a.route(rule)
	match, _ := route["match"].(map[string]any)
	if match["prefix"] == nil && match["path"] == nil {
		match = with(match, map[string]any{"prefix": "/"})
	}
	return []any{match}
}

func (a appMesh) destinations(rule map[string]any) []map[string]any {
	route, _ := a.route(rule)
	targets, _, _ := unstructured.NestedFieldNoCopy(route, "action", "weightedTargets")
	return mapsIn(targets)
}

func (a appMesh) redirect(rule map[string]any, to []any) {
	route, field := a.route(rule)
	rule[field] = with(route, map[string]any{"action": map[string]any{"weightedTargets": to}})
}

// leads takes nodes for the Services that they are named like. In v1beta1 a name may bear its namespace.
func (a appMesh) leads(target map[string]any, namespace string) string {
	if a.old() {
		name, in, found := strings.Cut(text(target["virtualNodeName"]), ".")
		if found && in != namespace {
			return ""
		}
		return name
	}
	ref, _ := target["virtualNodeRef"].(map[string]any)
	if in := text(ref["namespace"]); in != "" && in != namespace {
		return ""
	}
	return text(ref["name"])
}

func (appMesh) weight(target map[string]any, _ int) int64 {
	weight, _ := target["weight"].(int64)
	return weight
}

func (appMesh) acts(map[string]any) bool { return false }

func (appMesh) cookieConditions(map[string]any) []string { return nil }

func (appMesh) cookiesSet(map[string]any) []string { return nil }

// App Mesh copies no requests.
func (appMesh) copies(services, *v1beta1.Canary, map[string]any) int { return 0 }

func (appMesh) stopCopies(services, map[string]any, ...string) {}

// kept has the limit on idle connections, for which a Canary has no words, survive.
func (a appMesh) kept(live, own map[string]any) map[string]any {
	route, field := a.route(live)
	idle, found, _ := unstructured.NestedMap(route, "timeout", "idle")
	if _, same := own[field]; !found || !same {
		return own
	}
	out := runtime.DeepCopyJSON(own)
	if err := unstructured.SetNestedMap(out, idle, field, "timeout", "idle"); err != nil {
		return own
	}
	return out
}
