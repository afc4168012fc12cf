package mesh

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// The rules of a route are one atomic list in which several may have a say, so they are handled as plain JSON: what this version of the types
// does not know must survive.

// dialect is how one kind of object writes down rules. What the rules mean, and which of them are the Canary's, is the same for all kinds.
type dialect interface {
	// list is the path of the list of rules.
	list(c *v1beta1.Canary) []string
	// words names the fields of a rule: its conditions, and all that are the Canary's business. Other fields survive.
	words() (matches string, own []string)
	// destinations returns where a rule sends requests; redirect has it send them elsewhere.
	destinations(rule map[string]any) []map[string]any
	redirect(rule map[string]any, to []any)
	// leads names the Service in a namespace to which a destination leads; empty when it is none there.
	leads(destination map[string]any, namespace string) string
	// weight is the share of one of n destinations, in parts of all weights of the rule.
	weight(destination map[string]any, n int) int64
	// acts tells whether a rule does anything without a destination.
	acts(rule map[string]any) bool
	// cookieConditions lists what a match compares the Cookie header with; cookiesSet the Set-Cookie headers that a rule or destination adds.
	cookieConditions(match map[string]any) []string
	cookiesSet(of map[string]any) []string
	// copies returns the share of requests that the analysis has copied to the canary, in per cent; stopCopies takes copies to the named
	// Services out of a rule.
	copies(s services, c *v1beta1.Canary, rule map[string]any) int
	stopCopies(s services, rule map[string]any, to ...string)
	// render returns the Canary's rules for an intent, the one that is always there last; share the destinations of who is shared out.
	render(c *v1beta1.Canary, intent core.RouteIntent) ([]map[string]any, error)
	share(c *v1beta1.Canary, intent core.RouteIntent) []any
	// kept returns the own fields of a rule with what of them survives in the live rule, such as filters that no Canary has words for.
	kept(live, own map[string]any) map[string]any
}

// conjunctive is a dialect whose matches are not just what the rule lists, such as one in which all conditions must hold; in others any one is enough.
type conjunctive interface {
	// together makes the matches of all conditions of a rule: the same for rules that mean the same.
	together(conditions []any) []any
}

// nested is a dialect whose conditions are not a list in a field of the rule.
type nested interface {
	// conditions returns the matches of a rule: the same for rules that mean the same.
	conditions(rule map[string]any) []any
}

// services names the three Services of a Canary, and the dialect in which routes lead to them.
type services struct {
	namespace, apex, primary, canary string
	in                               dialect
}

func servicesOf(c *v1beta1.Canary, in dialect) services {
	apex, primary, canary := c.ServiceNames()
	return services{namespace: c.Namespace, apex: apex, primary: primary, canary: canary, in: in}
}

// side tells which of the three a destination leads to; empty for anything else.
func (s services) side(ref map[string]any) string {
	if name := s.in.leads(ref, s.namespace); name == s.apex || name == s.primary || name == s.canary {
		return name
	}
	return ""
}

// matches returns the conditions of a rule.
func (s services) matches(rule map[string]any) []any {
	if in, ok := s.in.(nested); ok {
		return in.conditions(rule)
	}
	field, _ := s.in.words()
	if in, ok := s.in.(conjunctive); ok {
		return in.together(listOf(rule[field]))
	}
	return listOf(rule[field])
}

// count returns how many backends of a rule lead to one of names.
func (s services) count(rule map[string]any, names ...string) int {
	n := 0
	for _, ref := range s.in.destinations(rule) {
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
	if !equality.Semantic.DeepEqual(s.matches(rule), s.matches(own)) {
		return false
	}
	backends := len(s.in.destinations(rule))
	if backends == 0 {
		return !s.in.acts(rule)
	}
	return s.count(rule, s.apex) == backends
}

// mergeRules puts the Canary's own rules where the first of them was, or at the end. Rules of others keep their place; further rules to the primary or
// the canary Service, such as another controller left, go. The last of own is the one that is always there.
func mergeRules(live []any, own []map[string]any, s services) []any {
	replaced := func(rule map[string]any) bool { return s.owned(rule) || s.gives(rule, own[len(own)-1]) }
	merged := s.mergeOwn(s.keeper(live, replaced), own)
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
		if !ok || !replaced(rule) || s.cookieOf(rule) != "" {
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

// mergeOwn returns own rules with what a Canary has no words for taken over from a live rule. A name that was there is kept once.
func (s services) mergeOwn(live map[string]any, own []map[string]any) []any {
	out := make([]any, 0, len(own))
	for i, rule := range own {
		merged := s.mergeRule(live, rule)
		if i < len(own)-1 && rule["name"] == nil {
			delete(merged, "name")
		}
		out = append(out, merged)
	}
	return out
}

// mergeRule returns own with what a Canary has no words for taken over from the live rule.
func (s services) mergeRule(live, own map[string]any) map[string]any {
	out := runtime.DeepCopyJSON(live)
	if out == nil {
		out = map[string]any{}
	}
	kept := s.in.kept(out, own)
	_, fields := s.in.words()
	for _, field := range fields {
		delete(out, field)
		if v, ok := kept[field]; ok {
			out[field] = v
		}
	}
	return out
}

// split returns the shares of primary and canary in a rule, in per cent of all its weights. A share that is not exactly nothing or everything is
// never rounded to it. What leads to the apex Service reaches the primary.
func (s services) split(rule map[string]any) (primary, canary int) {
	var p, c, total int64
	refs := s.in.destinations(rule)
	for _, ref := range refs {
		weight := s.in.weight(ref, len(refs))
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
		if len(s.matches(rule)) == 0 {
			return fmt.Sprintf("rule %d", i)
		}
		for _, match := range s.matches(rule) {
			same := func(m any) bool { return equality.Semantic.DeepEqual(m, match) }
			for _, own := range rules[first:] {
				if s.owned(own) && slices.ContainsFunc(s.matches(own), same) {
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
