package simulation

import (
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// This file models the autoscaler that a Canary names, and the primary's copy of it. It looks at the load of either side as it was a round ago, and
// gives each side the pods for it at once, the way down included: none is harder to work with.

const (
	scalerRound = 15 * time.Second
	scalerMin   = 1
	scalerMax   = 8
)

// pace is what the controller decides of the autoscalers.
type pace struct {
	// floor is the minimum of the primary's copy, asleep tells that the target's is paused.
	floor  int8
	asleep bool
}

type autoscaler struct {
	scalers object[pace]
	// users is how many pods all users together need.
	users int8
	// roundAt is when they look again, share what the canary had of the users when they last looked.
	roundAt moment
	share   int
	// loadAt is when the number of users last changed.
	loadAt moment
}

func newAutoscaler(s *Strategy) autoscaler {
	a := autoscaler{scalers: stored(pace{}), roundAt: never, users: 2}
	if s.scaled {
		a.roundAt = scalerRound
	}
	return a
}

// autoscale is a round of the autoscalers.
func (w *World) autoscale() {
	if w.roundAt > w.now {
		return
	}
	w.roundAt = w.now + scalerRound
	pace, share := w.scalers.real, w.share
	if w.share = w.splits0().Canary; w.serving() == &w.target {
		w.share = 100
	}
	w.resize(&w.primary, 100-share, max(scalerMin, pace.floor))
	if !pace.asleep {
		w.resize(&w.target, share, scalerMin)
	}
}

// splits0 is the oldest split by which requests arrive.
func (w *World) splits0() split {
	if len(w.splits) == 0 {
		return onPrimary()
	}
	return w.splits[0]
}

// resize gives a side the pods for its share of the users. One that was scaled to zero is left alone.
func (w *World) resize(wl *workload, share int, low int8) {
	d := wl.real
	want := min(max(int8((int(w.users)*share+99)/100), low), scalerMax)
	if !d.exists || d.replicas == 0 || d.replicas == want {
		return
	}
	w.say("autoscaler: %s from %d to %d", kindNames[wl.kind], d.replicas, want)
	d.replicas = want
	w.edit(wl, d)
}

// load is a change of how many users there are.
func load(w *World, a, _ int) {
	if !w.strategy.scaled {
		return
	}
	w.users, w.loadAt = int8(1+a%scalerMax), w.now
	w.say("users: need %d pods", w.users)
}

// scalerPatience is how long autoscalers may take to follow a change of the load.
const scalerPatience = time.Minute

// scalersBehind tells whether autoscalers may not have followed the load yet, or a loss of pods.
func (w *World) scalersBehind() bool {
	return w.now-w.loadAt <= scalerPatience || w.now-w.hurtAt <= scalerPatience
}

// holdLoad: the primary has the pods for its users, and the canary has them before its share grows. Autoscalers are a round behind, so they know of a
// share that has just changed only what the controller does about it.
func (w *World) holdLoad(s *split) {
	if !w.strategy.scaled || s.viaApex || w.scalersBehind() || w.services.real.side != sidePrimary || w.initialising() {
		return
	}
	need := int8((int(w.users)*(100-s.Canary) + 99) / 100)
	if have := w.primary.real.replicas; have < need {
		w.violate(promiseTraffic, "the primary is to have %d pods, its users by %s need %d", have, s, need)
	}
}

func (w *World) observeScaler(in *core.Observed) {
	if w.strategy.scaled {
		limits := core.Limits{Min: scalerMin, Max: scalerMax}
		in.Scaler = core.Scaler{Exists: true, Target: limits, Primary: limits}
	}
}

func (w *World) carryScalers(_ *core.Observed, p *core.Plan) {
	if p.Scalers == nil {
		return
	}
	next := w.scalers.seen
	switch p.Scalers.Target {
	case core.ScalerAsleep:
		next.asleep = true
	case core.ScalerAwake:
		next.asleep = false
	case core.ScalerAsIs:
	}
	next.floor = int8(p.Scalers.Floor)
	write(w, &w.scalers, next)
}

// reference is how a Canary names its autoscaler.
func reference() *v1beta1.AutoscalerReference {
	return &v1beta1.AutoscalerReference{LocalObjectReference: v1beta1.LocalObjectReference{
		APIVersion: "autoscaling/v2", Kind: "HorizontalPodAutoscaler", Name: "app",
	}}
}
