package mesh

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// This file holds how cookies are given, recognised and taken back by an HTTPRoute.

const (
	headerCookie    = "Cookie"
	headerSetCookie = "Set-Cookie"
	// maxAgeRevoked in a Set-Cookie header makes the browser forget the cookie.
	maxAgeRevoked = -1
	// defaultCookieAge is how many seconds users stay on the canary when the Canary does not say.
	defaultCookieAge = 86400
)

// cookieBefore and cookieAfter surround a cookie in the Cookie header. The expression holds the whole header, because some gateways compare the whole
// and some look for a part.
const (
	cookieBefore = `^(?:.*; *)?`
	cookieAfter  = `(?:;.*)?$`
)

// cookiePattern is the expression that a Cookie header with a cookie meets.
func cookiePattern(cookie string) string {
	return cookieBefore + regexp.QuoteMeta(cookie) + cookieAfter
}

// withCookie narrows matches to requests that bring a cookie. A condition of the same header gives way: an HTTPRoute has room for one.
func withCookie(matches []gatewayv1.HTTPRouteMatch, cookie string) []gatewayv1.HTTPRouteMatch {
	kind := gatewayv1.HeaderMatchRegularExpression
	condition := gatewayv1.HTTPHeaderMatch{Type: &kind, Name: headerCookie, Value: cookiePattern(cookie)}
	out := make([]gatewayv1.HTTPRouteMatch, 0, len(matches))
	for _, m := range matches {
		m.Headers = slices.DeleteFunc(slices.Clone(m.Headers), func(h gatewayv1.HTTPHeaderMatch) bool {
			return strings.EqualFold(string(h.Name), headerCookie)
		})
		m.Headers = append(m.Headers, condition)
		out = append(out, m)
	}
	return out
}

// cookieOf returns the cookie that a rule asks for in all of its matches, in the form that cookiePattern gives it; empty without one.
func (s services) cookieOf(rule map[string]any) string {
	var cookie string
	matches, _ := s.in.words()
	for i, match := range mapsIn(rule[matches]) {
		found := ""
		for _, pattern := range s.in.cookieConditions(match) {
			value, ours := strings.CutPrefix(pattern, cookieBefore)
			value, ends := strings.CutSuffix(value, cookieAfter)
			if plain, ok := unquote(value); ours && ends && ok {
				found = plain
			}
		}
		if found == "" || i > 0 && found != cookie {
			return ""
		}
		cookie = found
	}
	return cookie
}

// unquote reverses regexp.QuoteMeta; it refuses what that cannot have made.
func unquote(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			if i++; i == len(s) {
				return "", false
			}
		}
		b.WriteByte(s[i])
	}
	plain := b.String()
	return plain, regexp.QuoteMeta(plain) == s
}

// takeBack adds a Set-Cookie header to all answers of a rule: by its own filter of response headers where it has one, because there may be one only. One
// that adds such a header already leaves no room; then the destinations do it. They do not do it at all times, because some gateways know one list of
// filters for a Service, whichever rule leads there.
func takeBack(rule *gatewayv1.HTTPRouteRule, value string) {
	filters := slices.Clone(rule.Filters)
	at := slices.IndexFunc(filters, func(f gatewayv1.HTTPRouteFilter) bool { return f.ResponseHeaderModifier != nil })
	if at < 0 {
		rule.Filters = append(filters, setCookie(value)...)
		return
	}
	changes := *filters[at].ResponseHeaderModifier
	if slices.ContainsFunc(changes.Add, func(h gatewayv1.HTTPHeader) bool { return strings.EqualFold(string(h.Name), headerSetCookie) }) {
		for i := range rule.BackendRefs {
			rule.BackendRefs[i].Filters = setCookie(value)
		}
		return
	}
	changes.Add = append(slices.Clone(changes.Add), gatewayv1.HTTPHeader{Name: headerSetCookie, Value: value})
	filters[at].ResponseHeaderModifier = &changes
	rule.Filters = filters
}

// setCookie adds a header to the answers of one destination. There it cannot collide with header changes of the whole rule.
func setCookie(value string) []gatewayv1.HTTPRouteFilter {
	return []gatewayv1.HTTPRouteFilter{{
		Type: gatewayv1.HTTPRouteFilterResponseHeaderModifier,
		ResponseHeaderModifier: &gatewayv1.HTTPHeaderFilter{
			Add: []gatewayv1.HTTPHeader{{Name: headerSetCookie, Value: value}},
		},
	}}
}

// cookieSetBy returns the cookie that a destination or rule gives, and whether it takes it back; empty when it does neither.
func (s services) cookieSetBy(of map[string]any) (cookie string, revoked bool) {
	for _, value := range s.in.cookiesSet(of) {
		parts := strings.Split(value, "; ")
		return parts[0], slices.Contains(parts, fmt.Sprint("Max-Age=", maxAgeRevoked))
	}
	return "", false
}

// canaryCookie keeps users of the canary for as long as the Canary says.
func canaryCookie(c *v1beta1.Canary, cookie string) string {
	age := defaultCookieAge
	if a := affinity(c); a.MaxAge > 0 {
		age = int(a.MaxAge)
	}
	return attributes(c, cookie, age)
}

// primaryCookie keeps users of the primary for one step: then they may meet the canary.
func primaryCookie(c *v1beta1.Canary, cookie string) string {
	return attributes(c, cookie, int(c.Spec.Analysis.CheckInterval()/time.Second))
}

// revocation takes a cookie back. A browser forgets only a cookie of the same domain and path.
func revocation(c *v1beta1.Canary, cookie string) string { return attributes(c, cookie, maxAgeRevoked) }

func affinity(c *v1beta1.Canary) v1beta1.SessionAffinity {
	if a := c.Spec.Analysis.SessionAffinity; a != nil {
		return *a
	}
	return v1beta1.SessionAffinity{}
}

// attributes writes a Set-Cookie header: the cookie as name=value, its age in seconds, and what the Canary says of cookies.
func attributes(c *v1beta1.Canary, cookie string, age int) string {
	a := affinity(c)
	parts := []string{cookie, fmt.Sprint("Max-Age=", age)}
	for _, attribute := range []struct {
		set  bool
		text string
	}{
		{a.Domain != "", "Domain=" + a.Domain}, {a.HTTPOnly, "HttpOnly"}, {a.Partitioned, "Partitioned"}, {a.Path != "", "Path=" + a.Path},
		{a.SameSite != "", "SameSite=" + a.SameSite}, {a.Secure, "Secure"},
	} {
		if attribute.set {
			parts = append(parts, attribute.text)
		}
	}
	return strings.Join(parts, "; ")
}
