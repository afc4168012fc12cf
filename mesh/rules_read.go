package mesh

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// read reports the split: shares are those of the rule that sends most to the canary, in per cent; conditions, copies and cookies are reported as far
// as the rules that they take are complete. Where no rule is the Canary's, those that lead to the apex Service reach the primary. A Canary that cannot
// be rendered is a problem too.
func (s services) read(c *v1beta1.Canary, carrier *unstructured.Unstructured, accepted bool, problem string) core.Route {
	route := core.Route{Exists: true, Accepted: accepted, Problem: problem}
	live, _, _ := unstructured.NestedFieldNoCopy(carrier.Object, s.in.list(c)...)
	rules := mapsIn(live)
	route.ViaApex = !slices.ContainsFunc(rules, s.owned)
	route.Split = s.readSplit(c, rules)
	if problem := s.unusable(c, carrier.GetKind()+" "+carrier.GetName(), rules); problem != "" {
		route.Accepted, route.Problem = false, problem
	}
	return route
}

// readSplit puts the split together from the rules that refer to the Canary's Services.
func (s services) readSplit(c *v1beta1.Canary, rules []map[string]any) core.Split {
	var out core.Split
	// What keeps users by cookie has no share of the others; who brings a revoked cookie is one of them.
	var shares, plain []map[string]any
	given := s.given(rules)
	for _, rule := range rules {
		if !s.referredBy(rule) || s.readCookie(rule, given, &out) {
			continue
		}
		shares = append(shares, rule)
		if s.cookieOf(rule) != out.Revoked || out.Revoked == "" {
			plain = append(plain, rule)
		}
	}
	_, out.Primary, out.Canary = s.widest(shares)
	knows := func(rule map[string]any) bool { return s.count(rule, s.canary) > 0 }
	others := slices.ContainsFunc(plain, func(rule map[string]any) bool { return s.owned(rule) && !knows(rule) })
	if shared, _, _ := s.widest(slices.DeleteFunc(plain, func(rule map[string]any) bool { return !knows(rule) })); shared != nil {
		out.Mirror = s.in.copies(s, c, shared)
		out.Matched = others && equality.Semantic.DeepEqual(s.matches(shared), s.limitedMatches(c))
	}
	return out
}

// widest returns the first of the rules that send most to the canary, with its shares; nil without rules.
func (s services) widest(rules []map[string]any) (widest map[string]any, primary, canary int) {
	for _, rule := range rules {
		if p, c := s.split(rule); widest == nil || c > canary {
			widest, primary, canary = rule, p, c
		}
	}
	return widest, primary, canary
}

// given lists the cookies that the destinations of rules give to users, by Service.
func (s services) given(rules []map[string]any) map[string]string {
	out := map[string]string{}
	for _, rule := range rules {
		for _, ref := range s.in.destinations(rule) {
			if cookie, revoked := s.cookieSetBy(ref); cookie != "" && !revoked {
				out[s.side(ref)] = cookie
			}
		}
	}
	return out
}

// readCookie notes the cookie of a rule that is about one, and tells whether it keeps users. A rule that keeps users by a cookie that nobody is given, or
// anywhere but wholly on its side, is read as a share like any other.
func (s services) readCookie(rule map[string]any, given map[string]string, out *core.Split) bool {
	cookie := s.cookieOf(rule)
	if cookie == "" {
		return false
	}
	primary, canary := s.split(rule)
	switch {
	case canary == 100 && given[s.canary] == cookie:
		out.Cookie = cookie
		return true
	case primary == 100 && given[s.primary] == cookie:
		out.PrimaryCookie = cookie
		return true
	}
	if s.takesBack(rule, cookie) {
		out.Revoked = cookie
	}
	return false
}

// takesBack tells whether a rule, or each of its destinations, takes a cookie back.
func (s services) takesBack(rule map[string]any, cookie string) bool {
	if of, revoked := s.cookieSetBy(rule); revoked && of == cookie {
		return true
	}
	for _, ref := range s.in.destinations(rule) {
		if of, revoked := s.cookieSetBy(ref); of != cookie || !revoked {
			return false
		}
	}
	return true
}

// limitedMatches are the matches of the requests that an analysis is limited to, as the API holds them; nil when it is not limited.
func (s services) limitedMatches(c *v1beta1.Canary) []any {
	rules, err := s.in.render(c, core.RouteIntent{Split: core.Split{Primary: 100, Matched: true}})
	if err != nil {
		return nil
	}
	return s.matches(rules[0])
}

// divert changes the shares in the Canary's rules, and takes out whatever of conditions, copies and cookies the intent does not have. It brings none of
// them in: what is missing is left to the next rendering, and until then the requests in question go to the primary. On the way out no rule may go on
// copying requests to a Service that goes away.
func (s services) divert(c *v1beta1.Canary, existing *unstructured.Unstructured, intent core.RouteIntent) *unstructured.Unstructured {
	out := existing.DeepCopy()
	path := s.in.list(c)
	live, found, err := unstructured.NestedFieldNoCopy(out.Object, path...)
	if !found || err != nil {
		return out
	}
	limited := s.limited(mapsIn(live))
	if intent.Matched && !limited {
		// Without a rule for everybody else all of them would be meant.
		intent.Split = core.Split{Primary: 100}
	}
	var rules []any
	for _, entry := range listOf(live) {
		rule, ok := entry.(map[string]any)
		if !ok || !s.owned(rule) || s.diverted(c, rule, limited, intent) {
			rules = append(rules, entry)
		}
	}
	// The parents of the field were found above.
	parent, _, _ := unstructured.NestedFieldNoCopy(out.Object, path[:len(path)-1]...)
	maps.Copy(parent.(map[string]any), map[string]any{path[len(path)-1]: rules})
	return out
}

// limited tells whether rules limit the canary to some requests: one of the Canary's rules does not know it.
func (s services) limited(rules []map[string]any) bool {
	shared, others := false, false
	for _, rule := range rules {
		if s.owned(rule) && s.cookieOf(rule) == "" {
			knows := s.count(rule, s.canary) > 0
			shared, others = shared || knows, others || !knows
		}
	}
	return shared && others
}

// diverted changes one of the Canary's rules and tells whether it stays.
func (s services) diverted(c *v1beta1.Canary, rule map[string]any, limited bool, intent core.RouteIntent) bool {
	open := intent.Canary > 0 && !intent.ViaApex
	switch cookie := s.cookieOf(rule); {
	case cookie == "":
	case open && cookie == intent.Revoked:
		s.in.redirect(rule, s.in.share(c, core.RouteIntent{Split: core.Split{Primary: intent.Primary, Canary: intent.Canary}}))
		// Where destinations took the cookie back, who brings it is sent like everybody else until the next rendering.
		return s.takesBack(rule, cookie)
	default:
		return open && !s.takesBack(rule, cookie) && slices.Contains([]string{intent.Cookie, intent.PrimaryCookie}, cookie)
	}
	s.stopMirrors(rule, intent)
	keeps, knows := open && intent.Matched, s.count(rule, s.canary) > 0
	if limited && knows != keeps {
		// Under a condition the rule for everybody else stays as it is. Without one it takes the requests of the other rule, which goes.
		return keeps
	}
	s.in.redirect(rule, s.in.share(c, intent))
	return true
}

// unusable tells why the weights of a route, by its kind and name, have no effect, or cannot be had at all, whatever its gateways say.
func (s services) unusable(c *v1beta1.Canary, name string, rules []map[string]any) string {
	if _, err := s.in.render(c, core.RouteIntent{Split: core.Split{Primary: 100}}); err != nil {
		return err.Error()
	}
	if other := s.shadowed(rules); other != "" {
		return fmt.Sprintf("%s: %s matches the same requests as the Canary's rule and comes first, so the weights have no effect; "+
			"remove it or set spec.service.match", name, other)
	}
	return ""
}

// stopMirrors takes copies out of a rule: those of the analysis unless the intent has them, and on the way out all that go to the primary or the canary.
func (s services) stopMirrors(rule map[string]any, intent core.RouteIntent) {
	switch {
	case intent.ViaApex:
		s.in.stopCopies(s, rule, s.primary, s.canary)
	case intent.Mirror == 0:
		s.in.stopCopies(s, rule, s.canary)
	}
}
