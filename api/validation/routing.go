package validation

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/mesh/capability"
)

const (
	fieldAnalysisMatch = "spec.analysis.match"
	fieldServiceMatch  = "spec.service.match"
	fieldMirror        = "spec.analysis.mirror"
)

// matches denies conditions that the provider cannot express: dropped, they would match every request.
func (r *review) matches() {
	if !r.known || !r.can.Splits {
		return
	}
	r.analysisMatches()
	r.serviceMatches()
}

func (r *review) analysisMatches() {
	a := &r.canary.Spec.Analysis
	if len(a.Match) == 0 {
		return
	}
	can := r.can.AnalysisMatch
	if can.None() {
		r.deny(fieldAnalysisMatch, nil, "cannot be expressed by provider %s; remove it", r.can.Name)
		return
	}
	headers := 0
	for i, m := range a.Match {
		path := fmt.Sprintf("%s[%d]", fieldAnalysisMatch, i)
		if cookie, named := cookieIn(m); can.Cookie && named {
			r.cookie(path, cookie, len(m.Headers))
		} else {
			headers += len(m.Headers)
		}
		r.stringMatches(path+".headers", m.Headers, can.Headers, true)
		r.stringMatches(path+".queryParams", m.QueryParams, can.QueryParams, true)
		if len(m.SourceLabels) > 0 && !can.SourceLabels {
			r.deny(path+".sourceLabels", nil, "cannot be expressed by provider %s; match headers instead", r.can.Name)
		}
		if len(m.Headers)+len(m.QueryParams)+len(m.SourceLabels) == 0 {
			r.deny(path, nil, "has no condition, so it would match every request; add headers or remove it")
		}
	}
	r.matchCount(headers)
	if a.Iterations == 0 {
		r.matchBySteps()
	}
}

// matchBySteps judges conditions of a rollout by weights.
func (r *review) matchBySteps() {
	switch {
	case r.can.AnalysisMatch.Together:
		r.deny(fieldAnalysisMatch, nil, "without iterations asks to share out matching requests by weight, which provider %s cannot express; "+
			"set iterations for A/B testing, or remove match", r.can.Name)
	default:
		r.warn(fieldAnalysisMatch, nil, "without iterations limits the weighted steps to matching requests; "+
			"set iterations for A/B testing")
	}
}

// cookie denies what a provider that knows cookies by name cannot express of one: another way to compare it, and conditions beside it that must hold, too.
func (r *review) cookie(path string, m v1beta1.StringMatch, headers int) {
	if m.Exact == "" {
		r.deny(path+".headers.cookie", nil, "must name a cookie with provider %s, which compares its value with always; set exact to its name", r.can.Name)
	}
	if headers > 1 {
		r.deny(path+".headers", nil, "has %d headers beside a cookie; with provider %s each goes into an entry of its own, of which one is enough",
			headers-1, r.can.Name)
	}
}

// matchCount denies more conditions of an analysis than the provider has room for.
func (r *review) matchCount(headers int) {
	a, can := &r.canary.Spec.Analysis, r.can.AnalysisMatch
	if can.MaxHeaders > 0 && headers > can.MaxHeaders {
		r.deny(fieldAnalysisMatch, nil, "has %d headers; provider %s can express %d", headers, r.can.Name, can.MaxHeaders)
	}
	if cookies := cookieEntries(a.Match); can.Cookie && cookies > 1 {
		r.deny(fieldAnalysisMatch, nil, "has %d cookies; provider %s can express 1", cookies, r.can.Name)
	}
	if can.MaxEntries > 0 && len(a.Match) > can.MaxEntries {
		r.deny(fieldAnalysisMatch, nil, "has %d entries; provider %s can express %d, with several headers", len(a.Match), r.can.Name, can.MaxEntries)
	}
	if n := len(a.Match) * max(1, len(r.canary.Spec.Service.Match)); can.MaxCombined > 0 && n > can.MaxCombined {
		r.deny(fieldAnalysisMatch, nil, "comes to %d combinations with service.match; provider %s can express %d", n, r.can.Name, can.MaxCombined)
	}
}

// cookieIn returns the condition of an entry on the header cookie.
func cookieIn(m v1beta1.AnalysisMatch) (v1beta1.StringMatch, bool) {
	for name, condition := range m.Headers {
		if strings.EqualFold(name, "cookie") {
			return condition, true
		}
	}
	return v1beta1.StringMatch{}, false
}

// cookieEntries counts the entries about a cookie.
func cookieEntries(entries []v1beta1.AnalysisMatch) int {
	n := 0
	for _, m := range entries {
		if _, named := cookieIn(m); named {
			n++
		}
	}
	return n
}

func (r *review) serviceMatches() {
	matches := r.canary.Spec.Service.Match
	if len(matches) == 0 {
		return
	}
	can := r.can.ServiceMatch
	if can.None() {
		r.warn(fieldServiceMatch, nil, "has no effect with provider %s; remove it", r.can.Name)
		return
	}
	for i, m := range matches {
		path := fmt.Sprintf("%s[%d]", fieldServiceMatch, i)
		r.single(path+".uri", m.URI, can.URI)
		r.single(path+".method", m.Method, can.Method)
		r.stringMatches(path+".headers", m.Headers, can.Headers, false)
		r.stringMatches(path+".queryParams", m.QueryParams, can.QueryParams, false)
		for _, field := range ignored(m, can) {
			r.warn(path+"."+field, nil, "has no effect with provider %s; remove it", r.can.Name)
		}
	}
	if can.MaxEntries > 0 && len(matches) > can.MaxEntries {
		r.warn(fieldServiceMatch, nil, "has %d entries; provider %s uses the first %d", len(matches), r.can.Name, can.MaxEntries)
	}
}

// ignored lists the fields of a match that are set and have no counterpart at the provider.
func ignored(m v1beta1.HTTPMatch, can capability.Match) []string {
	var out []string
	for _, f := range []struct {
		name     string
		set, can bool
	}{
		{"scheme", m.Scheme != nil, can.Scheme != 0},
		{"authority", m.Authority != nil, can.Authority != 0},
		{"sourceLabels", len(m.SourceLabels) > 0, can.SourceLabels},
		{"withoutHeaders", len(m.WithoutHeaders) > 0, can.Other},
		{"ignoreUriCase", m.IgnoreURICase, can.Other},
		{"port", m.Port != 0, can.Other},
		{"gateways", len(m.Gateways) > 0, can.Other},
		{"sourceNamespace", m.SourceNamespace != "", can.Other},
	} {
		if f.set && !f.can {
			out = append(out, f.name)
		}
	}
	return out
}

func (r *review) single(field string, m *v1beta1.StringMatch, can capability.Modes) {
	if m != nil {
		r.stringMatches(field, map[string]v1beta1.StringMatch{"": *m}, can, false)
	}
}

// stringMatches denies comparisons outside the provider's modes, and such as say nothing where they must.
func (r *review) stringMatches(field string, ms map[string]v1beta1.StringMatch, can capability.Modes, mustSay bool) {
	for _, key := range slices.Sorted(maps.Keys(ms)) {
		path := field
		if key != "" {
			path += "." + key
		}
		mode, name := modeOf(ms[key])
		switch {
		case mode == 0 && mustSay:
			r.deny(path, nil, "has no condition; set one of %s", can)
		case mode != 0 && !can.Has(mode):
			r.deny(path+"."+name, nil, "cannot be expressed by provider %s; it can compare by: %s", r.can.Name, can)
		}
	}
}

func modeOf(m v1beta1.StringMatch) (capability.Modes, string) {
	switch {
	case m.Exact != "":
		return capability.Exact, "exact"
	case m.Prefix != "":
		return capability.Prefix, "prefix"
	case m.Suffix != "":
		return capability.Suffix, "suffix"
	case m.Regex != "":
		return capability.Regex, "regex"
	}
	return 0, ""
}

// mirroring denies traffic shadowing where it cannot happen: the rollout would wait for it forever.
func (r *review) mirroring() {
	a := &r.canary.Spec.Analysis
	if !r.known || !a.Mirror {
		return
	}
	switch a.Strategy(r.can.Splits) {
	case v1beta1.StrategyABTesting:
		r.deny(fieldMirror, true, "contradicts A/B testing; remove mirror or match")
	case v1beta1.StrategyBlueGreen:
		r.mirroringBy("blue/green", r.can.Strategies.MirrorBlueGreen, r.can.Available.MirrorBlueGreen)
	default:
		r.mirroringBy("weighted steps", r.can.Strategies.MirrorCanary, r.can.Available.MirrorCanary)
	}
}

// mirroringBy denies traffic shadowing by a strategy: can tells whether the provider is able to, have whether it is there in this version.
func (r *review) mirroringBy(how string, can, have bool) {
	switch {
	case !can && r.can.Strategies.MirrorBlueGreen:
		r.deny(fieldMirror, true, "is not possible with %s on provider %s; remove it, or use iterations for blue/green", how, r.can.Name)
	case !can:
		r.deny(fieldMirror, true, "is not possible with %s on provider %s; remove it", how, r.can.Name)
	case !have:
		r.deny(fieldMirror, true, "is not available with provider %s in this version; remove it", r.can.Name)
	case r.can.OptionalMirror:
		r.mirroringGateways()
	}
}

// mirroringGateways denies traffic shadowing to gateways that say that they copy no requests, and warns where none has said so.
func (r *review) mirroringGateways() {
	if unable := r.opts.Facts.NoMirror; len(unable) > 0 {
		r.deny(fieldMirror, true, "is not possible with %s, which copies no requests (HTTPRouteRequestMirror is not among the supportedFeatures of its class); "+
			"remove it, or use another gateway", strings.Join(unable, ", "))
		return
	}
	r.warn(fieldMirror, true, "needs a gateway that can copy requests (RequestMirror); one that cannot may fail them all, "+
		"so try service.mirror on a route of your own first")
}

// sessionAffinity denies cookies that the provider cannot set, or that contradict each other or the strategy.
func (r *review) sessionAffinity() {
	const field = "spec.analysis.sessionAffinity"
	a := &r.canary.Spec.Analysis
	s := a.SessionAffinity
	if s == nil {
		return
	}
	switch s.CookieName {
	case "":
		r.deny(field+".cookieName", nil, "is required; name the cookie of users on the canary")
	case s.PrimaryCookieName:
		r.deny(field+".primaryCookieName", s.PrimaryCookieName, "equals cookieName; use two names")
	}
	if !r.known {
		return
	}
	strategy := a.Strategy(r.can.Splits)
	switch {
	case !r.can.Strategies.SessionAffinity:
		r.deny(field, nil, "is not possible with provider %s; remove it", r.can.Name)
	case strategy != v1beta1.StrategyCanary:
		r.deny(field, nil, "needs weighted steps, not %s; remove it or use stepWeight", words(strategy))
	case !r.can.Available.SessionAffinity:
		r.deny(field, nil, "is not available with provider %s in this version; remove it", r.can.Name)
	case s.PrimaryCookieName != "" && !r.can.Strategies.PrimaryCookie:
		r.deny(field+".primaryCookieName", s.PrimaryCookieName, "is not possible with provider %s; remove it", r.can.Name)
	}
}
