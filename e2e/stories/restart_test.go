//go:build e2e

package stories

import (
	"os"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/traffic"
)

// restartedCluster takes the power from the whole cluster in the middle of a rollout, with the webhook configurations in place. It comes up by
// itself, the rollout is where it was, and it ends well.
func restartedCluster(t *testing.T, alone func()) {
	// At this interval no check is due while anybody watches.
	s := begin(t, "power")
	s.initialise(func(c *canary) { c.Interval = "10m" })
	alone()
	s.ask()
	s.deploy("v2")
	before := s.until("has users", rollout, func(c *v1beta1.Canary) bool { return c.Status.CanaryWeight == 20 }).Status
	hooks := s.hooks()
	start := time.Now()
	s.ok(stage.Cluster.Restart(s.ctx, os.Stderr))
	t.Logf("the node and cluster DNS work %s after the power was gone", time.Since(start).Round(100*time.Millisecond))

	// What pods say of themselves may be from before: only what they do counts.
	all := changesOf("power", "power")
	s.within(rollout, "the gate has a say", func() bool { return s.changeOnce(all).Gated })
	t.Logf("the gate has a say again after %s", time.Since(start).Round(100*time.Millisecond))
	if now := s.hooks(); now != hooks || now == "" {
		t.Errorf("the webhook configurations were %q and are %q", hooks, now)
	}
	s.within(rollout, "users are answered again", func() bool {
		recent := s.users.Recording().Between(time.Now().Add(-2*time.Second), time.Time{}).Summary()
		return recent.Requests > 20 && recent.Failed == 0
	})
	since := time.Now()
	t.Logf("users are served again after %s", since.Sub(start).Round(100*time.Millisecond))
	s.eventually("users are watched for a while", func() bool {
		return s.users.Recording().Between(since, time.Time{}).Summary().Requests > 200
	})
	c, err := stage.Canary(s.ctx, s.key)
	s.ok(err)
	if c.Status.Rollout == nil || c.Status.Rollout.Revision != before.Rollout.Revision || c.Status.CanaryWeight != before.CanaryWeight {
		t.Errorf("the Canary was at\n%+v\nand is at\n%+v", before.Rollout, c.Status)
	}
	served := s.users.Recording().Between(since, time.Time{}).Summary()
	if share := traffic.CheckShare(served.ByVersion["v2"].Requests, served.Requests, 20, confidence); !share.OK() {
		t.Errorf("at weight 20: %s", share)
	}
	_, err = stage.Cluster.Kubectl(s.ctx, "", "-n", s.key.Namespace, "patch", "canary", s.key.Name, "--type=merge", `--patch={"spec":{"skipAnalysis":true}}`)
	s.ok(err)
	s.finished(v1beta1.PhaseSucceeded)
	s.primaryRuns("v2")
	s.unharmed(since)
}

// hooks are the identities of Sluice's webhook configurations.
func (s *story) hooks() string {
	s.Helper()
	out, err := stage.Cluster.Kubectl(s.ctx, "", "get", "mutatingwebhookconfigurations,validatingwebhookconfigurations",
		"--selector=app.kubernetes.io/part-of=sluice", "--output=jsonpath={.items[*].metadata.uid}")
	s.ok(err)
	return out
}
