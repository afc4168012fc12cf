package mesh

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/mesh/capability"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// maxRouteMatches is how many matches one rule of an HTTPRoute holds.
const maxRouteMatches = capability.MaxRouteMatches

// splitRules renders the rules of a split. base is the rule that serves all requests of the application, without backends; limited are its matches
// narrowed to the analysis' conditions. In the order in which they take precedence:
//
//   - who brings the cookie of the canary, of the primary, or a revoked one
//   - who is shared out: everybody, or who meets the conditions
//   - beside conditions, everybody else
func splitRules(
	c *v1beta1.Canary, base gatewayv1.HTTPRouteRule, limited []gatewayv1.HTTPRouteMatch, intent core.RouteIntent,
) ([]gatewayv1.HTTPRouteRule, error) {
	shared := base
	if intent.Matched && !intent.ViaApex {
		if len(limited) == 0 {
			return nil, errors.New("spec.analysis.match is empty, so there is no condition to limit the canary to; set it or end the analysis")
		}
		shared.Matches = limited
	}
	// Said also while no condition is in force: a rollout that finds out half-way would have to stop there.
	if n := max(len(base.Matches), len(limited)); n > maxRouteMatches {
		return nil, fmt.Errorf("spec.analysis.match and spec.service.match come to %d combinations; a rule of an HTTPRoute holds %d, use fewer", n, maxRouteMatches)
	}
	rules := cookieRules(c, shared, intent)
	shared.BackendRefs = backendRefs(c, intent)
	if intent.Mirror > 0 && !intent.ViaApex {
		shared.Filters = append(append([]gatewayv1.HTTPRouteFilter{}, shared.Filters...), mirrorFilter(c, intent.Mirror))
	}
	rules = append(rules, shared)
	if intent.Matched && !intent.ViaApex {
		others := base
		others.BackendRefs = []gatewayv1.HTTPBackendRef{backendRef(c, core.SidePrimary, 100)}
		rules = append(rules, others)
	}
	return rules, nil
}

// cookieRules renders the rules of those who bring a cookie.
func cookieRules(c *v1beta1.Canary, shared gatewayv1.HTTPRouteRule, intent core.RouteIntent) []gatewayv1.HTTPRouteRule {
	if intent.ViaApex {
		return nil
	}
	var rules []gatewayv1.HTTPRouteRule
	add := func(cookie string, primary int) *gatewayv1.HTTPRouteRule {
		rule := shared
		rule.Matches = withCookie(shared.Matches, cookie)
		rule.BackendRefs = sides(c, primary)
		rules = append(rules, rule)
		return &rules[len(rules)-1]
	}
	if intent.Cookie != "" {
		add(intent.Cookie, 0)
	}
	if intent.PrimaryCookie != "" {
		add(intent.PrimaryCookie, 100)
	}
	if intent.Revoked != "" {
		takeBack(add(intent.Revoked, intent.Primary), revocation(c, intent.Revoked))
	}
	return rules
}

// backendRefs lists the destinations of who is shared out, with explicit weights: an absent weight would count as 1. Each side gives its cookie.
func backendRefs(c *v1beta1.Canary, intent core.RouteIntent) []gatewayv1.HTTPBackendRef {
	if intent.ViaApex {
		return []gatewayv1.HTTPBackendRef{backendRef(c, core.SideUnknown, 100)}
	}
	refs := sides(c, intent.Primary)
	if intent.PrimaryCookie != "" {
		refs[0].Filters = setCookie(primaryCookie(c, intent.PrimaryCookie))
	}
	if intent.Cookie != "" {
		refs[1].Filters = setCookie(canaryCookie(c, intent.Cookie))
	}
	return refs
}

// sides lists the primary with its share and the canary with the rest.
func sides(c *v1beta1.Canary, primary int) []gatewayv1.HTTPBackendRef {
	return []gatewayv1.HTTPBackendRef{backendRef(c, core.SidePrimary, primary), backendRef(c, core.SideTarget, 100-primary)}
}

// backendRef leads to the Service of a side; the apex Service for none.
func backendRef(c *v1beta1.Canary, side core.Side, weight int) gatewayv1.HTTPBackendRef {
	w, port := int32(weight), c.Spec.Service.Port
	return gatewayv1.HTTPBackendRef{BackendRef: gatewayv1.BackendRef{
		BackendObjectReference: backend(gatewayv1.BackendObjectReference{Name: gatewayv1.ObjectName(sideService(c, side)), Port: &port}),
		Weight:                 &w,
	}}
}

// mirrorFilter copies a share of requests to the canary. All of them is what older versions of the API understand too.
func mirrorFilter(c *v1beta1.Canary, share int) gatewayv1.HTTPRouteFilter {
	mirror := gatewayv1.HTTPRequestMirrorFilter{BackendRef: backendRef(c, core.SideTarget, 0).BackendObjectReference}
	if share < 100 {
		percent := int32(share)
		mirror.Percent = &percent
	}
	return gatewayv1.HTTPRouteFilter{Type: gatewayv1.HTTPRouteFilterRequestMirror, RequestMirror: &mirror}
}

// asMaps converts destinations to plain JSON.
func asMaps(refs []gatewayv1.HTTPBackendRef) []any {
	out := make([]any, 0, len(refs))
	for i := range refs {
		// The types are structs of strings and numbers: nothing in them can fail to convert.
		m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&refs[i])
		if err == nil {
			out = append(out, m)
		}
	}
	return out
}
