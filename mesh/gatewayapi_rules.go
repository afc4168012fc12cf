package mesh

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-dev/sluice/api/v1beta1"
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

// mergeRules puts the Canary's own rules where the first of them was, or at the end. Rules of others keep their place; further rules to the primary or
// the canary Service, such as another controller left, go. The last of own is the one that is always there.
func mergeRules(live []any, own []map[string]any, s services) []any {
	replaced := func(rule map[string]any) bool { return s.owned(rule) || s.gives(rule, own[len(own)-1]) }
	merged := mergeOwn(s.keeper(live, replaced), own)
	var out []any
	placed := false
	for _, entry := range live {
		rule, ok := entry.(map[string]any)
		switch {
		case !ok || !replaced(rule):
			out = append(out, entry)
		case !placed:
			out = append(out, merged...)
			placed = true
		}
	}
	if !placed {
		out = append(out, merged...)
	}
	return out
}

// keeper finds the live rule whose further fields and filters are to survive: the one that bears a name, else the first that knows of no cookie.
func (s services) keeper(live []any, replaced func(map[string]any) bool) map[string]any {
	var first map[string]any
	for _, entry := range live {
		rule, ok := entry.(map[string]any)
		if !ok || !replaced(rule) || cookieOf(rule) != "" {
			continue
		}
		if text(rule["name"]) != "" && s.owned(rule) {
			return rule
		}
		if first == nil {
			first = rule
		}
	}
	return first
}

// mergeOwn returns own rules with what a Canary has no words for taken over from a live rule. A name is kept once.
func mergeOwn(live map[string]any, own []map[string]any) []any {
	out := make([]any, 0, len(own))
	for i, rule := range own {
		merged := mergeRule(live, rule)
		if i < len(own)-1 {
			delete(merged, "name")
		}
		out = append(out, merged)
	}
	return out
}

// mergeRule returns own with what a Canary has no words for taken over from the live rule: further fields, and filters that protect the
// application. Those stay in front, where they saw each request before.
func mergeRule(live, own map[string]any) map[string]any {
	out := runtime.DeepCopyJSON(live)
	if out == nil {
		out = map[string]any{}
	}
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

// mirrorsTo tells whether a filter copies requests to one of the named Services.
func (s services) mirrorsTo(filter any, names ...string) bool {
	f, _ := filter.(map[string]any)
	ref, found, err := unstructured.NestedMap(f, "requestMirror", "backendRef")
	return found && err == nil && slices.Contains(names, s.side(ref)) && s.side(ref) != ""
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

// shadowed names the first rule that takes requests away from the Canary's: it stands before them, leads elsewhere, and has a match in common.
func (s services) shadowed(rules []map[string]any) string {
	first := slices.IndexFunc(rules, s.owned)
	if first < 0 {
		return ""
	}
	for i, rule := range rules[:first] {
		for _, match := range listOf(rule["matches"]) {
			same := func(m any) bool { return equality.Semantic.DeepEqual(m, match) }
			for _, own := range rules[first:] {
				if s.owned(own) && slices.ContainsFunc(listOf(own["matches"]), same) {
					return fmt.Sprintf("rule %d", i)
				}
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
