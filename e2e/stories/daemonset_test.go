//go:build e2e

package stories

import (
	"encoding/json"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/harness"
)

// daemonSet tells of a DaemonSet on a cluster of one node, with the strategy that Kubernetes gives it, under which its only pod goes before the
// next one comes. A second change at 50% is held and answers no user before its own first step; it is promoted, a bad version is rolled back, and
// the application is given back. No user is failed but by the bad version itself.
func daemonSet(t *testing.T) {
	s := beginWith(t, harness.App{Kind: "DaemonSet", Name: "agent", Version: "v1"})
	s.adopt(nil)
	since := time.Now()
	if target := s.readDaemonSet(); target.Spec.Template.Spec.NodeSelector["flagger.app/scale-to-zero"] != "true" {
		t.Errorf("between rollouts the target selects nodes %v", target.Spec.Template.Spec.NodeSelector)
	}

	s.deploy("v2")
	first := s.half()
	s.eventually("v2 answers users", func() bool { return !s.served("v2").IsZero() })
	s.deploy("v3")
	if target := s.readDaemonSet(); target.Annotations[v1beta1.AnnotationHold] == "" || target.Spec.UpdateStrategy.Type != appsv1.OnDeleteDaemonSetStrategyType {
		t.Errorf("the second change is not held: strategy %s, annotations %v", target.Spec.UpdateStrategy.Type, target.Annotations)
	}
	second := s.started(first)
	s.finished(v1beta1.PhaseSucceeded)
	s.primaryRuns("v3")
	s.onlyByItsSteps("v3", second.Status.Rollout.Revision)
	s.unharmed(since)
	if target := s.readDaemonSet(); target.Annotations[v1beta1.AnnotationHold] != "" || target.Spec.UpdateStrategy.Type != appsv1.RollingUpdateDaemonSetStrategyType {
		t.Errorf("the hold was not released: strategy %s, annotations %v", target.Spec.UpdateStrategy.Type, target.Annotations)
	}

	since = time.Now()
	s.deploy("bad4")
	s.finished(v1beta1.PhaseFailed)
	back := time.Now()
	s.primaryRuns("v3")
	if failed := s.users.Recording().Between(since, back).Summary(); failed.Failed == 0 || failed.ByVersion["v3"].Failed > 0 {
		t.Errorf("until the rollback %d users were failed, %d by v3: want some, all by the bad version", failed.Failed, failed.ByVersion["v3"].Failed)
	}

	_, err := stage.Cluster.Kubectl(s.ctx, "", "--namespace", s.key.Namespace, "delete", "canary", s.key.Name, "--timeout=5m")
	s.ok(err)
	s.givenBack(back, "v3")
}

func (s *story) readDaemonSet() *appsv1.DaemonSet {
	s.Helper()
	out, err := stage.Cluster.Kubectl(s.ctx, "", "--namespace", s.key.Namespace, "get", "daemonset", s.key.Name, "--output=json")
	s.ok(err)
	d := &appsv1.DaemonSet{}
	s.ok(json.Unmarshal([]byte(out), d))
	return d
}
