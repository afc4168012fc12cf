package mesh

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// render makes the rules of a VirtualService. Conditions, header changes, retries and CORS have the words of a Canary, which has them from Istio.
func (istio) render(c *v1beta1.Canary, intent core.RouteIntent) ([]map[string]any, error) {
	if overTCP(c) {
		return istioTCP(c, intent)
	}
	base, err := istioMatches(c.Spec.Service.Match)
	if err != nil {
		return nil, err
	}
	limited, err := istioLimited(c.Spec.Analysis.Match, base)
	if err != nil {
		return nil, err
	}
	list, err := parts(intent, len(limited))
	if err != nil {
		return nil, err
	}
	common := istioTraffic(&c.Spec.Service)
	var rules []map[string]any
	for _, p := range list {
		matches := base
		if p.limited {
			matches = limited
		}
		rules = append(rules, istioRule(c, p, common, matches))
	}
	return rules, nil
}

// istioRule makes one rule of what all rules have in common and the requests that it is for.
func istioRule(c *v1beta1.Canary, p part, common map[string]any, matches []map[string]any) map[string]any {
	rule := maps.Clone(common)
	if p.cookie != "" {
		matches = istioWithCookie(matches, p.cookie)
	}
	to := istio{}.share(c, p.intent)
	if p.others {
		to = to[:1]
	}
	if p.takesBack {
		for _, ref := range mapsIn(to) {
			istioSetCookie(ref, revocation(c, p.cookie))
		}
	}
	fields := map[string]any{"match": anys(matches), "route": to}
	if p.intent.Mirror > 0 {
		fields["mirror"] = istioDestination(c, core.SideTarget)
		if p.intent.Mirror < 100 {
			fields["mirrorPercentage"] = map[string]any{"value": int64(p.intent.Mirror)}
		}
	}
	setOrDrop(rule, fields)
	return rule
}

// istioTCP makes the one rule for an application that does not speak HTTP: there is nothing to compare or change in a request.
func istioTCP(c *v1beta1.Canary, intent core.RouteIntent) ([]map[string]any, error) {
	if len(c.Spec.Analysis.Match) > 0 {
		return nil, errors.New("spec.analysis.match: with spec.service.appProtocol tcp there are no requests to compare; remove it")
	}
	if intent.Matched || intent.Mirror > 0 || intent.Cookie != "" || intent.PrimaryCookie != "" {
		return nil, errors.New("spec.analysis: with spec.service.appProtocol tcp there are no conditions, copies and cookies; use stepWeight or iterations alone")
	}
	var matches []any
	for _, m := range c.Spec.Service.Match {
		if m.Port > 0 {
			matches = append(matches, map[string]any{"port": m.Port})
		}
	}
	rule := map[string]any{}
	setOrDrop(rule, map[string]any{"match": matches, "route": istio{}.share(c, intent)})
	return []map[string]any{rule}, nil
}

func istioTraffic(s *v1beta1.CanaryService) map[string]any {
	out := map[string]any{}
	rewrite := map[string]any{}
	if s.Rewrite != nil {
		setOrDrop(rewrite, map[string]any{"uri": s.Rewrite.URI, "authority": s.Rewrite.Authority})
	}
	setOrDrop(out, map[string]any{
		"rewrite": rewrite, "timeout": string(s.Timeout), "retries": asJSON(s.Retries), "corsPolicy": asJSON(s.CorsPolicy), "headers": asJSON(s.Headers),
	})
	return out
}

// share lists the destinations with explicit weights, each with the cookie that it gives.
func (istio) share(c *v1beta1.Canary, intent core.RouteIntent) []any {
	to := func(side core.Side, weight int, cookie string) map[string]any {
		out := map[string]any{"destination": istioDestination(c, side), "weight": int64(weight)}
		if cookie != "" {
			istioSetCookie(out, cookie)
		}
		return out
	}
	if intent.ViaApex {
		return []any{to(core.SideUnknown, 100, "")}
	}
	var given [2]string
	if intent.PrimaryCookie != "" {
		given[0] = primaryCookie(c, intent.PrimaryCookie)
	}
	if intent.Cookie != "" {
		given[1] = canaryCookie(c, intent.Cookie)
	}
	return []any{to(core.SidePrimary, intent.Primary, given[0]), to(core.SideTarget, 100-intent.Primary, given[1])}
}

// istioDestination leads to the Service of a side. Where Services may have several ports, one behind a gateway has to be named.
func istioDestination(c *v1beta1.Canary, side core.Side) map[string]any {
	s := &c.Spec.Service
	out := map[string]any{"host": sideService(c, side)}
	if s.PortDiscovery && (s.Delegation || len(s.Gateways) > 0 && s.Gateways[0] != gatewayMesh) {
		out["port"] = map[string]any{"number": int64(s.Port)}
	}
	return out
}

func istioSetCookie(of map[string]any, value string) {
	of["headers"] = map[string]any{"response": map[string]any{"add": map[string]any{headerSetCookie: value}}}
}

func istioMatches(entries []v1beta1.HTTPMatch) ([]map[string]any, error) {
	var out []map[string]any
	for i := range entries {
		m := lowerHeaders(asJSON(&entries[i]))
		if field := suffixed(m); field != "" {
			return nil, fmt.Errorf("spec.service.match[%d].%s.suffix cannot be matched by a VirtualService; use exact, prefix or regex", i, field)
		}
		out = append(out, m)
	}
	return out, nil
}

// istioLimited narrows the application's requests to those that meet spec.analysis.match: each of these with each of those. Where both have a condition
// on the same header, parameter or label the analysis' counts. Nil without conditions.
func istioLimited(entries []v1beta1.AnalysisMatch, base []map[string]any) ([]map[string]any, error) {
	if len(base) == 0 {
		base = []map[string]any{{}}
	}
	var out []map[string]any
	for i := range entries {
		own := lowerHeaders(asJSON(&entries[i]))
		path := fmt.Sprintf("spec.analysis.match[%d]", i)
		if len(own) == 0 {
			return nil, fmt.Errorf("%s has no condition, so it would match every request; add headers, queryParams or sourceLabels, or remove it", path)
		}
		if field := suffixed(own); field != "" {
			return nil, fmt.Errorf("%s.%s.suffix cannot be matched by a VirtualService; use exact, prefix or regex", path, field)
		}
		for _, b := range base {
			merged := maps.Clone(b)
			for field, conditions := range own {
				merged[field] = conditions
				if theirs, ok := b[field].(map[string]any); ok {
					merged[field] = with(theirs, conditions.(map[string]any))
				}
			}
			out = append(out, merged)
		}
	}
	return out, nil
}

// istioWithCookie narrows matches to requests that bring a cookie. Another condition on that header gives way: there is room for one.
func istioWithCookie(matches []map[string]any, cookie string) []map[string]any {
	if len(matches) == 0 {
		matches = []map[string]any{{}}
	}
	out := make([]map[string]any, 0, len(matches))
	for _, m := range matches {
		theirs, _ := m["headers"].(map[string]any)
		headers := maps.Clone(theirs)
		maps.DeleteFunc(headers, func(name string, _ any) bool { return strings.EqualFold(name, headerCookie) })
		if headers == nil {
			headers = map[string]any{}
		}
		headers[strings.ToLower(headerCookie)] = map[string]any{"regex": cookiePattern(cookie)}
		out = append(out, with(m, map[string]any{"headers": headers}))
	}
	return out
}

// lowerHeaders spells the names of headers as Istio compares them.
func lowerHeaders(match map[string]any) map[string]any {
	headers, ok := match["headers"].(map[string]any)
	if !ok {
		return match
	}
	lower := make(map[string]any, len(headers))
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		lower[strings.ToLower(name)] = headers[name]
	}
	match["headers"] = lower
	return match
}

// suffixed names the first field or header whose condition is a suffix; empty when there is none.
func suffixed(match map[string]any) string {
	for _, field := range slices.Sorted(maps.Keys(match)) {
		conditions, _ := match[field].(map[string]any)
		if text(conditions["suffix"]) != "" {
			return field
		}
		for _, name := range slices.Sorted(maps.Keys(conditions)) {
			if how, ok := conditions[name].(map[string]any); ok && text(how["suffix"]) != "" {
				return field + "[" + name + "]"
			}
		}
	}
	return ""
}
