package mesh

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// render makes the routes of an HTTPProxy. Contour prefers the route with more conditions on headers, whatever their order.
func (contour) render(c *v1beta1.Canary, intent core.RouteIntent) ([]map[string]any, error) {
	path, err := pathPrefix(&c.Spec.Service)
	if err != nil {
		return nil, err
	}
	limits, err := contourLimits(c.Spec.Analysis.Match)
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
	common := contourTraffic(&c.Spec.Service)
	var rules []map[string]any
	for _, p := range list {
		conditions, to := []any{path}, contour{}.share(c, p.intent)
		if p.limited {
			conditions = append(conditions, limits...)
		}
		if p.others {
			to = to[:1]
		}
		rules = append(rules, with(common, map[string]any{"conditions": conditions, "services": to}))
	}
	return rules, nil
}

// pathPrefix is the prefix of the paths that the application is for.
func pathPrefix(s *v1beta1.CanaryService) (map[string]any, error) {
	path := map[string]any{"prefix": "/"}
	if len(s.Match) == 0 {
		return path, nil
	}
	uri := s.Match[0].URI
	if uri == nil {
		return path, nil
	}
	if !equality.Semantic.DeepEqual(*uri, v1beta1.StringMatch{Prefix: uri.Prefix}) {
		return nil, errors.New("spec.service.match[0].uri: this provider compares paths by prefix only; use prefix")
	}
	if uri.Prefix != "" {
		path["prefix"] = uri.Prefix
	}
	return path, nil
}

// contourLimits are the conditions of the analysis, in the order of the names of headers.
func contourLimits(entries []v1beta1.AnalysisMatch) ([]any, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	const field = "spec.analysis.match"
	m := entries[0]
	if len(entries) > 1 {
		return nil, fmt.Errorf("%s has %d entries; a route of an HTTPProxy can express 1, with any number of headers", field, len(entries))
	}
	if len(m.Headers) == 0 || len(m.QueryParams)+len(m.SourceLabels) > 0 {
		return nil, fmt.Errorf("%s[0]: this provider compares headers only; use headers and nothing else", field)
	}
	var out []any
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		header := map[string]any{"name": name}
		switch how := m.Headers[name]; {
		case how.Exact != "":
			header["exact"] = how.Exact
		case how.Prefix != "":
			header["regex"] = regexp.QuoteMeta(how.Prefix) + ".*"
		case how.Suffix != "":
			header["regex"] = ".*" + regexp.QuoteMeta(how.Suffix)
		case how.Regex != "":
			header["regex"] = how.Regex
		default:
			return nil, fmt.Errorf("%s[0].headers[%s] has no condition; set exact, prefix, suffix or regex", field, name)
		}
		out = append(out, map[string]any{"header": header})
	}
	return out, nil
}

func contourTraffic(s *v1beta1.CanaryService) map[string]any {
	out := map[string]any{}
	timeouts, retries := map[string]any{}, map[string]any{}
	setOrDrop(timeouts, map[string]any{"response": string(s.Timeout)})
	if r := s.Retries; r != nil && r.Attempts > 0 {
		var on []any
		for reason := range strings.SplitSeq(r.RetryOn, ",") {
			if reason = strings.TrimSpace(reason); reason != "" {
				on = append(on, reason)
			}
		}
		retries["count"] = int64(r.Attempts)
		setOrDrop(retries, map[string]any{"perTryTimeout": r.PerTryTimeout, "retryOn": on})
	}
	setOrDrop(out, map[string]any{"timeoutPolicy": timeouts, "retryPolicy": retries})
	return out
}

// share lists the Services with explicit weights. The header tells a Linkerd sidecar of Contour's Envoy which Service was chosen.
func (contour) share(c *v1beta1.Canary, intent core.RouteIntent) []any {
	to := func(side core.Side, weight int) map[string]any {
		name, port := sideService(c, side), int64(c.Spec.Service.Port)
		override := map[string]any{"name": "l5d-dst-override", "value": fmt.Sprintf("%s.%s.svc.cluster.local:%d", name, c.Namespace, port)}
		return map[string]any{
			"name": name, "port": port, "weight": int64(weight), "requestHeadersPolicy": map[string]any{"set": []any{override}},
		}
	}
	if intent.ViaApex {
		return []any{to(core.SideUnknown, 100)}
	}
	return []any{to(core.SidePrimary, intent.Primary), to(core.SideTarget, 100-intent.Primary)}
}
