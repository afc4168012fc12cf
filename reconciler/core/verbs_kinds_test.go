package core

import (
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// What operators ask of an ephemeral primary never takes the target away, which serves between rollouts.
func TestVerbsWithAnEphemeralPrimary(t *testing.T) {
	for name, play := range map[string]func(t *testing.T, w *world){
		"verb-ephemeral-abort-at-home": func(t *testing.T, w *world) {
			w.asks("pause")
			w.becomes(t, "pause", v1beta1.VerbDone)
			w.push("v2")
			w.must(t, time.Minute, func() bool { ro := w.canary.Status.Rollout; return ro != nil && ro.Stage == v1beta1.StageConfirming })
			w.asks("abort")
			w.must(t, time.Minute, w.phase(v1beta1.PhaseFailed))
			w.stays(t, "the target serves v1", func() bool { return w.ready(&w.target, "v1") == 2 && w.canary.Status.Rollout == nil })
		},
		"verb-ephemeral-abort-and-retry": func(t *testing.T, w *world) {
			w.midway(t, 0)
			w.asks("abort")
			w.rollsBack(t)
			w.asks("retry")
			w.must(t, 2*time.Minute, w.atHome("v2"))
		},
		"verb-ephemeral-promote": func(t *testing.T, w *world) {
			w.midway(t, 0)
			w.asks("promote")
			w.must(t, time.Minute, w.atHome("v2"))
			w.asks("restore:abcdef")
			w.becomes(t, "restore:abcdef", v1beta1.VerbRefused)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(ephemeralOf(progressive()))
			w.must(t, time.Minute, w.phase(v1beta1.PhaseInitialized))
			w.strict = true
			play(t, w)
			if len(w.violations) > 0 {
				t.Errorf("violations: %v", w.violations)
			}
			golden(t, name, w.story())
		})
	}
}

// A stored revision of a Service is restored in the primary's Service; the target stays the user's.
func TestRestoreOfAService(t *testing.T) {
	w := newServiceWorld(progressive())
	w.must(t, time.Minute, w.phase(v1beta1.PhaseInitialized))
	w.strict = true
	w.ships(t, "beef02")
	w.ships(t, "beef03")
	w.asks("restore:beef02")
	w.must(t, time.Minute, func() bool { return w.promoted == "beef02" && w.canary.Status.Rollout == nil })
	w.stays(t, "the primary's Service leads there", func() bool { return w.copies.primary.listed == "beef02" && w.canary.Status.Rollout == nil })
	if len(w.violations) > 0 {
		t.Errorf("violations: %v", w.violations)
	}
}
