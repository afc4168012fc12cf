package mesh

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// anyPath is how Gateway API writes a match of every request.
func anyPath() *gatewayv1.HTTPPathMatch {
	kind, value := gatewayv1.PathMatchPathPrefix, "/"
	return &gatewayv1.HTTPPathMatch{Type: &kind, Value: &value}
}

// routeMatches renders spec.service.match. HTTPRoute has no words for scheme, authority, port, withoutHeaders, ignoreUriCase, sourceLabels,
// sourceNamespace and gateways: as with Flagger these have no effect, of which admission warns. Entries without any other condition are left out;
// without entries the rule matches every request.
func routeMatches(entries []v1beta1.HTTPMatch) ([]gatewayv1.HTTPRouteMatch, error) {
	var out []gatewayv1.HTTPRouteMatch
	for i := range entries {
		match, some, err := routeMatch(fmt.Sprintf("spec.service.match[%d]", i), &entries[i])
		if err != nil {
			return nil, err
		}
		if some {
			out = append(out, match)
		}
	}
	if len(out) == 0 {
		out = []gatewayv1.HTTPRouteMatch{{Path: anyPath()}}
	}
	return out, nil
}

// analysisMatches narrows the matches of the application's requests to those that meet spec.analysis.match: each of these with each of those. Where both
// have a condition on the same header or parameter the analysis' counts. Nil without conditions.
func analysisMatches(entries []v1beta1.AnalysisMatch, base []gatewayv1.HTTPRouteMatch) ([]gatewayv1.HTTPRouteMatch, error) {
	var out []gatewayv1.HTTPRouteMatch
	for i := range entries {
		path := fmt.Sprintf("spec.analysis.match[%d]", i)
		narrow, some, err := routeMatch(path, &v1beta1.HTTPMatch{Headers: entries[i].Headers, QueryParams: entries[i].QueryParams})
		if err != nil {
			return nil, err
		}
		if !some {
			return nil, fmt.Errorf("%s has no condition that an HTTPRoute can compare, so it would match every request; add headers or queryParams, or remove it", path)
		}
		for _, b := range base {
			b.Headers = narrowed(narrow.Headers, b.Headers, func(h gatewayv1.HTTPHeaderMatch) string { return strings.ToLower(string(h.Name)) })
			b.QueryParams = narrowed(narrow.QueryParams, b.QueryParams, func(q gatewayv1.HTTPQueryParamMatch) string { return string(q.Name) })
			out = append(out, b)
		}
	}
	return out, nil
}

// narrowed returns own conditions and those of base that are about something else.
func narrowed[T any](own, base []T, name func(T) string) []T {
	out := slices.Clone(own)
	for _, b := range base {
		if !slices.ContainsFunc(own, func(o T) bool { return name(o) == name(b) }) {
			out = append(out, b)
		}
	}
	return out
}

// routeMatch renders one entry and tells whether it has any condition.
func routeMatch(path string, m *v1beta1.HTTPMatch) (match gatewayv1.HTTPRouteMatch, some bool, err error) {
	if match.Path, err = pathMatch(path+".uri", m.URI); err != nil {
		return match, false, err
	}
	some = match.Path != nil
	if !some {
		match.Path = anyPath()
	}
	if m.Method != nil && *m.Method != (v1beta1.StringMatch{}) {
		if m.Method.Exact == "" {
			return match, false, fmt.Errorf("%s.method: an HTTPRoute matches methods by exact only; list one entry per method", path)
		}
		method := gatewayv1.HTTPMethod(m.Method.Exact)
		match.Method, some = &method, true
	}
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		kind, value, err := keyMatch(path+".headers["+name+"]", m.Headers[name])
		if err != nil {
			return match, false, err
		}
		headerKind := gatewayv1.HeaderMatchType(kind)
		match.Headers = append(match.Headers, gatewayv1.HTTPHeaderMatch{Type: &headerKind, Name: gatewayv1.HTTPHeaderName(name), Value: value})
	}
	for _, name := range slices.Sorted(maps.Keys(m.QueryParams)) {
		kind, value, err := keyMatch(path+".queryParams["+name+"]", m.QueryParams[name])
		if err != nil {
			return match, false, err
		}
		paramKind := gatewayv1.QueryParamMatchType(kind)
		match.QueryParams = append(match.QueryParams, gatewayv1.HTTPQueryParamMatch{Type: &paramKind, Name: gatewayv1.HTTPHeaderName(name), Value: value})
	}
	return match, some || len(m.Headers)+len(m.QueryParams) > 0, nil
}

// pathMatch renders a condition on the path; nil when there is none.
func pathMatch(path string, m *v1beta1.StringMatch) (*gatewayv1.HTTPPathMatch, error) {
	if m == nil {
		return nil, nil
	}
	var kind gatewayv1.PathMatchType
	var value string
	switch {
	case m.Exact != "":
		kind, value = gatewayv1.PathMatchExact, m.Exact
	case m.Prefix != "":
		kind, value = gatewayv1.PathMatchPathPrefix, m.Prefix
	case m.Regex != "":
		kind, value = gatewayv1.PathMatchRegularExpression, m.Regex
	case m.Suffix != "":
		return nil, fmt.Errorf("%s.suffix: %q cannot be matched by an HTTPRoute; use exact, prefix or regex", path, m.Suffix)
	default:
		return nil, nil
	}
	return &gatewayv1.HTTPPathMatch{Type: &kind, Value: &value}, nil
}

// keyMatch renders a condition on a header or query parameter. Headers and parameters share the names of their types. A condition without a value
// asks for presence.
func keyMatch(path string, m v1beta1.StringMatch) (kind, value string, err error) {
	switch {
	case m.Exact != "":
		return string(gatewayv1.HeaderMatchExact), m.Exact, nil
	case m.Regex != "":
		return string(gatewayv1.HeaderMatchRegularExpression), m.Regex, nil
	case m.Prefix != "":
		return "", "", fmt.Errorf("%s.prefix: %q cannot be matched by an HTTPRoute; use exact or regex", path, m.Prefix)
	case m.Suffix != "":
		return "", "", fmt.Errorf("%s.suffix: %q cannot be matched by an HTTPRoute; use exact or regex", path, m.Suffix)
	}
	return string(gatewayv1.HeaderMatchRegularExpression), ".*", nil
}
