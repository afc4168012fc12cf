package simulation

import (
	"fmt"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Promise names what is held.
type Promise string

// The promises. Livelock stands for decisions that never come to rest.
const (
	promiseUsers    Promise = "P1"
	promiseAnalysed Promise = "P2"
	promiseTraffic  Promise = "P3"
	promiseRestore  Promise = "P4"
	promiseChanges  Promise = "P5"
	promiseHealthy  Promise = "P7"
	promiseLivelock Promise = "livelock"
)

// Violation is a promise that was broken.
type Violation struct {
	Promise Promise
	Text    string
}

func (v Violation) String() string { return string(v.Promise) + ": " + v.Text }

// books are what the model keeps to hold the promises, apart from the core's word.
type books struct {
	violations []Violation
	evidence
	operators
	// trusted are the revisions that may serve as primary, as bits.
	trusted uint32
	// strays are the templates, as bits, that a held DaemonSet has started pods of before anybody knew by what to tell those that are to serve.
	strays uint16
	// changes counts users' changes of the live revision, seenLive are the revisions that it has been, as bits.
	changes  int
	seenLive uint32
	// failed is the revision that failed last, after how many changes.
	failed       revision
	failedAfter  int
	failedBefore bool
	// blindAt is when the controller last could not see what is, or was away.
	blindAt moment
	blinded bool
	// unseenAt is when the target last was something that the controller's cache did not show.
	unseenAt moment
	// configAt is when the content last changed, fenced whether admission had taken users off the canary before.
	configAt     moment
	configFenced bool
	// shortAt is when the primary last lacked capacity, hurtAt when somebody last took capacity away that the controller had counted on.
	shortAt, hurtAt moment
	// hurting tells that what was taken away is still missed.
	hurting bool
	// quiet tells that the noise has stopped.
	quiet bool
	// idleReplicas tells that a user has scaled the target, which is reported and not fought.
	idleReplicas bool
	handedBack   bool
	// everRescued tells that a primary was ever used for an analysis; aloneAt is when last nobody but a primary under analysis was there to serve.
	everRescued bool
	aloneAt     moment
	// asAsked tells that a user has changed the target after deleting the Canary.
	asAsked bool
}

func newBooks() books {
	return books{seenLive: revision{}.bit(), hurtAt: -hurtTime, shortAt: -hurtTime, blindAt: -hurtTime, unseenAt: -reaction, configAt: -hurtTime}
}

const (
	// reaction is how long the data plane, and a controller that was not told beforehand, may take to get users off the canary.
	reaction = drainTime + acceptTime + 2*time.Second
	// restoring is how long a primary may take to be given back what it ran.
	restoring = time.Minute
	// hurtTime is how long a loss of capacity may be felt after it was made good.
	hurtTime = 3 * time.Second
)

func (w *World) violate(p Promise, format string, args ...any) {
	v := Violation{p, fmt.Sprintf(format, args...)}
	w.violations = append(w.violations, v)
	w.say("VIOLATION %s", v)
}

// userChanged notes that the live revision is another one.
func (w *World) userChanged() {
	w.changes++
	w.seenLive |= w.live().bit()
}

// unheld notes a change that nobody held back: the pods that users were sent to may go.
func (w *World) unheld() { w.hurtAt = w.now }

// hurtLately tells whether a loss of capacity may still be felt.
func (w *World) hurtLately() bool { return w.now-w.hurtAt <= hurtTime }

func (w *World) configKnown(fenced moment) {
	w.configFenced = fenced >= 0
	if w.configAt = w.now; w.configFenced {
		w.configAt = fenced
	}
}

// blind tells that the controller cannot know what is.
func (w *World) blind() bool {
	return !w.alive() || w.config.due != never || w.route.due != never || w.canary.due != never || w.target.due != never || w.endpoints.due != never ||
		w.unreadableUntil > w.now || w.lostUntil > w.now || w.untold
}

// carryOver extends what lasts from one event to the next.
func (w *World) carryOver() {
	if w.hurting {
		w.hurtAt = w.now
	}
	if w.blinded {
		w.blindAt = w.now
	}
	if w.target.due != never {
		w.unseenAt = w.now
	}
}

// hold holds the promises against the world as it is.
func (w *World) hold() {
	if w.canary.real.gone {
		return
	}
	if p := w.serving(); !p.real.exists || int8(len(p.pods)) < p.real.replicas || w.found(p) < p.real.replicas {
		w.shortAt = w.now
	}
	w.blinded = w.blind()
	w.hurting = w.hurtLately() && w.missed()
	if w.everRescued && w.canaryPods() == 0 {
		w.aloneAt = w.now
	}
	for i := range w.splits {
		s := &w.splits[i]
		w.holdCapacity(s)
		w.holdLoad(s)
		if s.sends() {
			w.holdContent(s)
		}
		if s.others() {
			w.holdPrimary(s)
		}
	}
	w.holdApex()
	w.holdHome()
	w.holdFront()
}

// missed tells that what was taken away may still be felt: a side lacks pods, the data plane has yet to follow, or the controller cannot have seen that
// the canary has none.
func (w *World) missed() bool {
	target := w.status().Rollout != nil && w.target.ready(w.now, nil) < w.target.real.replicas
	unseen := w.now-w.blindAt <= reaction && w.canaryPods() == 0
	return w.shortAt == w.now || len(w.splits) > 1 || target || unseen
}

// holdCapacity: each side that users are sent to has ready pods, unless somebody took them away.
func (w *World) holdCapacity(s *split) {
	if w.hurtLately() {
		return
	}
	switch {
	case s.viaApex && w.strategy.heldElsewhere():
		// See holdHome and holdFront.
	case s.viaApex:
		side := &w.primary
		if w.services.real.side == sideTarget {
			side = &w.target
		}
		if side.ready(w.now, nil) == 0 {
			w.violate(promiseTraffic, "users at the apex Service find no ready pod")
		}
	case s.others() && w.primary.ready(w.now, nil) == 0:
		w.violate(promiseTraffic, "users at the primary find no ready pod")
	case s.sends() && w.canaryPods() == 0:
		w.violate(promiseTraffic, "users at the canary find no ready pod")
	}
}

// canaryPods counts the ready pods behind the canary Service.
func (w *World) canaryPods() int {
	n := 0
	for i := range w.target.pods {
		if w.reached(&w.target.pods[i]) {
			n++
		}
	}
	return n
}

// reached tells whether users of the canary reach a pod: as long as there is a canary Service.
func (w *World) reached(p *pod) bool {
	s := &w.services.real
	return p.readyAt <= w.now && (w.strategy.service || s.canary && (s.pin == unpinned || p.spec.template == s.pin))
}

// holdContent: who is sent to the canary meets the revision under analysis, from its first step on, or what was promoted.
func (w *World) holdContent(s *split) {
	if w.asAsked {
		return
	}
	analysedServes := false
	for i := range w.target.pods {
		p := &w.target.pods[i]
		if !w.reached(p) || w.proven(p.content) {
			continue
		}
		switch analysed := w.evidence.rev; {
		case w.status().Rollout == nil:
			w.violate(promiseUsers, "users at weight %d are served by %s without a rollout", s.Canary, p.content.digest())
			return
		case p.content == analysed:
			analysedServes = true
		case p.content.template != analysed.template:
			w.servedByAnother(s, p.content)
			return
		case !w.excused(s):
			w.servedByAnother(s, p.content)
			return
		}
	}
	if analysedServes {
		w.servedFirst(s)
	}
}

// servedByAnother is a violation: users of the canary meet what is not under analysis.
func (w *World) servedByAnother(s *split, r revision) {
	ro := w.status().Rollout
	w.violate(promiseUsers, "users at weight %d are served by %s while %s is analysed in %s", s.Canary, r.digest(), ro.Revision, ro.Stage)
}

// proven tells whether users of the canary may meet a revision whatever is analysed: it is promoted, or it has passed its analysis and the primary
// cannot take the users. What its pods have read of the config since is then all that there is.
func (w *World) proven(r revision) bool {
	if s := w.snapshots.real; s.hasPromoted && s.promoted == r {
		return true
	}
	ro := w.status().Rollout
	stays := ro != nil && (w.rescued || ro.Shelter > 0 || ro.Stage == v1beta1.StageLeaving)
	return stays && w.trustedTemplate(r.template)
}

// trustedTemplate tells whether a revision with the template was analysed, or served at first.
func (w *World) trustedTemplate(template int8) bool {
	for c := range int8(contents) {
		if w.trusted&(revision{template, c}).bit() != 0 {
			return true
		}
	}
	return false
}

// holdPrimary: who is sent to the primary meets a revision that was analysed, or one that is analysed there, from its first step on, as long as there is
// anybody else to serve them.
func (w *World) holdPrimary(s *split) {
	for i := range w.primary.pods {
		p := &w.primary.pods[i]
		if p.readyAt > w.now || w.trusted&p.content.bit() != 0 || w.leaving(s, p.content) {
			continue
		}
		if w.alone(p.content) {
			continue
		}
		if !w.rescued || p.content != w.evidence.rev {
			w.violate(promiseUsers, "users of the primary are served by %s, which nobody has analysed", p.content.digest())
			return
		}
		swapped := *s
		swapped.Canary, swapped.Primary = s.Primary, s.Canary
		w.servedFirst(&swapped)
	}
}

// alone tells whether a pod of the primary serves because there is nobody else, or was nobody a moment ago so that what is there is being replaced.
func (w *World) alone(content revision) bool {
	if w.rescued && w.canaryPods() == 0 {
		w.evidence.served, w.aloneAt = true, w.now
		return true
	}
	if w.aloneAt <= 0 || w.now-w.aloneAt > restoring {
		return false
	}
	w.evidence.served = w.evidence.served || w.rescued && content == w.evidence.rev
	return true
}

// leaving tells whether a revision was analysed in the primary until a moment ago, so that users by a split may still meet it.
func (w *World) leaving(s *split, r revision) bool {
	return w.before&r.bit() != 0 && (s != w.newest() || w.now-w.since <= reaction)
}

// newest is the split that was asked for last.
func (w *World) newest() *split { return &w.splits[len(w.splits)-1] }

// excused tells that a content of the config is beyond the reach of the promise: as the data plane follows, as a controller that could not see it
// reacts, or while the primary cannot take the users.
func (w *World) excused(s *split) bool {
	newest := w.newest()
	if s != newest && newest.Canary < s.Canary || w.now-w.shortAt <= reaction || w.now-w.hurtAt <= reaction {
		return true
	}
	if ro := w.status().Rollout; ro != nil && (ro.Stage == v1beta1.StagePromoting || ro.Stage == v1beta1.StageFinalising || ro.Shelter > 0) {
		// The primary cannot take its users yet, or any more.
		return true
	}
	known := w.configAt
	if !w.configFenced {
		known = max(known, w.blindAt)
	}
	return s.at <= known && w.now-known <= reaction
}

// holdApex: between the first promotion and the end, users of the apex Service meet the primary, or a target that was restored.
func (w *World) holdApex() {
	st, s := w.status(), &w.services.real
	if w.strategy.ephemeral || s.side != sideTarget || !s.apex || !w.snapshots.real.hasPromoted || w.initialising() {
		return
	}
	if st.Phase != v1beta1.PhaseTerminating {
		w.violate(promiseUsers, "the apex Service leads to the target in phase %s", st.Phase)
	}
}

// given holds what must be true when the application is given back.
func (w *World) given() {
	t := &w.target
	w.handedBack = true
	if !t.real.exists || !w.snapshots.real.hasPromoted {
		return
	}
	if t.seen.held {
		w.violate(promiseRestore, "the application is given back with a hold on the target")
	}
	if w.hurtLately() || w.target.due != never {
		return
	}
	if t.real.spec.template != w.snapshots.real.promoted.template {
		w.violate(promiseRestore, "the application is given back with %s, the last good one is %s", t.real.spec.hash(), w.snapshots.real.promoted.hash())
	}
	if w.strategy.service {
		t = &w.front
	}
	if t.ready(w.now, nil) == 0 && !w.emptied() {
		w.violate(promiseHealthy, "the application is given back without a ready pod")
	}
	w.holdDrained()
}

// emptied tells whether a user has scaled a target that users are on to zero.
func (w *World) emptied() bool {
	return w.strategy.ephemeral && w.idleReplicas && w.target.real.replicas == 0
}

// holdDrained: nobody is sent to either side by weight any more, as far as a gateway has been there to follow.
func (w *World) holdDrained() {
	for _, l := range w.splits {
		if !l.viaApex && w.awayUntil+reaction < w.now {
			w.violate(promiseTraffic, "the application is given back while requests still arrive by weight %d", l.Canary)
		}
	}
}
