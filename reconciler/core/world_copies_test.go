package core

import (
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// This file is the part of the model that plays a target which is a Service: two copies of it, each as of a revision, whose endpoints follow a little
// later. The pods are there whatever Sluice does.

// endpointLag is how long the endpoints of a Service take to follow it.
const endpointLag = 300 * time.Millisecond

// leads is where a Service leads to.
type leads struct {
	// to is what its spec says; listed is the revision of the endpoints, which follow at.
	to, listed string
	at         time.Time
}

type copies struct {
	target, primary, canary leads
	// ends counts the ready endpoints of revisions that have not two.
	ends map[string]int32
}

// newServiceWorld is a world whose target is a Service. No admission looks at it.
func newServiceWorld(spec v1beta1.CanarySpec) *world {
	w := newWorld(spec)
	w.canary.Spec.TargetRef = v1beta1.LocalObjectReference{APIVersion: "v1", Kind: "Service", Name: "app"}
	w.webhook, w.copies = false, &copies{ends: map[string]int32{}}
	w.target.replicas, w.target.pods = 0, nil
	w.moveCopies()
	return w
}

// ready counts the endpoints behind a Service.
func (c *copies) ready(l leads) int32 {
	if l.listed == "" {
		return 0
	}
	if n, set := c.ends[l.listed]; set {
		return n
	}
	return 2
}

// moveCopies lets the endpoints follow.
func (w *world) moveCopies() {
	if w.copies == nil {
		return
	}
	canary := w.pin
	if canary == "" {
		canary = w.primary.template
	}
	for _, s := range []struct {
		at *leads
		to string
	}{{&w.copies.target, w.target.template}, {&w.copies.primary, w.primary.template}, {&w.copies.canary, canary}} {
		if s.at.to != s.to {
			s.at.to, s.at.at = s.to, w.now.Add(endpointLag)
		}
		if s.at.listed != s.at.to && !w.now.Before(s.at.at) {
			s.at.listed, w.dirty = s.at.to, true
		}
	}
}

// observeCopies is the gathering.
func (w *world) observeCopies(in *Observed) {
	c := w.copies
	if c == nil {
		return
	}
	in.Target = Workload{Exists: w.target.exists, Current: true, Template: w.target.template}
	in.Primary = Workload{Exists: w.primary.exists, Current: true, Revision: w.primary.template, Replicas: 1}
	if n := min(1, c.ready(c.primary)); c.primary.listed == w.primary.template {
		in.Primary.Total, in.Primary.Updated, in.Primary.Available = n, n, n
	} else {
		in.Primary.Total = n
	}
	in.LivePodHash = ""
	ro := w.canary.Status.Rollout
	if ro != nil && ro.Stage == v1beta1.StageScalingUp {
		in.LivePodHash = w.liveDigest()
	}
	in.Services = Services{Ready: w.primary.exists, PinnedHash: w.pin, PrimaryReady: c.ready(c.primary)}
	if w.pin != "" && c.canary.listed == w.pin {
		in.Services.CanaryReady = c.ready(c.canary)
	} else {
		in.Services.CanaryOther = c.ready(c.canary)
	}
	if c.target.listed == c.primary.listed {
		in.Services.ApexReady = c.ready(c.target)
	} else {
		in.Services.ApexOther = c.ready(c.target)
	}
}

// checkCopies holds the promises: nobody gets to a revision by the canary's Service but at the first step, nobody by the primary's before its promotion,
// and nobody is sent where there is nothing.
func (w *world) checkCopies() {
	c := w.copies
	if c == nil {
		return
	}
	for _, s := range w.served() {
		for _, by := range []struct {
			what   string
			at     leads
			weight int
		}{{"primary", c.primary, 100 - s.Canary}, {"canary", c.canary, s.Canary}} {
			if s.viaApex || by.weight == 0 {
				continue
			}
			if w.strict && c.ready(by.at) == 0 {
				w.violate("P3: users at the %s find no endpoint", by.what)
			}
			if _, seen := w.first[by.at.listed]; seen || by.at.listed == "" || by.at.listed == "v1" {
				continue
			}
			w.first[by.at.listed] = by.weight
			if first := w.firstWeight(); by.what == "primary" || by.weight != first {
				w.violate("P1: revision %s gets its first users at the %s with weight %d", by.at.listed, by.what, by.weight)
			}
		}
		if s.viaApex && c.target.listed != w.promoted {
			w.violate("P4: users are left with %s, the last good revision is %s", c.target.listed, w.promoted)
		}
	}
}
