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

// serviceTarget tells of a Service whose owner leads it from one Deployment to another. A second change at 50% answers no user before its own first
// step; it is promoted, one that fails users is rolled back, and the Service is given back. No user is failed but by the bad version itself, and the
// Deployments are left alone.
func serviceTarget(t *testing.T) {
	s := beginService(t, "shop", "v1", "v2", "v3", "bad4")
	s.adopt(func(c *canary) { c.Query = s.goodAnswers() })
	since := time.Now()

	s.lead("v2")
	first := s.half()
	s.eventually("v2 answers users", func() bool { return !s.served("v2").IsZero() })
	s.lead("v3")
	second := s.started(first)
	s.finished(v1beta1.PhaseSucceeded)
	s.leads("shop-primary", "v3")
	s.onlyByItsSteps("v3", second.Status.Rollout.Revision)
	s.unharmed(since)

	since = time.Now()
	s.lead("bad4")
	s.finished(v1beta1.PhaseFailed)
	back := time.Now()
	s.leads("shop-primary", "v3")
	s.leads("shop-canary", "v3")
	if failed := s.users.Recording().Between(since, back).Summary(); failed.Failed == 0 || failed.ByVersion["v3"].Failed > 0 {
		t.Errorf("until the rollback %d users were failed, %d by v3: want some, all by the bad version", failed.Failed, failed.ByVersion["v3"].Failed)
	}

	_, err := stage.Cluster.Kubectl(s.ctx, "", "--namespace", s.key.Namespace, "delete", "canary", s.key.Name, "--timeout=5m")
	s.ok(err)
	s.leads("shop", "v3")
	s.givenBack(back, "v3")
}

// beginService makes a story of a Service that leads to the first of several Deployments, one for each version.
func beginService(t *testing.T, name string, versions ...string) *story {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &story{T: t, ctx: ctx, app: harness.App{Kind: "Service", Name: name, Version: versions[0]}}
	s.key = s.app.Key()
	s.timeline = stage.Follow(ctx, s.key)
	t.Cleanup(func() {
		defer cancel()
		if s.users != nil {
			s.users.Stop()
		}
		if t.Failed() {
			t.Log(stage.Report(context.WithoutCancel(ctx), s.key))
		}
		ending, done := context.WithTimeout(context.WithoutCancel(ctx), rollout)
		defer done()
		left := [][]string{{"canary", name}, {"service,httproute", name}}
		for _, v := range versions {
			left = append(left, []string{"deployment,configmap", behind(name, v), behind(name, v) + "-page"})
		}
		for _, l := range left {
			args := append([]string{"delete", "--namespace", s.key.Namespace, "--ignore-not-found", "--timeout=2m"}, l...)
			if _, err := stage.Cluster.Kubectl(ending, "", args...); err != nil {
				t.Errorf("clean up: %v", err)
			}
		}
	})
	for _, v := range versions {
		s.ok(stage.Deploy(ctx, s.behind(v)))
	}
	for _, v := range versions {
		s.ok(stage.AppRolledOut(ctx, s.behind(v)))
	}
	s.lead(versions[0])
	return s
}

func behind(service, version string) string { return service + "-" + version }

// behind is the Deployment of a version. One pod will do.
func (s *story) behind(version string) harness.App {
	return harness.App{
		Kind: "Deployment", Name: behind(s.key.Name, version), Version: version, Broken: strings.HasPrefix(version, "bad"), Replicas: 1,
	}
}

// lead has the Service lead to the Deployment of a version, as its owner does.
func (s *story) lead(version string) {
	s.Helper()
	s.apply(fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: %s}
spec:
  selector: {app: %s}
  ports: [{name: http, port: 80, targetPort: http}]
`, s.key.Name, s.key.Namespace, behind(s.key.Name, version)))
}

// leads fails the story unless a Service leads to the Deployment of a version.
func (s *story) leads(service, version string) {
	s.Helper()
	out, err := stage.Cluster.Kubectl(s.ctx, "", "--namespace", s.key.Namespace, "get", "service", service, "--output=jsonpath={.spec.selector.app}")
	s.ok(err)
	if want := behind(s.key.Name, version); out != want {
		s.Errorf("Service %s leads to %s, want %s", service, out, want)
	}
}

// goodAnswers asks for the share of good answers of all that may be behind the Service: nobody but its owner knows which of them is behind the canary's.
func (s *story) goodAnswers() string {
	count := func(more string) string {
		return fmt.Sprintf("sum(rate(http_request_duration_seconds_count{kubernetes_namespace=%q,kubernetes_pod_name=~%q%s}[10s]))",
			s.key.Namespace, s.key.Name+"-.*", more)
	}
	return "'100 * " + count(`,status!~"5.*"`) + " / " + count("") + "'"
}
