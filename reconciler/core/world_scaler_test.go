package core

import (
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// This file is the model's autoscaler: it looks at the load of either side as it was a while ago, and gives each side the pods for it at once, the way down
// included. None is harder to work with.

const (
	scalerRound = 15 * time.Second
	scalerLag   = 30 * time.Second
)

// autoscaler is the user's, with the primary's copy of it.
type autoscaler struct {
	min, max int
	// users is how many pods all users together need.
	users int
	// floor is the minimum that the primary's copy has been given.
	floor int
	// asleep tells that the target's is paused.
	asleep bool
	// next is when it looks again.
	next time.Time
}

// autoscaled puts both sides under an autoscaler.
func (w *world) autoscaled(a autoscaler) {
	a.next = w.now.Add(scalerRound)
	w.scaler = &a
	w.canary.Spec.AutoscalerRef = &v1beta1.AutoscalerReference{LocalObjectReference: v1beta1.LocalObjectReference{
		APIVersion: "autoscaling/v2", Kind: "HorizontalPodAutoscaler", Name: "app",
	}}
	w.dirty = true
}

func (w *world) observeScaler(in *Observed) {
	if a := w.scaler; a != nil {
		in.Scaler = Scaler{Exists: true, Target: Limits{int32(a.min), int32(a.max)}, Primary: Limits{int32(a.min), int32(a.max)}}
	}
}

// autoscale is one tick of the autoscalers.
func (w *world) autoscale() {
	a := w.scaler
	if a == nil || w.now.Before(a.next) {
		return
	}
	a.next = w.now.Add(scalerRound)
	canary := 0
	for _, r := range w.routes {
		if !r.at.After(w.now.Add(-scalerLag)) {
			canary = r.Canary
		}
	}
	w.size(&w.primary, "primary", 100-canary, max(a.min, a.floor))
	if !a.asleep {
		w.size(&w.target, "target", canary, a.min)
	}
}

func (w *world) size(wl *workload, name string, share, low int) {
	want := min(max(pods(w.scaler.users, share), low, 1), w.scaler.max)
	if !wl.exists || wl.replicas == 0 || wl.replicas == want {
		return
	}
	w.logf("autoscaler: %s from %d to %d", name, wl.replicas, want)
	wl.replicas, w.dirty = want, true
}

// pods is how many a share of the users needs.
func pods(users, share int) int { return (users*share + 99) / 100 }

func (w *world) doScalers(p Plan) {
	a := w.scaler
	if a == nil || p.Scalers == nil {
		return
	}
	switch p.Scalers.Target {
	case ScalerAsleep:
		a.asleep = true
	case ScalerAwake:
		a.asleep = false
	case ScalerAsIs:
	}
	if a.floor != int(p.Scalers.Floor) {
		a.floor, w.dirty = int(p.Scalers.Floor), true
		w.logf("autoscaler: the primary keeps %d", a.floor)
	}
}

// suffices checks that a side is given users only with the pods that these need: the primary at any time, the canary when its share grows.
func (w *world) suffices() {
	a := w.scaler
	if a == nil || !w.strict || w.apex != SidePrimary {
		return
	}
	for _, s := range w.served() {
		if have, need := w.ready(&w.primary, ""), pods(a.users, 100-s.Canary); have < need {
			w.violate("P3: the primary has %d of %d ready pods for %d%% of the users", have, need, 100-s.Canary)
		}
	}
	if n := len(w.routes); n > 1 && w.routes[n-1].at.Equal(w.now) && w.routes[n-1].Canary > w.routes[n-2].Canary {
		if have, need := w.ready(&w.target, w.pin), pods(a.users, w.routes[n-1].Canary); have < need {
			w.violate("P3: the canary has %d of %d ready pods for %d%% of the users", have, need, w.routes[n-1].Canary)
		}
	}
}
