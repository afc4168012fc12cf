package mesh

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// The rules of an HTTPRoute are one atomic list in which several may have a say, so they are handled as plain JSON: what this version of the types
// does not know must survive.

// services names the three Services of a Canary.
type services struct {
	namespace, apex, primary, canary string
}

func servicesOf(c *v1beta1.Canary) services {
	apex, primary, canary := c.ServiceNames()
	return services{namespace: c.Namespace, apex: apex, primary: primary, canary: canary}
}

// side tells which of the three a backend reference leads to; empty for anything else.
func (s services) side(ref map[string]any) string {
	group, kind, namespace := text(ref["group"]), text(ref["kind"]), text(ref["namespace"])
	if group != "" && group != "core" || kind != "" && kind != "Service" || namespace != "" && namespace != s.namespace {
		return ""
	}
	if name := text(ref["name"]); name == s.apex || name == s.primary || name == s.canary {
		return name
	}
	return ""
}

// count returns how many backends of a rule lead to one of names.
func (s services) count(rule map[string]any, names ...string) int {
	n := 0
	for _, ref := range mapsIn(rule["backendRefs"]) {
		if side := s.side(ref); side != "" && slices.Contains(names, side) {
			n++
		}
	}
	return n
}

// owned tells whether a rule is the Canary's: it leads to the primary or the canary Service.
func (s services) owned(rule map[string]any) bool { return s.count(rule, s.primary, s.canary) > 0 }

// referredBy tells whether a rule leads to any of the three Services.
func (s services) referredBy(rule map[string]any) bool {
	return s.count(rule, s.apex, s.primary, s.canary) > 0
}

// gives tells whether a rule that is not the Canary's makes way for own: both match the same requests, and the rule sends them to the apex Service
// alone, or nowhere. Left in place it would win, being first.
func (s services) gives(rule, own map[string]any) bool {
	if !equality.Semantic.DeepEqual(rule["matches"], own["matches"]) {
		return false
	}
	backends := len(mapsIn(rule["backendRefs"]))
	if backends == 0 {
		return len(mapsIn(rule["filters"])) == 0
	}
	return s.count(rule, s.apex) == backends
}

// mergeRules puts own where the Canary's rule was, or at the end. Rules of others keep their place; further rules to the primary or the canary
// Service, such as another controller left, go.
func mergeRules(live []any, own map[string]any, s services) []any {
	var out []any
	placed := false
	for _, entry := range live {
		rule, ok := entry.(map[string]any)
		switch {
		case !ok || !s.owned(rule) && !s.gives(rule, own):
			out = append(out, entry)
		case !placed:
			out = append(out, mergeRule(rule, own))
			placed = true
		}
	}
	if !placed {
		out = append(out, own)
	}
	return out
}

// mergeRule returns own with what a Canary has no words for taken over from the live rule: further fields, and filters that protect the
// application. Those stay in front, where they saw each request before.
func mergeRule(live, own map[string]any) map[string]any {
	out := runtime.DeepCopyJSON(live)
	var filters []any
	for _, f := range mapsIn(out["filters"]) {
		if t := text(f["type"]); t == "ExtensionRef" || t == "ExternalAuth" {
			filters = append(filters, f)
		}
	}
	for _, field := range []string{"matches", "filters", "backendRefs", "timeouts"} {
		delete(out, field)
		if v, ok := own[field]; ok {
			out[field] = v
		}
	}
	if filters = append(filters, listOf(own["filters"])...); len(filters) > 0 {
		out["filters"] = filters
	}
	return out
}

// Divert changes the backends of the Canary's rules. On the way out none of them may go on mirroring to a Service that goes away.
func (gatewayAPI) Divert(c *v1beta1.Canary, existing *unstructured.Unstructured, intent core.RouteIntent) *unstructured.Unstructured {
	out := existing.DeepCopy()
	s := servicesOf(c)
	rules, _, _ := unstructured.NestedFieldNoCopy(out.Object, "spec", "rules")
	for _, rule := range mapsIn(rules) {
		if !s.owned(rule) {
			continue
		}
		to := backendRefs(c, intent)
		refs := make([]any, 0, len(to))
		for _, ref := range to {
			refs = append(refs, map[string]any{
				"group": "", "kind": "Service", "name": string(ref.Name), "port": int64(*ref.Port), "weight": int64(*ref.Weight),
			})
		}
		rule["backendRefs"] = refs
		if !intent.ViaApex {
			continue
		}
		if filters := slices.DeleteFunc(listOf(rule["filters"]), s.mirrors); len(filters) > 0 {
			rule["filters"] = filters
		} else {
			delete(rule, "filters")
		}
	}
	return out
}

// mirrors tells whether a filter copies requests to the primary or the canary Service.
func (s services) mirrors(filter any) bool {
	f, _ := filter.(map[string]any)
	ref, found, err := unstructured.NestedMap(f, "requestMirror", "backendRef")
	if !found || err != nil {
		return false
	}
	side := s.side(ref)
	return side == s.primary || side == s.canary
}

// split returns the shares of primary and canary in a rule, in per cent of all its weights. A share that is not exactly nothing or everything is
// never rounded to it. What leads to the apex Service reaches the primary.
func (s services) split(rule map[string]any) (primary, canary int) {
	var p, c, total int64
	for _, ref := range mapsIn(rule["backendRefs"]) {
		weight, ok := ref["weight"].(int64)
		if !ok {
			weight = 1 // The default of Gateway API.
		}
		total += weight
		switch s.side(ref) {
		case s.canary:
			c += weight
		case s.primary, s.apex:
			p += weight
		}
	}
	canary = share(c, total)
	if p+c == total && total > 0 {
		return 100 - canary, canary
	}
	return share(p, total), canary
}

// share returns part of total in per cent.
func share(part, total int64) int {
	switch part {
	case 0:
		return 0
	case total:
		return 100
	}
	return int(min(max((100*part+total/2)/total, 1), 99))
}

// shadowed names the first rule that takes requests away from the Canary's rule: it stands before it, leads elsewhere, and has a match in common.
func (s services) shadowed(rules []map[string]any) string {
	own := slices.IndexFunc(rules, s.owned)
	if own < 0 {
		return ""
	}
	for i, rule := range rules[:own] {
		for _, match := range listOf(rule["matches"]) {
			same := func(m any) bool { return equality.Semantic.DeepEqual(m, match) }
			if slices.ContainsFunc(listOf(rules[own]["matches"]), same) {
				return fmt.Sprintf("rule %d", i)
			}
		}
	}
	return ""
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func listOf(v any) []any {
	l, _ := v.([]any)
	return l
}

// mapsIn returns the objects of a list.
func mapsIn(v any) []map[string]any {
	var out []map[string]any
	for _, e := range listOf(v) {
		if m, ok := e.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}
