//go:build integration

package reconciler

import (
	"slices"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-dev/sluice/analysis/alert"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

// fakeAlerter remembers the reasons of what it was told.
type fakeAlerter struct {
	mu      sync.Mutex
	reasons []string
}

func (f *fakeAlerter) Alert(_ []v1beta1.CanaryAlert, m alert.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reasons = append(f.reasons, string(m.Severity)+" "+m.Reason)
}

func (f *fakeAlerter) told() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.reasons)
}

// Each transition alerts once, also where Sluice is replaced in between and decides on the same status again.
func TestAlertsAtMostOncePerTransition(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.application()
	s.settled(v1beta1.PhaseInitialized)
	s.checks.set(true, v1beta1.VerdictFail)
	change(s, "settings", &corev1.ConfigMap{}, func(c *corev1.ConfigMap) { c.Data["colour"] = "red" })
	s.until("the rollout failed and is over", func() bool {
		st := s.canary().Status
		return st.Phase == v1beta1.PhaseFailed && st.Rollout == nil
	})
	s.stop()
	s.start()
	s.checks.set(true, v1beta1.VerdictPass)
	change(s, "settings", &corev1.ConfigMap{}, func(c *corev1.ConfigMap) { c.Data["colour"] = "green" })
	s.settled(v1beta1.PhaseSucceeded)
	counts := map[string]int{}
	for _, r := range s.alerts.told() {
		counts[r]++
	}
	for reason, want := range map[string]int{"info Initialized": 1, "info NewRevision": 2, "error RollingBack": 1, "info Promoted": 1} {
		if counts[reason] != want {
			t.Errorf("%d alerts %q, want %d: %v", counts[reason], reason, want, s.alerts.told())
		}
	}
}
