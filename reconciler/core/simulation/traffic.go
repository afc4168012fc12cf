package simulation

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// This file models the traffic provider, the Services and their endpoints.

const (
	// acceptTime is how long a provider takes to accept a route, drainTime what it needs for the data plane to follow, at most.
	acceptTime = 300 * time.Millisecond
	drainTime  = 2 * time.Second
	// endpointLag is how long endpoints take to follow pods.
	endpointLag = 20 * time.Millisecond
)

// split is how requests are shared out since a moment.
type split struct {
	core.Split
	viaApex bool
	at      moment
}

func (s split) same(o split) bool { return s.Split == o.Split && s.viaApex == o.viaApex }

// sends tells whether users reach the canary by the split.
func (s split) sends() bool { return s.Canary > 0 && !s.viaApex }

// others tells whether users reach the primary by the split.
func (s split) others() bool { return !s.viaApex && (s.Canary < 100 || s.Matched) }

// String is how stories call a split.
func (s split) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d/%d", s.Primary, s.Canary)
	for _, more := range []struct {
		is   bool
		text string
	}{
		{s.Matched, " of those who match"},
		{s.Mirror > 0, fmt.Sprintf(", %d%% copied to the canary", s.Mirror)},
		{s.Cookie != "", ", users of the canary are kept by " + s.Cookie},
		{s.PrimaryCookie != "", ", those of the primary by " + s.PrimaryCookie},
		{s.Revoked != "", ", nobody by " + s.Revoked},
	} {
		if more.is {
			text.WriteString(more.text)
		}
	}
	return text.String()
}

// onPrimary is the split between rollouts.
func onPrimary() split { return split{Split: core.Split{Primary: 100}} }

// route is the provider's object.
type route struct {
	exists   bool
	split    split
	accepted bool
	problem  bool
	fence    *v1beta1.Fence
	// generation counts splits, fences all fences ever put there.
	generation, fences int
}

// version is that of what a decision about weights is based on.
func (r route) version() string {
	if !r.exists {
		return ""
	}
	b := strconv.AppendInt(make([]byte, 0, 16), int64(r.generation), 10)
	b = strconv.AppendInt(append(b, '.'), int64(r.fences), 10)
	return string(strconv.AppendBool(append(b, '.'), r.fence != nil))
}

type services struct {
	primary, canary, apex bool
	// side is whose pods the apex Service selects, pin the hash that the canary Service selects besides; -1 for none.
	side core.Side
	pin  int8
	// apexPin is the hash that the apex Service selects besides; -1 for none.
	apexPin int8
}

const unpinned = int8(-1)

// with is the Services as a plan asks for them.
func (s services) with(asked *core.ServicesIntent) services {
	if !s.apex {
		s.side = sidePrimary
	}
	if asked.Apex != core.SideUnknown {
		s.side = asked.Apex
	}
	s.apex, s.apexPin = true, pinned(asked.ApexPin)
	if asked.Apex != sideTarget || asked.Both {
		s.primary, s.canary, s.pin = true, true, pinned(asked.Pin)
	}
	return s
}

// pinned is the template with a hash, or none for an empty one.
func pinned(hash string) int8 {
	if hash == "" {
		return unpinned
	}
	r, _ := parse(hash)
	return r.template
}

// endpoints are the ready pods behind the Services.
type endpoints struct {
	primary, apexPrimary, apexTarget int8
	canary                           [templates]int8
	pin                              int8
	// primaryBy and targetBy are what the endpoints of Services were listed by, where the target is one.
	primaryBy, targetBy int8
}

// traffic is the part of the world that users meet.
type traffic struct {
	route     object[route]
	services  object[services]
	endpoints object[endpoints]
	// splits are those by which requests may arrive now, the newest last.
	splits []split
	// acceptAt is when the provider accepts the newest split, followAt when the data plane has followed it.
	acceptAt, followAt, endpointsAt moment
	// awayUntil is when a gateway answers again.
	awayUntil moment
}

// moved has endpoints follow pods and Services.
func (w *World) moved() {
	w.endpointsAt = min(w.endpointsAt, w.now+endpointLag)
	if w.strategy.service {
		w.follow()
	}
}

// direct is a new split, from whomever: the provider accepts it later.
func (w *World) direct(s split) {
	s.at = w.now
	w.splits = append(w.splits, s)
	w.acceptAt = max(w.now, w.awayUntil) + acceptTime + w.slow(diceRoute, 12, 6*time.Second)
	w.followAt = never
	switch {
	case !w.telling():
	case s.viaApex:
		w.say("route: to the apex Service")
	default:
		w.say("route: %s", s)
	}
}

// flow moves routes and endpoints on.
func (w *World) flow() {
	if w.acceptAt <= w.now {
		w.acceptAt = never
		if r := w.route.real; r.exists {
			r.accepted, r.problem = true, false
			set(w, kindRoute, &w.route, r)
		}
		// A data plane that follows already is not held up by an acceptance that is repeated.
		w.followAt = min(w.followAt, w.now+time.Duration(w.dice.roll(diceRoute, int(drainTime/time.Millisecond)))*time.Millisecond)
	}
	if w.followAt <= w.now {
		w.followAt = never
		w.splits = append(w.splits[:0], *w.newest())
	}
	if w.endpointsAt <= w.now {
		w.endpointsAt = never
		if w.strategy.service {
			w.relist()
		}
		set(w, kindEndpoints, &w.endpoints, w.countEndpoints())
	}
}

// countEndpoints looks which pods are ready behind which Service.
func (w *World) countEndpoints() endpoints {
	if w.strategy.service {
		return w.countCopies()
	}
	s := &w.services.real
	e := endpoints{pin: s.pin}
	if s.primary {
		e.primary = w.primary.ready(w.now, nil)
	}
	if s.apex && s.side == core.SidePrimary {
		e.apexPrimary = w.primary.ready(w.now, nil)
	}
	if s.apex && s.side == core.SideTarget {
		e.apexTarget = w.found(&w.target)
	}
	for i := range w.target.pods {
		if p := &w.target.pods[i]; w.reached(p) {
			e.canary[p.spec.template]++
		}
	}
	return e
}

// gatewayAway has nobody answer for routes for a while.
func (w *World) gatewayAway(d time.Duration) {
	w.awayUntil = w.now + d
	if w.acceptAt != never {
		w.acceptAt = max(w.acceptAt, w.awayUntil+acceptTime)
	}
	if r := w.route.real; r.exists {
		r.accepted, r.problem = false, true
		set(w, kindRoute, &w.route, r)
		w.acceptAt = w.awayUntil + acceptTime
		// What the data plane does meanwhile is what it did.
	}
}

// observedRoute is the route as the core is told of it.
func (w *World) observedRoute() core.Route {
	r := &w.route.seen
	if !r.exists {
		return core.Route{}
	}
	o := core.Route{
		Exists: true, Split: r.split.Split, ViaApex: r.split.viaApex, Accepted: r.accepted, Fence: r.fence,
		Version: r.version(),
	}
	if r.problem {
		o.Problem = "no gateway has answered"
	}
	return o
}

// observedServices are the Services and endpoints as the core is told of them; hash is that of the rollout's pods.
func (w *World) observedServices(hash string) core.Services {
	s, e := &w.services.seen, &w.endpoints.seen
	o := core.Services{
		Ready: s.primary && s.canary, Apex: s.side, PrimaryReady: int32(e.primary), ApexReady: int32(e.apexPrimary), ApexOther: int32(e.apexTarget),
	}
	if !s.apex {
		o.Apex = core.SideUnknown
	}
	if s.pin != unpinned && s.canary {
		o.PinnedHash = revision{template: s.pin}.hash()
	}
	want, known := parse(hash)
	for t, n := range e.canary {
		// A DaemonSet's pods are told apart by what the Service that lists them selects.
		if known && int8(t) == want.template && (!w.target.daemonSet || e.pin == want.template) {
			o.CanaryReady += int32(n)
		} else {
			o.CanaryOther += int32(n)
		}
	}
	return o
}
