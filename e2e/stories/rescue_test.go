//go:build e2e

package stories

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/harness"
)

// rescued tells of a promotion that cannot finish, because a policy of the cluster refuses the primary's pods, while those that it had are lost: the healthy
// canary serves everybody, people are told what to do, and a fix is analysed and promoted without taking the canary away before.
func rescued(t *testing.T) {
	s := begin(t, "rescue")
	s.adopt(func(c *canary) { c.Deadline = 20 })
	s.refusePods("v3")
	s.deploy("v2")
	s.until("promotes v2", rollout, func(c *v1beta1.Canary) bool { return c.Status.Phase == v1beta1.PhasePromoting })
	lost := time.Now()
	_, err := stage.Cluster.Kubectl(s.ctx, "", "--namespace", s.key.Namespace, "delete", "pods", "--selector=app="+s.primary().Name, "--wait=false")
	s.ok(err)
	failed := s.until("says that the promotion has failed", rollout, func(c *v1beta1.Canary) bool {
		ready := c.Status.Condition(v1beta1.ConditionReady)
		return ready != nil && ready.Reason == "PromotionFailed" && c.Status.CanaryWeight == 100
	})
	if failed.Status.Phase != v1beta1.PhaseFailed {
		t.Errorf("the phase is %s", failed.Status.Phase)
	}
	for _, told := range []string{"rescue-primary", "find out why its pods do not get ready, or change rescue"} {
		if message := failed.Status.Condition(v1beta1.ConditionReady).Message; !strings.Contains(message, told) {
			t.Errorf("it does not say %q: %s", told, message)
		}
	}
	s.event("PromotionFailed")
	opened := s.moment("all users are on the canary", lost, func(m harness.Moment) bool { return m.RouteWeight == 100 })
	sheltered := opened.Add(settled)
	before := s.users.Recording().Between(lost, sheltered).Summary()
	t.Logf("from the loss of the primary's pods until the canary had everybody, %s later: %d user requests, %d failed: %s",
		opened.Sub(lost).Round(100*time.Millisecond), before.Requests, before.Failed, before.Failure())

	s.eventually("users are watched for a while", func() bool {
		return s.users.Recording().Between(sheltered, time.Time{}).Summary().Requests > 200
	})
	fixed := time.Now()
	s.met("users", s.users.Recording().Between(sheltered, fixed), sheltered, fixed, "v2")
	s.deploy("v3")
	s.started(failed.Status.Rollout.Revision)
	s.finished(v1beta1.PhaseSucceeded)
	s.primaryRuns("v3")
	s.eventually("all users are served by v3", func() bool {
		recent := s.users.Recording().Between(time.Now().Add(-time.Second), time.Time{}).Summary()
		return recent.Requests > 10 && recent.ByVersion["v3"].Requests == recent.Requests
	})
	s.unharmed(sheltered)
	first := s.moment("the fix has users", fixed, func(m harness.Moment) bool { return m.RouteWeight >= 0 && m.RouteWeight < 100 })
	if at := s.served("v3"); at.Before(first.Add(-time.Second)) {
		t.Errorf("v3 answered a user %s before its first step", first.Sub(at))
	}
}

// refusePods has the cluster refuse new pods of the story's primary that are not of a version, and returns once it does.
func (s *story) refusePods(but string) {
	s.Helper()
	s.apply(fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: %[1]s}
spec:
  matchConstraints:
    resourceRules:
      - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[2]s}}
  validations:
    - expression: "!has(object.metadata.labels) || !('app' in object.metadata.labels) || object.metadata.labels['app'] != '%[1]s' || object.metadata.labels['version'] == '%[3]s'"
      message: only %[3]s may be run there
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: %[1]s}
spec: {policyName: %[1]s, validationActions: [Deny]}
`, s.primary().Name, s.key.Namespace, but))
	s.Cleanup(func() {
		_, err := stage.Cluster.Kubectl(context.WithoutCancel(s.ctx), "", "delete", "--ignore-not-found",
			"validatingadmissionpolicybinding/"+s.primary().Name, "validatingadmissionpolicy/"+s.primary().Name)
		if err != nil {
			s.Errorf("clean up: %v", err)
		}
	})
	pod := fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: refused, namespace: %s, labels: {app: %s, version: v2}}
spec: {containers: [{name: none, image: none}]}
`, s.key.Namespace, s.primary().Name)
	s.eventually("the policy is in force", func() bool {
		out, err := stage.Cluster.Kubectl(s.ctx, pod, "apply", "--dry-run=server", "--filename=-")
		return err != nil && strings.Contains(out+err.Error(), "may be run there")
	})
}
