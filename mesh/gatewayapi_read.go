package mesh

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// Read reports the split: shares are those of the rule that sends most to the canary, in per cent; conditions, copies and cookies are reported as far as
// the rules that they take are complete. Where no rule is the Canary's, those that lead to the apex Service reach the primary. A Canary that cannot be
// rendered is a problem too.
func (gatewayAPI) Read(c *v1beta1.Canary, carrier *unstructured.Unstructured) core.Route {
	route := core.Route{Exists: true}
	s := servicesOf(c)
	live, _, _ := unstructured.NestedFieldNoCopy(carrier.Object, "spec", "rules")
	rules := mapsIn(live)
	route.ViaApex = !slices.ContainsFunc(rules, s.owned)
	route.Split = s.readSplit(c, rules)
	route.Accepted, route.Problem = acceptance(c, carrier)
	if problem := s.unusable(c, carrier.GetName(), rules); problem != "" {
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
		if cookieOf(rule) != out.Revoked || out.Revoked == "" {
			plain = append(plain, rule)
		}
	}
	_, out.Primary, out.Canary = s.widest(shares)
	knows := func(rule map[string]any) bool { return s.count(rule, s.canary) > 0 }
	others := slices.ContainsFunc(plain, func(rule map[string]any) bool { return s.owned(rule) && !knows(rule) })
	if shared, _, _ := s.widest(slices.DeleteFunc(plain, func(rule map[string]any) bool { return !knows(rule) })); shared != nil {
		out.Mirror = s.mirror(c, shared)
		out.Matched = others && equality.Semantic.DeepEqual(shared["matches"], limitedMatches(c))
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
		for _, ref := range mapsIn(rule["backendRefs"]) {
			if cookie, revoked := cookieSetBy(ref); cookie != "" && !revoked {
				out[s.side(ref)] = cookie
			}
		}
	}
	return out
}

// readCookie notes the cookie of a rule that is about one, and tells whether it keeps users. A rule that keeps users by a cookie that nobody is given, or
// anywhere but wholly on its side, is read as a share like any other.
func (s services) readCookie(rule map[string]any, given map[string]string, out *core.Split) bool {
	cookie := cookieOf(rule)
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
	if takesBack(rule, cookie) {
		out.Revoked = cookie
	}
	return false
}

// takesBack tells whether a rule, or each of its destinations, takes a cookie back.
func takesBack(rule map[string]any, cookie string) bool {
	if of, revoked := cookieSetBy(rule); revoked && of == cookie {
		return true
	}
	for _, ref := range mapsIn(rule["backendRefs"]) {
		if of, revoked := cookieSetBy(ref); of != cookie || !revoked {
			return false
		}
	}
	return true
}

// mirror returns the share of requests that a rule copies to the canary, in per cent, beside what the Canary has copied at all times.
func (s services) mirror(c *v1beta1.Canary, rule map[string]any) int {
	always := 0
	for _, m := range c.Spec.Service.Mirror {
		if raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&m); err == nil && s.mirrorsTo(map[string]any{"requestMirror": raw}, s.canary) {
			always++
		}
	}
	for _, f := range mapsIn(rule["filters"]) {
		if !s.mirrorsTo(f, s.canary) {
			continue
		}
		if always--; always < 0 {
			return mirroredShare(f)
		}
	}
	return 0
}

// mirroredShare returns the share that a RequestMirror filter copies, in per cent.
func mirroredShare(filter map[string]any) int {
	mirror, _ := filter["requestMirror"].(map[string]any)
	if percent, ok := mirror["percent"].(int64); ok {
		return int(percent)
	}
	fraction, ok := mirror["fraction"].(map[string]any)
	if !ok {
		return 100
	}
	numerator, _ := fraction["numerator"].(int64)
	denominator, ok := fraction["denominator"].(int64)
	if !ok || denominator <= 0 {
		denominator = 100 // The default of Gateway API.
	}
	return share(numerator, denominator)
}

// limitedMatches are the matches of the requests that an analysis is limited to, as the API holds them; nil when it is not limited.
func limitedMatches(c *v1beta1.Canary) []any {
	spec, err := routeSpec(c, core.RouteIntent{Split: core.Split{Primary: 100, Matched: true}})
	if err != nil {
		return nil
	}
	return listOf(mapsIn(spec["rules"])[0]["matches"])
}

// Divert changes the shares in the Canary's rules, and takes out whatever of conditions, copies and cookies the intent does not have. It brings none of
// them in: what is missing is left to the next rendering, and until then the requests in question go to the primary. On the way out no rule may go on
// copying requests to a Service that goes away.
func (gatewayAPI) Divert(c *v1beta1.Canary, existing *unstructured.Unstructured, intent core.RouteIntent) *unstructured.Unstructured {
	out := existing.DeepCopy()
	s := servicesOf(c)
	live, found, err := unstructured.NestedFieldNoCopy(out.Object, "spec", "rules")
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
	maps.Copy(out.Object["spec"].(map[string]any), map[string]any{"rules": rules})
	return out
}

// limited tells whether rules limit the canary to some requests: one of the Canary's rules does not know it.
func (s services) limited(rules []map[string]any) bool {
	shared, others := false, false
	for _, rule := range rules {
		if s.owned(rule) && cookieOf(rule) == "" {
			knows := s.count(rule, s.canary) > 0
			shared, others = shared || knows, others || !knows
		}
	}
	return shared && others
}

// diverted changes one of the Canary's rules and tells whether it stays.
func (s services) diverted(c *v1beta1.Canary, rule map[string]any, limited bool, intent core.RouteIntent) bool {
	open := intent.Canary > 0 && !intent.ViaApex
	switch cookie := cookieOf(rule); {
	case cookie == "":
	case open && cookie == intent.Revoked:
		rule["backendRefs"] = asMaps(sides(c, intent.Primary))
		return true
	default:
		return open && !takesBack(rule, cookie) && slices.Contains([]string{intent.Cookie, intent.PrimaryCookie}, cookie)
	}
	s.stopMirrors(rule, intent)
	keeps, knows := open && intent.Matched, s.count(rule, s.canary) > 0
	if limited && knows != keeps {
		// Under a condition the rule for everybody else stays as it is. Without one it takes the requests of the other rule, which goes.
		return keeps
	}
	rule["backendRefs"] = asMaps(backendRefs(c, intent))
	return true
}

// stopMirrors takes copies out of a rule: those of the analysis unless the intent has them, and on the way out all that go to the primary or the canary.
func (s services) stopMirrors(rule map[string]any, intent core.RouteIntent) {
	filters := slices.DeleteFunc(listOf(rule["filters"]), func(f any) bool {
		if intent.ViaApex {
			return s.mirrorsTo(f, s.primary, s.canary)
		}
		return intent.Mirror == 0 && s.mirrorsTo(f, s.canary)
	})
	if len(filters) > 0 {
		rule["filters"] = filters
	} else {
		delete(rule, "filters")
	}
}
