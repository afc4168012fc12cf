package core

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Split says which requests reach which side. It is comparable: two equal splits send everybody to the same side.
type Split struct {
	// Primary and Canary are shares of the users' requests, in per cent; they sum to 100.
	Primary, Canary int
	// Matched tells that the shares are those of the requests that meet spec.analysis.match; all others go to the primary.
	Matched bool
	// Mirror is the share of requests that are copied to the canary, 0 to 100 per cent. Nobody gets the answers to the copies.
	Mirror int
	// Cookie, as name=value, is given to whom the canary answers and keeps them there; PrimaryCookie does the same for the primary. Empty for
	// none.
	Cookie, PrimaryCookie string
	// Revoked is the cookie of a canary that is no longer to keep anybody: who brings it is sent like everybody else and told to forget it.
	// Never set beside Cookie.
	Revoked string
}

// onPrimary is the split that sends everybody to the primary.
func onPrimary() Split { return Split{Primary: 100} }

// split is the one that status says is in force.
func (d *decision) split() Split {
	st := d.st
	s := Split{
		Primary: 100 - int(st.CanaryWeight), Canary: int(st.CanaryWeight), Matched: st.CanaryMatched, Mirror: int(st.MirrorWeight),
		Cookie: st.SessionAffinityCookie, PrimaryCookie: st.PrimarySessionAffinityCookie,
	}
	if s.Cookie == "" {
		s.Revoked = st.PreviousSessionAffinityCookie
	}
	return s
}

// putStep puts in force what a step asks for. Users whom the canary answers are given a cookie, where the Canary wants one: this is the only place
// that issues cookies, and status has them before any route does. A step with fewer users than are on the canary, after an edit of the analysis, gives
// the primary no more than its ready pods can take.
func (d *decision) putStep(s step) {
	d.issueCookies(s)
	d.put(max(s.weight, d.returnWeight()), s.match, s.mirror)
}

// putInForce gives the canary a share of those users who may reach it at all, and no copies.
func (d *decision) putInForce(weight int32) { d.put(weight, d.st.CanaryMatched, 0) }

// keepSplit plans the split that is in force already.
func (d *decision) keepSplit() { d.put(d.st.CanaryWeight, d.st.CanaryMatched, d.st.MirrorWeight) }

// takeBack takes users off the canary as fast as the primary's ready pods allow. Nobody stays by cookie.
func (d *decision) takeBack() {
	d.revokeCookies()
	d.putInForce(d.returnWeight())
}

// put plans a split and notes in status that it is the one in force. A new one is not converged. Behind a fence the share is what the primary
// cannot take, at most, whoever asks for more.
func (d *decision) put(weight int32, matched bool, mirror int32) {
	before := d.split()
	if d.fence {
		weight, mirror = min(weight, d.returnWeight()), 0
		d.revokeCookies()
	}
	if matched {
		weight, mirror = d.ofMatching(weight, mirror)
	}
	if weight == 0 {
		d.revokeCookies()
	}
	d.dropCookies()
	d.st.CanaryWeight, d.st.MirrorWeight = weight, mirror
	d.st.CanaryMatched = matched && weight+mirror > 0
	after := d.split()
	if before != after && d.ro() != nil {
		d.ro().ConvergedAt = nil
	}
	if d.in.Traffic.Weighted {
		d.plan.Route = &RouteIntent{Split: after, KeepFence: d.fence, Version: d.in.Route.Version}
		if d.home() {
			d.plan.Route.Split, d.plan.Route.ViaApex = onPrimary(), true
		}
	}
}

// ofMatching is a split of those who match as the provider can make it.
func (d *decision) ofMatching(weight, mirror int32) (ofWeight, ofMirror int32) {
	switch {
	case len(d.spec.Analysis.Match) == 0:
		// The condition was taken out of the Canary. Without it everybody would be meant.
		return 0, 0
	case weight > 0 && d.in.Traffic.MatchesTogether:
		// They stay until the primary can take all of them.
		return 100, mirror
	default:
		return weight, mirror
	}
}

// affinity is the session affinity that the Canary asks for; nil without one. It needs weighted steps: elsewhere a condition, or nothing, decides
// who reaches the canary.
func (d *decision) affinity() *v1beta1.SessionAffinity {
	a := &d.spec.Analysis
	if !d.in.Traffic.Cookies || a.Strategy(d.in.Traffic.Weighted) != v1beta1.StrategyCanary {
		return nil
	}
	return a.SessionAffinity
}

// issueCookies gives the rollout the cookies that a step with users needs and that it does not have.
func (d *decision) issueCookies(s step) {
	a := d.affinity()
	if a == nil || a.CookieName == "" || s.weight == 0 {
		return
	}
	if !named(d.st.SessionAffinityCookie, a.CookieName) {
		d.st.SessionAffinityCookie = d.cookie(a.CookieName)
	}
	if a.PrimaryCookieName != "" && !named(d.st.PrimarySessionAffinityCookie, a.PrimaryCookieName) {
		d.st.PrimarySessionAffinityCookie = d.cookie(a.PrimaryCookieName)
	}
}

// revokeCookies ends the stay of users by cookie.
func (d *decision) revokeCookies() {
	if d.st.SessionAffinityCookie != "" {
		d.st.PreviousSessionAffinityCookie = d.st.SessionAffinityCookie
	}
	d.st.SessionAffinityCookie, d.st.PrimarySessionAffinityCookie = "", ""
}

// dropCookies forgets cookies that the Canary does not ask for any more, and such as bear another name than it says now.
func (d *decision) dropCookies() {
	a := d.affinity()
	if a == nil {
		a = &v1beta1.SessionAffinity{}
	}
	drop := func(cookie *string, name string) {
		if !named(*cookie, name) {
			*cookie = ""
		}
	}
	drop(&d.st.SessionAffinityCookie, a.CookieName)
	drop(&d.st.PreviousSessionAffinityCookie, a.CookieName)
	drop(&d.st.PrimarySessionAffinityCookie, a.PrimaryCookieName)
}

// named tells whether a cookie, as name=value, bears a name.
func named(cookie, name string) bool { return name != "" && strings.HasPrefix(cookie, name+"=") }

// cookieLetters is how many letters the value of a cookie has.
const cookieLetters = 10

// cookie makes a cookie whose value follows from the rollout and its round: deciding again gives the same one, another round another.
func (d *decision) cookie(name string) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%s/%d/%s", d.in.Canary.Namespace, d.in.Canary.Name, d.ro().ID, d.ro().Attempt, name))
	value := make([]byte, cookieLetters)
	for i := range value {
		value[i] = letters[int(sum[i])%len(letters)]
	}
	return name + "=" + string(value)
}
