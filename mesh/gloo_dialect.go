package mesh

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// This file is the dialect of a RouteTable, and its rules. Of its matchers one is enough; the path is the one of the route that delegates to it.

func (gloo) list(*v1beta1.Canary) []string { return []string{"spec", "routes"} }

func (gloo) words() (string, []string) {
	return "matchers", []string{"matchers", "inheritablePathMatchers", "routeAction"}
}

// together names the path of what is for all paths. It is the one of the route that delegates, whether or not the route says so.
func (gloo) together(matchers []any) []any {
	if len(matchers) == 0 {
		matchers = []any{map[string]any{}}
	}
	out := make([]any, 0, len(matchers))
	for _, m := range mapsIn(matchers) {
		if m["exact"] == nil && m["regex"] == nil && m["prefix"] == nil && m["connectMatcher"] == nil {
			m = with(m, map[string]any{"prefix": "/"})
		}
		out = append(out, m)
	}
	return out
}

// destinations are those of several, or the single one, which has all.
func (gloo) destinations(rule map[string]any) []map[string]any {
	if single, ok, _ := unstructured.NestedMap(rule, "routeAction", "single"); ok {
		return []map[string]any{{"destination": single, "weight": int64(100)}}
	}
	several, _, _ := unstructured.NestedFieldNoCopy(rule, "routeAction", "multi", "destinations")
	return mapsIn(several)
}

func (gloo) redirect(rule map[string]any, to []any) {
	rule["routeAction"] = map[string]any{"multi": map[string]any{"destinations": to}}
}

// upstreamNames are the Upstreams of Services: those of a Canary's sides, and those that Gloo's discovery makes.
var (
	sideUpstream       = regexp.MustCompile(`^(.+-(?:primary|canary))upstream-[0-9]+$`)
	discoveredUpstream = regexp.MustCompile(`^(.+)-[0-9]+$`)
)

func (gloo) leads(ref map[string]any, namespace string) string {
	name, _, _ := unstructured.NestedString(ref, "destination", "kube", "ref", "name")
	in, _, _ := unstructured.NestedString(ref, "destination", "kube", "ref", "namespace")
	if name != "" && (in == namespace || in == "") {
		return name
	}
	name, _, _ = unstructured.NestedString(ref, "destination", "upstream", "name")
	in, _, _ = unstructured.NestedString(ref, "destination", "upstream", "namespace")
	if len(name) <= len(namespace)+1 || name[:len(namespace)+1] != namespace+"-" {
		return ""
	}
	name = name[len(namespace)+1:]
	if parts := sideUpstream.FindStringSubmatch(name); parts != nil && (in == namespace || in == "") {
		return parts[1]
	}
	if parts := discoveredUpstream.FindStringSubmatch(name); parts != nil {
		return parts[1]
	}
	return ""
}

func (gloo) weight(ref map[string]any, _ int) int64 {
	weight, _ := ref["weight"].(int64)
	return weight
}

func (gloo) acts(rule map[string]any) bool {
	return slices.ContainsFunc([]string{"routeAction", "redirectAction", "directResponseAction", "delegateAction", "graphqlApiRef"},
		func(field string) bool { return rule[field] != nil })
}

func (gloo) cookieConditions(map[string]any) []string { return nil }

func (gloo) cookiesSet(map[string]any) []string { return nil }

// copies are never made for an analysis.
func (gloo) copies(services, *v1beta1.Canary, map[string]any) int { return 0 }

// stopCopies takes out the shadowing that somebody has a route do to an Upstream of the Canary's.
func (gloo) stopCopies(s services, rule map[string]any, to ...string) {
	upstream, ok, _ := unstructured.NestedMap(rule, "options", "shadowing", "upstream")
	if !ok {
		return
	}
	side := s.side(map[string]any{"destination": map[string]any{"upstream": upstream}})
	if side != "" && slices.Contains(to, side) {
		unstructured.RemoveNestedField(rule, "options", "shadowing")
	}
}

func (gloo) kept(_, own map[string]any) map[string]any { return own }

// render makes the routes of a RouteTable: who meets a matcher of the analysis first, then everybody else.
func (g gloo) render(c *v1beta1.Canary, intent core.RouteIntent) ([]map[string]any, error) {
	limits, err := glooMatchers(c.Spec.Analysis.Match)
	if err != nil {
		return nil, err
	}
	if err := noCopiesOrCookies(intent); err != nil {
		return nil, err
	}
	intent.Revoked = ""
	list, err := parts(intent, len(limits))
	if err != nil {
		return nil, err
	}
	var rules []map[string]any
	for _, p := range list {
		rule, to := map[string]any{"inheritablePathMatchers": true}, g.share(c, p.intent)
		if p.limited {
			rule["matchers"] = limits
		}
		if p.others {
			to = to[:1]
		}
		g.redirect(rule, to)
		rules = append(rules, rule)
	}
	return rules, nil
}

// glooMatchers has a matcher for each entry of the analysis, with its headers in the order of their names.
func glooMatchers(entries []v1beta1.AnalysisMatch) ([]any, error) {
	var out []any
	for i, m := range entries {
		path := fmt.Sprintf("spec.analysis.match[%d]", i)
		if len(m.Headers) == 0 || len(m.QueryParams)+len(m.SourceLabels) > 0 {
			return nil, errors.New(path + ": this provider compares headers only; use headers and nothing else")
		}
		var headers []any
		for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
			switch how := m.Headers[name]; {
			case how.Exact != "":
				headers = append(headers, map[string]any{"name": name, "value": how.Exact})
			case how.Regex != "":
				headers = append(headers, map[string]any{"name": name, "value": how.Regex, "regex": true})
			default:
				return nil, fmt.Errorf("%s.headers[%s] has no condition that this provider can express; set exact or regex", path, name)
			}
		}
		out = append(out, map[string]any{"headers": headers})
	}
	return out, nil
}

// share lists the Upstreams with explicit weights. The apex Service has none of the Canary's and is named itself.
func (gloo) share(c *v1beta1.Canary, intent core.RouteIntent) []any {
	if intent.ViaApex {
		ref := map[string]any{"name": sideService(c, core.SideUnknown), "namespace": c.Namespace}
		kube := map[string]any{"ref": ref, "port": int64(c.Spec.Service.Port)}
		return []any{map[string]any{"destination": map[string]any{"kube": kube}, "weight": int64(100)}}
	}
	to := func(side core.Side, weight int) map[string]any {
		upstream := map[string]any{"name": glooUpstreamName(c, side), "namespace": c.Namespace}
		return map[string]any{"destination": map[string]any{"upstream": upstream}, "weight": int64(weight)}
	}
	return []any{to(core.SidePrimary, intent.Primary), to(core.SideTarget, 100-intent.Primary)}
}
