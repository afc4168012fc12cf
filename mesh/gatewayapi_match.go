package mesh

import (
	"fmt"
	"maps"
	"slices"

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
