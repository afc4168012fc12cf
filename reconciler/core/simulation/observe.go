package simulation

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// This file is the model's gathering. It looks at what the caches show, never at what is.

const (
	sideTarget  = core.SideTarget
	sidePrimary = core.SidePrimary
)

var (
	target  = v1beta1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "app"}
	created = metav1.NewTime(beginning)
)

// canaryOf is the Canary as the API server shows it.
func (w *World) canaryOf(c *canary) v1beta1.Canary {
	o := v1beta1.Canary{}
	w.fill(&o, c)
	return o
}

func (w *World) fill(o *v1beta1.Canary, c *canary) {
	o.Name, o.Namespace, o.Generation, o.CreationTimestamp = "app", "test", c.generation, created
	if c.spec != nil {
		o.Spec = *c.spec
	}
	o.Spec.TargetRef = target
	if w.strategy.daemonSet {
		o.Spec.TargetRef.Kind = "DaemonSet"
	}
	if w.strategy.service {
		o.Spec.TargetRef = v1beta1.LocalObjectReference{APIVersion: "v1", Kind: "Service", Name: "app"}
	}
	o.Status = v1beta1.CanaryStatus{}
	if c.status != nil {
		o.Status = *c.status
	}
}

// observe gathers what a decision may look at.
func (w *World) observe() core.Observed {
	w.fill(&w.scratch, &w.canary.seen)
	st := w.canary.seen.status
	in := core.Observed{
		Now: at(w.now), Canary: &w.scratch, Leaving: w.canary.seen.deleted, Target: w.target.observed(), Primary: w.primary.observed(),
		Stored: w.storedMap(), Verb: w.canary.seen.verb, Traffic: w.strategy.traffic(), Route: w.observedRoute(),
	}
	if in.Primary.Exists {
		in.Primary.Revision = w.primary.seen.spec.digest()
	}
	if in.Target.Exists {
		in.Target.Template = w.target.seen.spec.hash()
		if w.unreadableUntil <= w.now {
			in.Live = w.observedLive()
		}
	}
	if s := &w.snapshots.seen; s.hasPromoted {
		in.Promoted = catalogue.stored[s.promoted.template][s.promoted.config]
	}
	if s := &w.snapshots.seen; s.hasBaseline {
		in.Baseline = catalogue.stored[s.baseline.template][s.baseline.config]
	}
	hash := ""
	if core.NeedsPodHash(in.Canary) && in.Live != nil {
		in.LivePodHash = w.podHash(&in)
		hash = in.LivePodHash
	}
	if st.Rollout != nil && st.Rollout.PodHash != "" {
		hash = st.Rollout.PodHash
	}
	if w.strategy.service {
		w.observeCopies(&in, hash)
	} else {
		in.Services = w.observedServices(hash)
	}
	w.observeScaler(&in)
	w.hear(&in)
	return in
}

func (w *World) observedLive() *core.Revision {
	d := &w.target.seen
	live := *catalogue.stored[d.spec.template][w.config.seen]
	live.Replicas, live.Admitted = int32(d.replicas), w.stamps
	return &live
}

// podHash is read from the API server, so only in the stage that needs it.
func (w *World) podHash(in *core.Observed) string {
	if w.strategy.service {
		// The revision itself.
		return in.Live.Digest
	}
	t := &in.Target
	if !t.Current || t.Held {
		return ""
	}
	if w.target.made&(1<<w.target.seen.spec.template) == 0 || w.target.daemonSet && w.target.seen.replicas == 0 {
		return ""
	}
	return w.target.seen.spec.hash()
}

// hear adds the answers that have come.
func (w *World) hear(in *core.Observed) {
	for i := range w.answers {
		if a := &w.answers[i]; a.at <= w.now {
			if in.Answers == nil {
				in.Answers = make(map[string]core.Answer, len(w.answers))
			}
			in.Answers[a.key] = a.Answer
		}
	}
}
