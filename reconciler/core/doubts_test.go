package core

import (
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// What the gathering found doubtful, but not so bad that nothing may move, is told with the rollout that it may spoil, once.
func TestDoubtsAreToldWithTheRollout(t *testing.T) {
	c := &v1beta1.Canary{}
	c.Status.Phase, c.Status.PromotedRevision = v1beta1.PhaseSucceeded, "a"
	in := Observed{
		Now: time.Unix(1000, 0), Canary: c, Target: Workload{Exists: true, Current: true},
		Promoted: &Revision{Digest: "a"}, Live: &Revision{Digest: "b"},
		Problems: []Problem{{Reason: "TargetUnsuited", Message: "it takes a port of the node"}},
	}
	told := func(p Plan) (n int) {
		for _, e := range p.Events {
			if e.Type == "Warning" && e.Reason == "TargetUnsuited" {
				n++
			}
		}
		return n
	}
	plan := Decide(in)
	if plan.Status.Rollout == nil || told(plan) != 1 {
		t.Fatalf("rollout %+v, events %v; want a rollout with the warning", plan.Status.Rollout, plan.Events)
	}
	c.Status = plan.Status
	if again := Decide(in); told(again) != 0 {
		t.Errorf("told again: %v", again.Events)
	}
}
