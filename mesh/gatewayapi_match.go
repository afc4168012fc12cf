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

// routeMatches renders spec.service.match. Entries without any condition are left out; without entries the rule matches every request. A
// condition that HTTPRoute has no words for is an error: leaving it out would send other requests to the application than were asked for.
func routeMatches(entries []v1beta1.HTTPMatch) ([]gatewayv1.HTTPRouteMatch, error) {
	var out []gatewayv1.HTTPRouteMatch
	for i := range entries {
		path := fmt.Sprintf("spec.service.match[%d]", i)
		if err := expressible(path, &entries[i]); err != nil {
			return nil, err
		}
		match, some, err := routeMatch(path, &entries[i])
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

// expressible refuses the fields of an entry that narrow down requests and that HTTPRoute lacks. Name and gateways do not narrow anything here.
func expressible(path string, m *v1beta1.HTTPMatch) error {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"scheme", m.Scheme != nil},
		{"authority", m.Authority != nil},
		{"port", m.Port != 0},
		{"withoutHeaders", len(m.WithoutHeaders) > 0},
		{"ignoreUriCase", m.IgnoreURICase},
		{"sourceLabels", len(m.SourceLabels) > 0},
		{"sourceNamespace", m.SourceNamespace != ""},
	} {
		if f.set {
			return fmt.Errorf("%s.%s: an HTTPRoute cannot match on this; remove it (hosts and ports are chosen by spec.service.hosts and gatewayRefs)", path, f.name)
		}
	}
	return nil
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
