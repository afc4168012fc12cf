package mesh

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// defaultCORSMaxAge is how many seconds a browser keeps a preflight answer when the Canary does not say; the API's default.
const defaultCORSMaxAge = 5

// routeFilters renders header changes, rewrite, mirrors and CORS, in this order.
func routeFilters(s *v1beta1.CanaryService) ([]gatewayv1.HTTPRouteFilter, error) {
	var out []gatewayv1.HTTPRouteFilter
	if h := s.Headers; h != nil {
		if f := headerFilter(h.Request); f != nil {
			out = append(out, gatewayv1.HTTPRouteFilter{Type: gatewayv1.HTTPRouteFilterRequestHeaderModifier, RequestHeaderModifier: f})
		}
		if f := headerFilter(h.Response); f != nil {
			out = append(out, gatewayv1.HTTPRouteFilter{Type: gatewayv1.HTTPRouteFilterResponseHeaderModifier, ResponseHeaderModifier: f})
		}
	}
	if f := rewriteFilter(s.Rewrite); f != nil {
		out = append(out, gatewayv1.HTTPRouteFilter{Type: gatewayv1.HTTPRouteFilterURLRewrite, URLRewrite: f})
	}
	for _, m := range s.Mirror {
		m.BackendRef = backend(m.BackendRef)
		out = append(out, gatewayv1.HTTPRouteFilter{Type: gatewayv1.HTTPRouteFilterRequestMirror, RequestMirror: &m})
	}
	cors, err := corsFilter(s.CorsPolicy)
	if err != nil {
		return nil, err
	}
	if cors != nil {
		out = append(out, gatewayv1.HTTPRouteFilter{Type: gatewayv1.HTTPRouteFilterCORS, CORS: cors})
	}
	return out, nil
}

func headerFilter(h *v1beta1.HeaderOperation) *gatewayv1.HTTPHeaderFilter {
	if h == nil || len(h.Add)+len(h.Set)+len(h.Remove) == 0 {
		return nil
	}
	return &gatewayv1.HTTPHeaderFilter{Add: headerList(h.Add), Set: headerList(h.Set), Remove: h.Remove}
}

func headerList(m map[string]string) []gatewayv1.HTTPHeader {
	if len(m) == 0 {
		return nil
	}
	out := make([]gatewayv1.HTTPHeader, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, gatewayv1.HTTPHeader{Name: gatewayv1.HTTPHeaderName(name), Value: m[name]})
	}
	return out
}

func rewriteFilter(r *v1beta1.HTTPRewrite) *gatewayv1.HTTPURLRewriteFilter {
	if r == nil || r.URI == "" && r.Authority == "" {
		return nil
	}
	out := &gatewayv1.HTTPURLRewriteFilter{}
	if r.Authority != "" {
		host := gatewayv1.PreciseHostname(r.Authority)
		out.Hostname = &host
	}
	switch {
	case r.URI == "":
	case r.Type == string(gatewayv1.PrefixMatchHTTPPathModifier):
		out.Path = &gatewayv1.HTTPPathModifier{Type: gatewayv1.PrefixMatchHTTPPathModifier, ReplacePrefixMatch: &r.URI}
	default:
		out.Path = &gatewayv1.HTTPPathModifier{Type: gatewayv1.FullPathHTTPPathModifier, ReplaceFullPath: &r.URI}
	}
	return out
}

func corsFilter(p *v1beta1.CorsPolicy) (*gatewayv1.HTTPCORSFilter, error) {
	if p == nil {
		return nil, nil
	}
	origins := slices.Clone(p.AllowOrigin)
	for i, o := range p.AllowOrigins {
		if o.Exact == "" {
			return nil, fmt.Errorf("spec.service.corsPolicy.allowOrigins[%d]: an HTTPRoute knows exact origins only; "+
				"use exact, or allowOrigin with a wildcard such as https://*.example.com", i)
		}
		origins = append(origins, o.Exact)
	}
	out := &gatewayv1.HTTPCORSFilter{
		AllowOrigins:  stringsAs[gatewayv1.CORSOrigin](origins),
		AllowMethods:  stringsAs[gatewayv1.HTTPMethodWithWildcard](p.AllowMethods),
		AllowHeaders:  stringsAs[gatewayv1.HTTPHeaderName](p.AllowHeaders),
		ExposeHeaders: stringsAs[gatewayv1.HTTPHeaderName](p.ExposeHeaders),
		MaxAge:        defaultCORSMaxAge,
	}
	if p.AllowCredentials != nil && *p.AllowCredentials {
		out.AllowCredentials = p.AllowCredentials
	}
	if p.MaxAge != "" {
		age, err := time.ParseDuration(p.MaxAge)
		if err != nil || age < time.Second || age > math.MaxInt32*time.Second {
			return nil, fmt.Errorf("spec.service.corsPolicy.maxAge: %q is not a duration of at least a second; use for example 30s or 24h", p.MaxAge)
		}
		out.MaxAge = int32(age / time.Second)
	}
	return out, nil
}

// stringsAs converts a list to the API's type; nil when it is empty.
func stringsAs[T ~string](in []string) []T {
	if len(in) == 0 {
		return nil
	}
	out := make([]T, 0, len(in))
	for _, s := range in {
		out = append(out, T(s))
	}
	return out
}

// routeTimeouts renders timeout and backendTimeout; nil when neither is set.
func routeTimeouts(s *v1beta1.CanaryService) (*gatewayv1.HTTPRouteTimeouts, error) {
	request, err := gatewayDuration("spec.service.timeout", s.Timeout)
	if err != nil {
		return nil, err
	}
	backendRequest, err := gatewayDuration("spec.service.backendTimeout", s.BackendTimeout)
	if err != nil {
		return nil, err
	}
	if request == nil && backendRequest == nil {
		return nil, nil
	}
	return &gatewayv1.HTTPRouteTimeouts{Request: request, BackendRequest: backendRequest}, nil
}

// gatewayFormat is Gateway API's form of durations, narrower than Go's: at most four units, no fractions.
var gatewayFormat = regexp.MustCompile(`^([0-9]{1,5}(h|m|s|ms)){1,4}$`)

// gatewayDuration keeps a duration that is in Gateway API's form, and rewrites any other: 1.5s becomes 1s500ms. What is left below a millisecond is
// dropped.
func gatewayDuration(path string, d v1beta1.Duration) (*gatewayv1.Duration, error) {
	if d == "" {
		return nil, nil
	}
	v, err := d.Parse()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	out := gatewayv1.Duration(d)
	if !gatewayFormat.MatchString(string(d)) {
		out = gatewayv1.Duration(spellDuration(v))
	}
	if !gatewayFormat.MatchString(string(out)) {
		return nil, fmt.Errorf("%s: %q is longer than an HTTPRoute can say; use less than 100000h", path, string(d))
	}
	return &out, nil
}

func spellDuration(v time.Duration) string {
	var b strings.Builder
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}} {
		if n := v / unit.size; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, unit.name)
			v %= unit.size
		}
	}
	if b.Len() == 0 {
		return "0s"
	}
	return b.String()
}
