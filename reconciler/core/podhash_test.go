package core

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// A manifest that carries replicas scales the target up by itself, so its pods may be ready before the stage that waits for them begins. The
// hash of the pods is read from that stage on only, and nothing happens any more that would ask for a decision.
func TestScalingUpLooksForThePodHashByItself(t *testing.T) {
	w := newWorld(v1beta1.CanarySpec{})
	in := w.observe()
	in.Canary.Status.Rollout = &v1beta1.RolloutStatus{
		ID: "1", Revision: "v2", Stage: v1beta1.StageScalingUp, StageSince: metav1.NewMicroTime(in.Now),
	}
	in.Target = Workload{Exists: true, Current: true, Replicas: 2, Total: 2, Updated: 2, Available: 2}
	in.LivePodHash = ""
	d := newDecision(in)
	if next := scaleUp(d); next != v1beta1.StageScalingUp {
		t.Fatalf("went on to %s without knowing the pods of the revision", next)
	}
	if d.plan.RequeueAfter <= 0 || d.plan.RequeueAfter > podHashRetry {
		t.Errorf("looks again after %s, want at most %s", d.plan.RequeueAfter, podHashRetry)
	}
}
