//go:build e2e

package stories

import (
	"context"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// goodVersion is promoted, and no user notices.
func goodVersion(t *testing.T) {
	s := adopted(t, "good", measured)
	since := time.Now()
	s.deploy("v2")
	c := s.started("")
	s.finished(v1beta1.PhaseSucceeded)
	s.eventually("all users are served by v2", func() bool {
		recent := s.users.Recording().Between(time.Now().Add(-time.Second), time.Time{}).Summary()
		return recent.Requests > 10 && recent.ByVersion["v2"].Requests == recent.Requests
	})
	s.unharmed(since)
	s.shares("v2", since)
	s.onlyByItsSteps("v2", c.Status.Rollout.Revision)
	s.primaryRuns("v2")
}

// badVersion is rolled back after the threshold; users are failed at the analysed weights only.
func badVersion(t *testing.T) {
	s := adopted(t, "bad", nil)
	since := time.Now()
	s.deploy("bad2")
	s.started("")
	c := s.finished(v1beta1.PhaseFailed)
	back := time.Now()
	s.primaryRuns("v1")
	if len(c.Status.Checks) == 0 || c.Status.Checks[0].Verdict == v1beta1.VerdictPass || c.Status.Checks[0].Message == "" {
		t.Errorf("status does not explain the outcome: %+v", c.Status.Checks)
	}
	for _, m := range s.timeline.Since(since) {
		if m.RouteWeight > 20 {
			t.Errorf("the route was opened to %d%%, beyond the first step", m.RouteWeight)
		}
	}
	s.eventually("users are watched for a while after the rollback", func() bool {
		return s.users.Recording().Between(back, time.Time{}).Summary().Requests > 200
	})
	s.unharmed(back)
	if failed := s.users.Recording().Between(since, back).Summary().Failed; failed == 0 {
		t.Error("no user was failed by the bad version: the story proves nothing")
	}
}

// blueGreenOnServices promotes without any route: users stay on the primary until it is the new version.
func blueGreenOnServices(t *testing.T) {
	s := begin(t, "bluegreen")
	s.apply(s.manifest(func(c *canary) { c.Provider = "kubernetes" }))
	s.phase(rollout, v1beta1.PhaseInitialized)
	s.deploy("v2")
	s.started("")
	s.finished(v1beta1.PhaseSucceeded)
	s.primaryRuns("v2")
}

// appliedTogether applies a Canary and, right behind it in one kubectl apply, a changed Deployment: what served before becomes the primary,
// and the change is analysed.
func appliedTogether(t *testing.T) {
	s := begin(t, "together")
	app := s.app
	app.Version = "v2"
	deployment, err := app.Manifests(stage)
	s.ok(err)
	s.apply(s.manifest(nil) + "\n---\n" + deployment)
	s.eventually("there is a primary", func() bool {
		v, err := stage.DeployedVersion(s.ctx, s.primary())
		s.ok(err)
		return v != ""
	})
	s.primaryRuns("v1")
	s.until("has a route", rollout, func(c *v1beta1.Canary) bool {
		return c.Status.Phase != "" && c.Status.Phase != v1beta1.PhaseInitializing
	})
	s.ask()
	c := s.started("")
	s.finished(v1beta1.PhaseSucceeded)
	s.onlyByItsSteps("v2", c.Status.Rollout.Revision)
	s.primaryRuns("v2")
}

// secondChange pushes another version while the first is at 50%: it answers no user before its own first step.
func secondChange(t *testing.T) {
	s := adopted(t, "second", nil)
	s.deploy("v2")
	first := s.half()
	since := time.Now()
	s.deploy("v3")
	second := s.started(first)
	s.finished(v1beta1.PhaseSucceeded)
	s.onlyByItsSteps("v3", second.Status.Rollout.Revision)
	s.unharmed(since)
	s.primaryRuns("v3")
}

// secondChangeUnattended does the same while Sluice is away, webhook and controller.
func secondChangeUnattended(t *testing.T, alone func()) {
	s := begin(t, "unattended")
	s.initialise(nil)
	alone()
	s.ask()
	s.deploy("v2")
	first := s.half()
	s.ok(stage.ScaleSluice(s.ctx, 0))
	t.Cleanup(func() {
		if err := stage.ScaleSluice(context.WithoutCancel(s.ctx), 2); err != nil {
			t.Error(err)
		}
	})
	s.deploy("v3")
	s.ok(stage.RolledOut(s.ctx, s.key.Namespace, s.key.Name))
	asked := len(s.users.Recording().Results)
	s.eventually("users ask for a while", func() bool { return len(s.users.Recording().Results) > asked+300 })
	if at := s.served("v3"); !at.IsZero() {
		t.Errorf("v3 answered a user at %s without any analysis", at)
	}
	s.ok(stage.ScaleSluice(s.ctx, 2))
	second := s.started(first)
	s.finished(v1beta1.PhaseSucceeded)
	s.onlyByItsSteps("v3", second.Status.Rollout.Revision)
	s.primaryRuns("v3")
}

// half waits until the rollout has 50% of the users, and returns its revision.
func (s *story) half() string {
	s.Helper()
	return s.until("is at 50%", rollout, func(c *v1beta1.Canary) bool { return c.Status.CanaryWeight == 50 }).Status.Rollout.Revision
}

func (s *story) primary() types.NamespacedName {
	return types.NamespacedName{Namespace: s.key.Namespace, Name: s.key.Name + "-primary"}
}

func (s *story) primaryRuns(version string) {
	s.Helper()
	got, err := stage.DeployedVersion(s.ctx, s.primary())
	s.ok(err)
	if got != version {
		s.Errorf("the primary runs %q, not %q", got, version)
	}
}
