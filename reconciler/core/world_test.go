package core

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// This file is a small model of a cluster: workloads whose pods take time to become ready, a traffic provider that accepts a route late and
// sends requests by the old weights a little longer, hooks and metrics that answer late, an admission webhook that may be away. It carries
// plans out as the reconciler does: the status first, then the rest, and may be stopped between any two writes.

// The model's delays. They are ordered as in a real cluster: a route is accepted before the data plane has followed it.
const (
	tick        = 100 * time.Millisecond
	podReady    = 700 * time.Millisecond
	routeAccept = 300 * time.Millisecond
	routeLag    = 1500 * time.Millisecond
	drainTime   = 2 * time.Second
	answerTime  = 400 * time.Millisecond
)

type pod struct {
	// revision is the template that the pod runs, or of a primary's pod the whole revision; config is what it has read of the config, and syncAt
	// when it reads that anew, zero for never.
	revision, config string
	readyAt, syncAt  time.Time
	lost             bool
}

type workload struct {
	exists, held bool
	// paused by its owner.
	paused     bool
	template   string
	replicas   int
	generation int64
	pods       []pod
}

// split is a route as it was written at a time.
type split struct {
	Split
	at      time.Time
	viaApex bool
	fence   *v1beta1.Fence
}

type world struct {
	now     time.Time
	canary  *v1beta1.Canary
	target  workload
	primary workload
	// apex and pin are the Services' selectors.
	apex Side
	pin  string
	// guarded tells that admission denies changes of the target that it cannot hold.
	guarded bool
	// routes are all splits ever written; the last is the object, older ones are still served for a while.
	routes   []split
	stored   map[string]bool
	promoted string
	baseline string
	// inherited is what a primary of another controller's runs.
	inherited string
	pending   map[string]time.Time
	verdict   func(Check) v1beta1.Verdict
	webhook   bool
	weighted  bool
	log       []string
	// writes is how many writes are left until the controller is killed; negative for never.
	writes int
	// serves holds, for each revision, the first share of users it was given by a canary route, and violations what broke a promise.
	first      map[string]int
	violations []string
	wakeAt     time.Time
	dirty      bool
	// gateless tells that no gateway answers for routes.
	gateless bool
	// strict tells that nothing is broken on purpose, so that each side that has users must have ready pods.
	strict bool
	configs
	// dieAt kills the controller, once, right after it has stored the status of a plan.
	dieAt func(Plan) bool
	// calls are the checks that were asked, in order, again after each restart; silent picks those that are never answered.
	calls  []Check
	silent func(Check) bool
	// scaler sizes target and primary; nil where nothing does.
	scaler *autoscaler
	// copies are the Services of a target that is one; nil where it is a workload.
	copies *copies
	// tag is the image that the pods of a side resolve the tag of the template to; nil has none.
	tag func(primary bool) string
	// brokenOnPrimary are revisions with which no pod of the primary gets ready.
	brokenOnPrimary []string
	// verb is what the annotation of the Canary asks for, and stays as long as nobody takes it off; owned tells that only its stamp can be.
	verb  *VerbRequest
	owned bool
	// leaving asks Sluice to give the application back, given tells that it has.
	leaving, given bool
}

func newWorld(spec v1beta1.CanarySpec) *world {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := &v1beta1.Canary{ObjectMeta: metav1.ObjectMeta{
		Name: "app", Namespace: "test", Generation: 1, CreationTimestamp: metav1.NewTime(start),
	}, Spec: spec}
	c.Spec.TargetRef = v1beta1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "app"}
	w := &world{
		now: start, canary: c, stored: map[string]bool{}, pending: map[string]time.Time{},
		verdict: func(Check) v1beta1.Verdict { return v1beta1.VerdictPass }, webhook: true, weighted: true, writes: -1, first: map[string]int{}, dirty: true,
	}
	w.target = workload{exists: true, template: "v1", replicas: 2, generation: 1}
	w.apex = SideTarget
	w.live()
	return w
}

// live makes the pods of a workload that has been there for long.
func (w *world) live() {
	for range w.target.replicas {
		w.target.pods = append(w.target.pods, pod{revision: w.target.template, readyAt: w.now})
	}
}

func (w *world) logf(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%6.1fs ", w.now.Sub(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).Seconds())+fmt.Sprintf(format, args...))
}

// push is a user's change of the target's template.
func (w *world) push(template string) {
	if w.target.template == template || !w.target.exists {
		return
	}
	if w.guarded && !w.webhook {
		w.logf("admission: away, so the guarded target stays as it is")
		return
	}
	w.logf("user: pushes %s", template)
	w.target.template = template
	w.target.generation++
	w.stamp(PartTemplate, "alice", template, w.webhook)
	if w.webhook && NeedsHold(w.canary, w.now) {
		w.target.held = true
	}
	w.dirty = true
}

// run moves a workload's pods on by one tick.
func (w *world) run(wl *workload, roll bool) {
	if !wl.exists {
		wl.pods = nil
		return
	}
	if roll {
		ready := w.ready(wl, wl.template)
		kept := wl.pods[:0]
		for _, p := range wl.pods {
			// Old pods go as new ones become ready.
			if p.revision != wl.template && ready > 0 {
				ready--
				continue
			}
			if !p.lost {
				kept = append(kept, p)
			}
		}
		wl.pods = kept
		have := 0
		for _, p := range wl.pods {
			if p.revision == wl.template {
				have++
			}
		}
		for ; have < wl.replicas; have++ {
			ready := w.now.Add(podReady)
			if wl == &w.primary && slices.Contains(w.brokenOnPrimary, wl.template) {
				ready = w.now.Add(24 * time.Hour)
			}
			wl.pods = append(wl.pods, pod{revision: wl.template, config: w.config, readyAt: ready})
		}
	}
	for len(wl.pods) > wl.replicas && (wl.replicas == 0 || w.ready(wl, wl.template) >= wl.replicas || !roll) {
		if last := len(wl.pods) - 1; wl.pods[0].revision == wl.template && wl.pods[last].readyAt.After(w.now) {
			// Of pods alike those go first that are not ready.
			wl.pods = wl.pods[:last]
			continue
		}
		wl.pods = wl.pods[1:]
	}
}

func (w *world) ready(wl *workload, revision string) int {
	n := 0
	for _, p := range wl.pods {
		if (revision == "" || p.revision == revision) && !p.readyAt.After(w.now) && !p.lost {
			n++
		}
	}
	return n
}

// observe is the gathering.
func (w *world) observe() Observed {
	in := Observed{
		Now: w.now, Canary: w.canary.DeepCopy(), Leaving: w.leaving,
		Target: w.seen(&w.target), Primary: w.seen(&w.primary), Stored: w.stored,
		Traffic: Traffic{Weighted: w.weighted, Matches: w.weighted, Mirrors: w.weighted, Cookies: w.weighted, Drain: drainTime}, Answers: map[string]Answer{},
	}
	in.Primary.Revision = w.primary.template
	if w.target.exists {
		in.Live = revisionOf(w.liveDigest(), w.target.replicas)
		in.Live.Admitted = w.stamps
		in.Target.Template = w.target.template
		// It costs a read, so it is asked for in the one stage that needs it.
		if len(w.target.pods) > 0 && !w.target.held && NeedsPodHash(w.canary) {
			in.LivePodHash = w.target.template
		}
	}
	if ofCanary, ofPrimary := NeedsImages(in.Canary, in.Primary); w.tag != nil {
		if ofCanary {
			in.CanaryImages = Images{"main": {w.tag(false)}}
		}
		if ofPrimary {
			in.PrimaryImages = Images{"main": {w.tag(true)}}
		}
	}
	if w.promoted != "" {
		in.Promoted = revisionOf(w.promoted, 2)
	}
	if w.inherited != "" && w.promoted == "" && w.canary.Status.PromotedRevision == "" {
		in.Inherited = revisionOf(w.inherited, 2)
	}
	if w.baseline != "" {
		in.Baseline = revisionOf(w.baseline, 2)
	}
	w.observeScaler(&in)
	in.Verb = w.verb
	in.Services = Services{Ready: true, Apex: w.apex, PinnedHash: w.pin, PrimaryReady: int32(w.ready(&w.primary, ""))}
	if w.apex == SidePrimary {
		in.Services.ApexReady = in.Services.PrimaryReady
	} else {
		in.Services.ApexOther = int32(w.ready(&w.target, ""))
	}
	in.Services.CanaryReady = int32(w.ready(&w.target, w.pin))
	if w.pin == "" {
		in.Services.CanaryReady = 0
		in.Services.CanaryOther = int32(w.ready(&w.target, ""))
	}
	w.observeCopies(&in)
	if n := len(w.routes); n > 0 {
		r := w.routes[n-1]
		in.Route = Route{
			Exists: true, Split: r.Split, Accepted: !w.now.Before(r.at.Add(routeAccept)), ViaApex: r.viaApex, Fence: r.fence, Version: w.routeVersion(),
		}
		if w.gateless {
			in.Route.Accepted, in.Route.Problem = false, "no gateway has answered"
		}
	}
	for key, at := range w.pending {
		if !w.now.Before(at) {
			in.Answers[key] = Answer{}
		}
	}
	return in
}

func (w *world) seen(wl *workload) Workload {
	return Workload{
		Exists: wl.exists, Generation: wl.generation, Current: true, Held: wl.held, Paused: wl.paused, Replicas: int32(wl.replicas), Total: int32(len(wl.pods)),
		Updated: int32(count(wl.pods, wl.template)), Available: int32(w.ready(wl, "")),
	}
}

func count(pods []pod, revision string) int {
	n := 0
	for _, p := range pods {
		if p.revision == revision {
			n++
		}
	}
	return n
}

// step lets one tick pass: the cluster moves, promises are checked, and the controller decides if something happened or its time has come.
func (w *world) step() {
	before := fmt.Sprint(w.target.pods, w.primary.pods, w.ready(&w.target, ""), w.ready(&w.primary, ""))
	w.now = w.now.Add(tick)
	w.moveConfigs()
	w.autoscale()
	w.run(&w.target, !w.target.held && !w.target.paused)
	w.run(&w.primary, true)
	w.moveCopies()
	woken := !w.wakeAt.IsZero() && !w.now.Before(w.wakeAt)
	answered := false
	for _, at := range w.pending {
		answered = answered || (!w.now.Before(at) && w.now.Add(-tick).Before(at))
	}
	accepted := len(w.routes) > 0 && w.now.Sub(w.routes[len(w.routes)-1].at) <= 2*routeAccept
	changed := before != fmt.Sprint(w.target.pods, w.primary.pods, w.ready(&w.target, ""), w.ready(&w.primary, ""))
	// Decisions may follow one another within a tick, as they do on a watch.
	for range 20 {
		if !(w.dirty || woken || answered || accepted || changed) {
			break
		}
		woken, answered, accepted, changed = false, false, false, false
		w.reconcile()
		if !w.wakeAt.IsZero() && w.wakeAt.Sub(w.now) <= tick/10 {
			woken = true
		}
	}
	w.check()
}

// served are the splits by which requests may still arrive now.
func (w *world) served() []split {
	var out []split
	for i, r := range w.routes {
		if i+1 == len(w.routes) || w.routes[i+1].at.Add(routeLag).After(w.now) {
			out = append(out, r)
		}
	}
	return out
}

// capacity checks that each side that a split sends users to has ready pods.
func (w *world) capacity(s split) {
	apex := &w.primary
	if w.apex == SideTarget {
		apex = &w.target
	}
	switch {
	case s.viaApex && w.ready(apex, "") == 0:
		w.violate("P3: users at the apex Service find no ready pod")
	case s.viaApex:
	case s.Canary < 100 && w.ready(&w.primary, "") == 0:
		w.violate("P3: users at the primary find no ready pod")
	case s.Canary > 0 && w.ready(&w.target, w.pin) == 0:
		w.violate("P3: users at the canary find no ready pod")
	}
}

// check holds the promises against the world as it is.
func (w *world) check() {
	w.suffices()
	w.checkCopies()
	w.checkHome()
	for _, s := range w.served() {
		if w.strict && w.copies == nil {
			w.capacity(s)
		}
		weight := s.Canary
		if weight <= 0 {
			continue
		}
		for _, p := range w.target.pods {
			if p.readyAt.After(w.now) || p.lost || (w.pin != "" && p.revision != w.pin) {
				continue
			}
			w.checkContent(s, p)
			served := join(p.revision, p.config)
			if _, seen := w.first[served]; !seen {
				w.first[served] = weight
				if first := w.firstWeight(); weight != first && served != w.promoted && !w.excused(s) {
					w.violate("P1: revision %s gets its first users at weight %d", served, weight)
				}
			}
		}
	}
	if st := w.canary.Status; st.Phase == v1beta1.PhaseSucceeded && st.PromotedRevision != "" && w.primary.exists && !st.TargetServes && st.Rollout == nil && w.primary.template != w.promoted {
		w.violate("P2: the primary runs %s, promoted was %s", w.primary.template, w.promoted)
	}
}

// until steps until cond holds, at most for limit.
func (w *world) until(limit time.Duration, cond func() bool) bool {
	for end := w.now.Add(limit); w.now.Before(end); {
		if cond() {
			return true
		}
		w.step()
	}
	return cond()
}

func (w *world) phase(p v1beta1.CanaryPhase) func() bool {
	return func() bool { return w.canary.Status.Phase == p && w.canary.Status.Rollout == nil }
}
