package preview

import (
	"reflect"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// world is the ideal one.
type world struct {
	now     time.Time
	canary  *v1beta1.Canary
	traffic core.Traffic
	live    *core.Revision
	stored  map[string]bool
	answers map[string]core.Answer
	objects
}

// objects are what plans change, beside the status.
type objects struct {
	// promoted and primary are the digests of the last good revision and of what the primary runs; pods is that of the target's pods, and hash their label.
	promoted, primary, pods, hash string
	hasPrimary, held              bool
	replicas, primaryReplicas     int32
	apex                          core.Side
	pin                           string
	route                         core.RouteIntent
}

// before stands for a last good revision that nobody has recorded yet.
const before = "before"

// newWorld is the world right after the change. What keeps a Canary from moving is left out: the preview says what follows once it moves.
func newWorld(in Input) *world {
	c := in.Canary.DeepCopy()
	st := &c.Status
	c.Spec.Suspend, c.Spec.AutoscalerRef, st.Paused, st.Scaler, st.PendingHooks, st.Verb = false, nil, nil, nil, nil, nil
	if st.PromotedRevision == "" || st.Phase == "" || st.Phase == v1beta1.PhaseInitializing {
		*st = v1beta1.CanaryStatus{Phase: v1beta1.PhaseInitialized, SluiceStatus: v1beta1.SluiceStatus{
			PromotedRevision: before, TargetServes: c.Lifecycle() == v1beta1.LifecycleEphemeral,
		}}
	}
	w := &world{
		now: in.Now, canary: c, traffic: in.Traffic, live: &core.Revision{Digest: in.Live, Template: in.Live, Replicas: in.Replicas},
		stored: map[string]bool{st.PromotedRevision: true, in.Live: true}, answers: map[string]core.Answer{},
		objects: objects{
			promoted: st.PromotedRevision, primary: st.PromotedRevision, pods: st.PromotedRevision, hasPrimary: !st.TargetServes || st.RetainUntil != nil,
			replicas: in.Replicas, primaryReplicas: max(in.Replicas, 1), apex: core.SidePrimary,
		},
	}
	w.route.Primary, w.route.Canary = 100-int(st.CanaryWeight), int(st.CanaryWeight)
	if st.TargetServes {
		w.apex, w.held, w.route.ViaApex = core.SideTarget, in.Live != st.PromotedRevision, true
		if in.Kept != "" {
			w.primary, w.stored[in.Kept] = in.Kept, true
		}
	}
	w.join(in.Live)
	w.hash = w.hashOf(w.pods)
	w.roll()
	return w
}

// join takes over what the rollout under way has done so far.
func (w *world) join(live string) {
	ro := w.canary.Status.Rollout
	if ro == nil {
		return
	}
	ro.Fenced = nil
	w.stored[ro.Revision], w.pods, w.pin = true, ro.Revision, ro.PodHash
	w.held = w.held || ro.Revision != live && core.NeedsHold(w.canary, w.now)
	if ro.Stage == v1beta1.StagePromoting || ro.Stage == v1beta1.StageFinalising {
		w.primary = ro.Revision
	}
}

// hashOf is the label of the pods of a revision.
func (w *world) hashOf(digest string) string {
	if ro := w.canary.Status.Rollout; ro != nil && ro.Revision == digest && ro.PodHash != "" {
		return ro.PodHash
	}
	return digest
}

// roll has the target's pods be what the target is, unless it is held.
func (w *world) roll() {
	if !w.held && w.pods != w.live.Digest {
		w.pods, w.hash = w.live.Digest, w.hashOf(w.live.Digest)
	}
}

func (w *world) observe() core.Observed {
	in := core.Observed{
		Now: w.now, Canary: w.canary.DeepCopy(), Live: w.live, Promoted: &core.Revision{Digest: w.promoted, Template: w.promoted}, Stored: w.stored,
		Traffic: w.traffic, Answers: w.answers,
		Target: core.Workload{
			Exists: true, Current: true, Held: w.held, Template: w.live.Template, Replicas: w.replicas, Total: w.replicas, Updated: w.replicas, Available: w.replicas,
		},
		Primary:  core.Workload{Exists: w.hasPrimary},
		Services: core.Services{Ready: true, Apex: w.apex, PinnedHash: w.pin},
		Route:    core.Route{Exists: true, Split: w.route.Split, Accepted: true, ViaApex: w.route.ViaApex, Version: "1"},
	}
	if w.hasPrimary {
		n := w.primaryReplicas
		in.Primary = core.Workload{Exists: true, Current: true, Revision: w.primary, Replicas: n, Total: n, Updated: n, Available: n}
	}
	if w.pods == w.live.Digest && w.replicas > 0 {
		in.LivePodHash = w.hash
	}
	s := &in.Services
	s.PrimaryReady = in.Primary.Available
	if s.Apex == core.SideTarget {
		s.ApexOther = w.replicas
	} else {
		s.ApexReady = s.PrimaryReady
	}
	if w.pin != "" && w.pin == w.hash {
		s.CanaryReady = w.replicas
	} else if w.pin == "" {
		s.CanaryOther = w.replicas
	}
	return in
}

// carry brings the world to a plan, and tells whether that has changed anything.
func (w *world) carry(p core.Plan) bool {
	old, status := w.objects, w.canary.Status
	w.canary = w.canary.DeepCopy()
	w.canary.Status = p.Status
	w.canary.Status.PendingHooks = nil
	if p.MarkPromoted != "" {
		w.promoted = p.MarkPromoted
	}
	w.carryPrimary(p.Primary)
	w.carryServices(p.Services)
	if p.Route != nil {
		w.route = core.RouteIntent{Split: p.Route.Split, ViaApex: p.Route.ViaApex}
	}
	w.carryTarget(p.Target)
	asked := w.ask(p.Checks)
	return asked || w.objects != old || !reflect.DeepEqual(w.canary.Status, status)
}

func (w *world) carryPrimary(p *core.PrimaryIntent) {
	if p == nil {
		return
	}
	if p.Enforce || !w.hasPrimary {
		w.primaryReplicas = max(p.Replicas, 1)
	}
	w.primary, w.hasPrimary = p.Revision, true
}

func (w *world) carryServices(s *core.ServicesIntent) {
	if s == nil {
		return
	}
	w.pin = s.Pin
	if s.Apex != core.SideUnknown {
		w.apex = s.Apex
	}
}

func (w *world) carryTarget(t *core.TargetIntent) {
	if t == nil {
		return
	}
	w.held = (w.held || t.Hold) && !t.Release
	if t.Replicas != nil {
		w.replicas = *t.Replicas
	}
	w.roll()
}

// ask answers what has not been asked before: yes to all but to hooks that would call the rollout off.
func (w *world) ask(checks []core.Check) bool {
	asked := false
	for _, c := range checks {
		if _, known := w.answers[c.Key]; known {
			continue
		}
		a := core.Answer{Verdict: v1beta1.VerdictPass, At: w.now}
		if c.Kind == v1beta1.CheckWebhook && typeOf(w.canary, c) == v1beta1.HookRollback {
			a.Verdict = v1beta1.VerdictFail
		}
		w.answers[c.Key], asked = a, true
	}
	return asked
}
