//go:build e2e

package stories

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/harness"
)

// deletedPrimary comes back from the snapshot of the last good revision, not from the target.
func deletedPrimary(t *testing.T) {
	s := adopted(t, "deleted", nil)
	s.deploy("bad2")
	s.started("")
	s.finished(v1beta1.PhaseFailed)
	// Between rollouts, with a failed version as target.
	s.deletePrimary()
	s.primaryRuns("v1")
	// During a rollout.
	s.deploy("v3")
	s.until("gives users to v3", rollout, func(c *v1beta1.Canary) bool { return c.Status.CanaryWeight > 0 })
	s.deletePrimary()
	s.primaryRuns("v1")
	s.finished(v1beta1.PhaseSucceeded)
	s.primaryRuns("v3")
}

// deletePrimary deletes the primary and waits until it is back and ready.
func (s *story) deletePrimary() {
	s.Helper()
	name := s.primary().Name
	uid := func() string {
		out, err := stage.Cluster.Kubectl(s.ctx, "", "--namespace", s.key.Namespace, "get", "deployment", name, "--ignore-not-found", "--output=jsonpath={.metadata.uid}")
		s.ok(err)
		return out
	}
	before := uid()
	_, err := stage.Cluster.Kubectl(s.ctx, "", "--namespace", s.key.Namespace, "delete", "deployment", name)
	s.ok(err)
	s.eventually("the primary is back", func() bool { now := uid(); return now != "" && now != before })
	s.ok(stage.RolledOut(s.ctx, s.key.Namespace, name))
}

// killedController kills the leader again and again during a rollout: it goes on correctly, promotes once, and no user notices.
func killedController(t *testing.T, alone func()) {
	s := begin(t, "killed")
	s.initialise(measured)
	alone()
	s.ask()
	since := time.Now()
	s.deploy("v2")
	s.started("")
	killed := 0
	last := v1beta1.Stage("")
	for over := false; !over; {
		m, err := s.timeline.Wait(s.ctx, func(m harness.Moment) bool {
			return m.Stage() != last || (m.Canary != nil && m.Canary.Status.Rollout == nil && m.Phase() == v1beta1.PhaseSucceeded)
		})
		s.ok(err)
		if last = m.Stage(); last == "" {
			over = true
			continue
		}
		leader, err := stage.Leader(s.ctx)
		s.ok(err)
		if leader == "" {
			continue
		}
		// A leader that is being replaced already cannot be killed again.
		if err := stage.KillPod(s.ctx, types.NamespacedName{Namespace: harness.SluiceNamespace, Name: leader}); err == nil {
			killed++
		}
	}
	s.finished(v1beta1.PhaseSucceeded)
	if killed < 3 {
		t.Errorf("the controller was killed %d times only", killed)
	}
	t.Logf("the controller was killed %d times", killed)
	s.unharmed(since)
	s.shares("v2", since)
	s.primaryRuns("v2")
	promotions := 0
	for i, moments := 1, s.timeline.Since(since); i < len(moments); i++ {
		if moments[i].Phase() == v1beta1.PhaseSucceeded && moments[i-1].Phase() != v1beta1.PhaseSucceeded {
			promotions++
		}
	}
	if promotions != 1 {
		t.Errorf("promoted %d times", promotions)
	}
}

// noAnswers lets the analysis go without answers: nothing is promoted, and status says why.
func noAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*canary)
		want   v1beta1.Verdict
	}{
		"prometheus down": {func(c *canary) { c.MetricsServer = "http://nobody.test:9090" }, v1beta1.VerdictError},
		"no traffic":      {func(c *canary) { c.Provider, c.Query = "kubernetes", "sum(rate(requests_that_nobody_sends[1m]))" }, v1beta1.VerdictNoData},
	} {
		t.Run(name, func(t *testing.T) {
			s := begin(t, strings.ReplaceAll(name, " ", "-"))
			s.apply(s.manifest(c.change))
			s.phase(rollout, v1beta1.PhaseInitialized)
			s.deploy("v2")
			s.started("")
			got := s.finished(v1beta1.PhaseFailed)
			s.primaryRuns("v1")
			if len(got.Status.Checks) == 0 || got.Status.Checks[0].Verdict != c.want || got.Status.Checks[0].Message == "" {
				t.Errorf("checks: %+v", got.Status.Checks)
			}
		})
	}
}
