package mesh

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// priorityLimited is that of the route with conditions. The other has none, so that it gives way to whatever is more specific.
const priorityLimited = 10

// render makes the routes: who meets the conditions of the analysis first, then everybody else.
func (a appMesh) render(c *v1beta1.Canary, intent core.RouteIntent) ([]map[string]any, error) {
	limits, err := appMeshHeaders(c.Spec.Analysis.Match)
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
	apex, _, _ := c.ServiceNames()
	var rules []map[string]any
	for _, p := range list {
		name, headers := apex, []any(nil)
		if p.limited {
			name, headers = apex+"-a", limits
		}
		rule, err := a.rule(c, p.intent, headers)
		if err != nil {
			return nil, err
		}
		if rule["name"] = name; p.limited {
			rule["priority"] = int64(priorityLimited)
		}
		if p.others {
			a.redirect(rule, a.share(c, p.intent)[:1])
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

// rule is a route without a name.
func (a appMesh) rule(c *v1beta1.Canary, intent core.RouteIntent, headers []any) (map[string]any, error) {
	match, err := pathPrefix(&c.Spec.Service)
	if err != nil {
		return nil, err
	}
	retries, err := a.retries(c.Spec.Service.Retries)
	if err != nil {
		return nil, err
	}
	setOrDrop(match, map[string]any{"headers": headers})
	route := map[string]any{"match": match, "action": map[string]any{"weightedTargets": a.share(c, intent)}}
	setOrDrop(route, map[string]any{"retryPolicy": retries})
	if !a.old() {
		limit, err := appMeshTimeout(c)
		if err != nil {
			return nil, err
		}
		if limit != nil {
			route["timeout"] = map[string]any{"perRequest": limit}
		}
	}
	return map[string]any{a.protocols()[0]: route}, nil
}

// share lists the nodes with explicit weights.
func (a appMesh) share(c *v1beta1.Canary, intent core.RouteIntent) []any {
	to := func(side core.Side, weight int) map[string]any {
		name := sideService(c, side)
		if a.old() {
			return map[string]any{"virtualNodeName": name, "weight": int64(weight)}
		}
		return map[string]any{"virtualNodeRef": map[string]any{"name": name}, "weight": int64(weight)}
	}
	if intent.ViaApex {
		return []any{to(core.SideUnknown, 100)}
	}
	return []any{to(core.SidePrimary, intent.Primary), to(core.SideTarget, 100-intent.Primary)}
}

// appMeshHeaders are the conditions of the analysis, in the order of the names of headers.
func appMeshHeaders(entries []v1beta1.AnalysisMatch) ([]any, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	const field = "spec.analysis.match"
	m := entries[0]
	if len(entries) > 1 {
		return nil, fmt.Errorf("%s has %d entries; a route of App Mesh can express 1, with several headers", field, len(entries))
	}
	if len(m.Headers) == 0 || len(m.QueryParams)+len(m.SourceLabels) > 0 {
		return nil, fmt.Errorf("%s[0]: this provider compares headers only; use headers and nothing else", field)
	}
	var out []any
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		how := m.Headers[name]
		one := map[string]any{}
		setOrDrop(one, map[string]any{"exact": how.Exact})
		for _, way := range []struct{ name, value string }{{"prefix", how.Prefix}, {"suffix", how.Suffix}, {"regex", how.Regex}} {
			if len(one) == 0 && way.value != "" {
				one[way.name] = way.value
			}
		}
		if len(one) == 0 {
			return nil, fmt.Errorf("%s[0].headers[%s] has no condition; set exact, prefix, suffix or regex", field, name)
		}
		out = append(out, map[string]any{"name": name, "match": one})
	}
	return out, nil
}

// appMeshTimeout is the longest that a request may take; nil without a limit.
func appMeshTimeout(c *v1beta1.Canary) (map[string]any, error) {
	limit := c.Spec.Service.Timeout
	if limit == "" {
		return nil, nil
	}
	d, err := limit.Parse()
	if err != nil {
		return nil, fmt.Errorf("spec.service.timeout: %w", err)
	}
	return milliseconds(d), nil
}

func milliseconds(d time.Duration) map[string]any {
	return map[string]any{"unit": "ms", "value": d.Milliseconds()}
}

// retries is how a request is tried again, by default once after a failure of a gateway, with 250 ms for each attempt.
func (a appMesh) retries(r *v1beta1.HTTPRetry) (map[string]any, error) {
	if r == nil {
		return nil, nil
	}
	each := 250 * time.Millisecond
	if r.PerTryTimeout != "" {
		d, err := v1beta1.Duration(r.PerTryTimeout).Parse()
		if err != nil {
			return nil, fmt.Errorf("spec.service.retries.perTryTimeout: %w", err)
		}
		each = d
	}
	known := []string{"server-error", "gateway-error", "client-error", "stream-error"}
	var events []any
	for event := range strings.SplitSeq(r.RetryOn, ",") {
		switch event = strings.TrimSpace(event); {
		case event == "":
		case slices.Contains(known, event):
			events = append(events, event)
		default:
			return nil, fmt.Errorf("spec.service.retries.retryOn: %q is no reason of App Mesh; use %s", event, strings.Join(known, ", "))
		}
	}
	if len(events) == 0 {
		events = []any{"gateway-error"}
	}
	out := map[string]any{"maxRetries": int64(max(r.Attempts, 1)), "httpRetryEvents": events}
	if a.old() {
		out["perRetryTimeoutMillis"] = each.Milliseconds()
	} else {
		out["perRetryTimeout"] = milliseconds(each)
	}
	return out, nil
}
