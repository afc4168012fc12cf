//go:build integration

package reconciler

import (
	"errors"
	"testing"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// A mesh tells a pod what it is part of when it is created: that is there before the primary is, and with a cluster that does not know the mesh no primary is
// made that would be outside of it.
func TestWhatPodsArePartOfComesFirst(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	type call struct {
		pods    core.PodLabel
		primary bool
	}
	var calls []call
	failed := false
	s.router.mu.Lock()
	s.router.problem = "the cluster does not know the mesh"
	s.router.prepare = func(_ *v1beta1.Canary, pods core.PodLabel) error {
		calls = append(calls, call{pods, s.get("web-primary", &appsv1.Deployment{})})
		if !failed {
			failed = true
			return errors.New("not yet")
		}
		return nil
	}
	s.router.mu.Unlock()
	s.application()
	s.until("the Canary says what is missing", func() bool {
		c := s.canary().Status.Condition(v1beta1.ConditionReady)
		return c != nil && c.Reason == "RouteNotAccepted" && c.Message == "the cluster does not know the mesh"
	})
	s.router.mu.Lock()
	if len(calls) > 0 || s.get("web-primary", &appsv1.Deployment{}) {
		t.Errorf("nothing is to be made yet, but there were the calls %+v", calls)
	}
	s.router.problem = ""
	s.router.mu.Unlock()
	s.settled(v1beta1.PhaseInitialized)

	s.router.mu.Lock()
	defer s.router.mu.Unlock()
	if len(calls) < 2 {
		t.Fatalf("calls %+v; want one that fails and one that does not", calls)
	}
	for _, c := range calls {
		if c.primary || c.pods != (core.PodLabel{Key: "app", Target: "web", Primary: "web-primary"}) {
			t.Errorf("call %+v", c)
		}
	}
}
