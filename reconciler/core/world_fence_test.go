package core

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// This file is the part of the model that knows of a config: pods read it at their start and, where it is mounted, some time after it changed.
// Admission fences the route before it lets a change through, which lands a little later, or never.

// never is the delay of a change that is refused after admission.
const never = time.Duration(-1)

type configs struct {
	// config is the content of the one config that the target references; "" is what it was at first.
	config  string
	mounted bool
	// stamps are what admission recorded on the target and the config.
	stamps   map[string]v1beta1.Admitted
	landings []landing
	// fences counts the fences ever written, conflict tells that the route was written meanwhile.
	fences   int
	conflict bool
	// known is when the last change of the content became known: when admission had fenced the route for it, or when it landed. short is when the
	// primary last lacked capacity.
	known time.Time
	short time.Time
}

type landing struct {
	at      time.Time
	content string
	fenced  time.Time
	seen    bool
}

func join(template, config string) string {
	if config == "" {
		return template
	}
	return template + "+" + config
}

func templateIn(digest string) string {
	template, _, _ := strings.Cut(digest, "+")
	return template
}

func revisionOf(digest string, replicas int) *Revision {
	template, config, _ := strings.Cut(digest, "+")
	return &Revision{Digest: digest, Template: template, Replicas: int32(replicas), Configs: map[string]string{page: config}}
}

const page = "configmap/page"

// stamp is what admission records of a change that it sees.
func (w *world) stamp(part, by, digest string, seen bool) {
	if seen {
		w.stamps = maps.Clone(w.stamps)
		if w.stamps == nil {
			w.stamps = map[string]v1beta1.Admitted{}
		}
		w.stamps[part] = v1beta1.Admitted{By: by, Digest: digest}
	}
}

func (w *world) liveDigest() string { return join(w.target.template, w.config) }

// changeConfig is a user's change of the config, stored after a delay.
func (w *world) changeConfig(content string, delay time.Duration) {
	var fenced time.Time
	if w.webhook && w.weighted && NeedsHold(w.canary, w.now) && len(w.routes) > 0 {
		w.fenceRoute(page)
		fenced = w.now
	}
	if delay == never {
		w.logf("user: changes the config to %q, which is refused", content)
		return
	}
	w.logf("user: changes the config to %q", content)
	w.landings = append(w.landings, landing{at: w.now.Add(delay), content: content, fenced: fenced, seen: w.webhook})
	w.dirty = true
}

// fenceRoute is what the router does for admission.
func (w *world) fenceRoute(cause string) {
	last := w.routes[len(w.routes)-1]
	next := split{at: w.now, Split: onPrimary(), viaApex: last.viaApex, fence: &v1beta1.Fence{Cause: cause, At: metav1.NewMicroTime(w.now)}}
	if FenceKeepsSplit(w.canary) {
		next.Split = last.Split
	}
	if next.Split == last.Split {
		w.routes[len(w.routes)-1].fence = next.fence
	} else {
		w.routes = append(w.routes, next)
	}
	w.fences++
	w.logf("admission: fences the route, %d/%d", next.Primary, next.Canary)
	w.dirty = true
}

// routeVersion is a new one with each split and each fence.
func (w *world) routeVersion() string {
	if len(w.routes) == 0 {
		return ""
	}
	return fmt.Sprint(len(w.routes), w.fences, w.routes[len(w.routes)-1].fence != nil)
}

// moveConfigs lets changes land, and pods read them.
func (w *world) moveConfigs() {
	for _, l := range w.landings {
		if l.at.After(w.now) || l.content == w.config {
			continue
		}
		w.config, w.known, w.dirty = l.content, l.fenced, true
		if l.fenced.IsZero() {
			w.known = w.now
		}
		w.stamp(page, "bob", l.content, l.seen)
		w.logf("the config is %q", l.content)
		for i := range w.target.pods {
			if w.mounted {
				w.target.pods[i].syncAt = w.now
			}
		}
	}
	w.landings = slices.DeleteFunc(w.landings, func(l landing) bool { return !l.at.After(w.now) })
	for i := range w.target.pods {
		if p := &w.target.pods[i]; !p.syncAt.IsZero() && !p.syncAt.After(w.now) {
			p.config, p.syncAt = w.config, time.Time{}
		}
	}
	if !w.primary.exists || w.ready(&w.primary, "") < w.primary.replicas {
		w.short = w.now
	}
}

// reaction is how long the data plane, and a controller that was not told beforehand, take to get users off the canary.
const reaction = routeLag + 5*tick

// excused tells that a split is beyond the reach of the promise on contents: from before the change, as the data plane follows, or while the primary
// cannot take the users, which a failing primary and a promotion allow.
func (w *world) excused(s split) bool {
	if w.now.Sub(w.short) <= reaction {
		return true
	}
	if FenceKeepsSplit(w.canary) {
		return true
	}
	return !s.at.After(w.known) && w.now.Sub(w.known) <= reaction
}

// checkContent holds that a pod with users has read what the rollout analyses, or what was promoted.
func (w *world) checkContent(s split, p pod) {
	ro, content := w.canary.Status.Rollout, join(p.revision, p.config)
	if ro == nil || content == ro.Revision || content == w.promoted || w.excused(s) {
		return
	}
	if p.config == "" && !w.everChanged() {
		return
	}
	// What the rollout left behind is still reached by old weights until these are drained.
	if s.at != w.routes[len(w.routes)-1].at {
		return
	}
	w.violate("P1: users at weight %d are served by %s while %s is analysed in %s", s.Canary, content, ro.Revision, ro.Stage)
}

func (w *world) everChanged() bool { return !w.known.IsZero() }
