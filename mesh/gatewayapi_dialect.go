package mesh

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// This file is the dialect of an HTTPRoute.

func (gatewayAPI) list(*v1beta1.Canary) []string { return []string{"spec", "rules"} }

func (gatewayAPI) words() (string, []string) {
	return "matches", []string{"matches", "filters", "backendRefs", "timeouts"}
}

func (gatewayAPI) destinations(rule map[string]any) []map[string]any {
	return mapsIn(rule["backendRefs"])
}

func (gatewayAPI) redirect(rule map[string]any, to []any) { rule["backendRefs"] = to }

func (gatewayAPI) leads(ref map[string]any, namespace string) string {
	group, kind, in := text(ref["group"]), text(ref["kind"]), text(ref["namespace"])
	if group != "" && group != "core" || kind != "" && kind != "Service" || in != "" && in != namespace {
		return ""
	}
	return text(ref["name"])
}

// weight is 1 where none is said: the default of Gateway API.
func (gatewayAPI) weight(ref map[string]any, _ int) int64 {
	if weight, ok := ref["weight"].(int64); ok {
		return weight
	}
	return 1
}

func (gatewayAPI) acts(rule map[string]any) bool { return len(mapsIn(rule["filters"])) > 0 }

func (gatewayAPI) cookieConditions(match map[string]any) []string {
	var out []string
	for _, h := range mapsIn(match["headers"]) {
		if strings.EqualFold(text(h["name"]), headerCookie) {
			out = append(out, text(h["value"]))
		}
	}
	return out
}

func (gatewayAPI) cookiesSet(of map[string]any) []string {
	var out []string
	for _, f := range mapsIn(of["filters"]) {
		modifier, _ := f["responseHeaderModifier"].(map[string]any)
		for _, h := range mapsIn(modifier["add"]) {
			if strings.EqualFold(text(h["name"]), headerSetCookie) {
				out = append(out, text(h["value"]))
			}
		}
	}
	return out
}

func (gatewayAPI) render(c *v1beta1.Canary, intent core.RouteIntent) ([]map[string]any, error) {
	spec, err := routeSpec(c, intent)
	return mapsIn(spec["rules"]), err
}

func (gatewayAPI) share(c *v1beta1.Canary, intent core.RouteIntent) []any {
	return asMaps(backendRefs(c, intent))
}

// kept has filters that protect the application stay in front, where they saw each request before.
func (gatewayAPI) kept(live, own map[string]any) map[string]any {
	var filters []any
	for _, f := range mapsIn(live["filters"]) {
		if t := text(f["type"]); t == "ExtensionRef" || t == "ExternalAuth" {
			filters = append(filters, f)
		}
	}
	if len(filters) == 0 {
		return own
	}
	out := maps.Clone(own)
	out["filters"] = append(filters, listOf(own["filters"])...)
	return out
}

// copies leaves out what the Canary has copied at all times.
func (gatewayAPI) copies(s services, c *v1beta1.Canary, rule map[string]any) int {
	always := 0
	for _, m := range c.Spec.Service.Mirror {
		if raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&m); err == nil && mirrorsTo(s, map[string]any{"requestMirror": raw}, s.canary) {
			always++
		}
	}
	for _, f := range mapsIn(rule["filters"]) {
		if !mirrorsTo(s, f, s.canary) {
			continue
		}
		if always--; always < 0 {
			return mirroredShare(f)
		}
	}
	return 0
}

// mirroredShare returns the share that a RequestMirror filter copies, in per cent.
func mirroredShare(filter map[string]any) int {
	mirror, _ := filter["requestMirror"].(map[string]any)
	if percent, ok := mirror["percent"].(int64); ok {
		return int(percent)
	}
	fraction, ok := mirror["fraction"].(map[string]any)
	if !ok {
		return 100
	}
	numerator, _ := fraction["numerator"].(int64)
	denominator, ok := fraction["denominator"].(int64)
	if !ok || denominator <= 0 {
		denominator = 100 // The default of Gateway API.
	}
	return share(numerator, denominator)
}

// mirrorsTo tells whether a filter copies requests to one of the named Services.
func mirrorsTo(s services, filter any, names ...string) bool {
	f, _ := filter.(map[string]any)
	ref, found, err := unstructured.NestedMap(f, "requestMirror", "backendRef")
	return found && err == nil && slices.Contains(names, s.side(ref)) && s.side(ref) != ""
}

func (gatewayAPI) stopCopies(s services, rule map[string]any, to ...string) {
	filters := slices.DeleteFunc(listOf(rule["filters"]), func(f any) bool { return mirrorsTo(s, f, to...) })
	if len(filters) > 0 {
		rule["filters"] = filters
	} else {
		delete(rule, "filters")
	}
}
