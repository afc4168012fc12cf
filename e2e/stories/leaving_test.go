//go:build e2e

package stories

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/harness"
)

// deletedCanary gives the application back, between rollouts and in the middle of one, and no user notices.
func deletedCanary(t *testing.T) {
	for name, prepare := range map[string]func(*story){
		"idle": func(*story) {},
		"midway": func(s *story) {
			s.deploy("v2")
			s.half()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := adopted(t, "leave-"+name, nil)
			prepare(s)
			since := time.Now()
			_, err := stage.Cluster.Kubectl(s.ctx, "", "--namespace", s.key.Namespace, "delete", "canary", s.key.Name, "--timeout=5m")
			s.ok(err)
			s.givenBack(since, "v1")
		})
	}
}

// deletedNamespace deletes an application together with its Canary, between rollouts and in the middle of one: nothing is left to give back, so
// nothing holds the namespace.
func deletedNamespace(t *testing.T) {
	for name, prepare := range map[string]func(*story){
		"idle": func(*story) {},
		"midway": func(s *story) {
			s.deploy("v2")
			s.until("has users", rollout, func(c *v1beta1.Canary) bool { return c.Status.CanaryWeight > 0 })
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := beginIn(t, "going-"+name, "going")
			s.initialise(nil)
			prepare(s)
			_, err := stage.Cluster.Kubectl(s.ctx, "", "delete", "namespace", s.key.Namespace, "--timeout=5m")
			s.ok(err)
		})
	}
}

// givenBack checks that the target serves all users with the last good version, that Sluice left nothing behind, and that no user was failed.
func (s *story) givenBack(since time.Time, version string) {
	s.Helper()
	s.eventually("the primary is gone", func() bool {
		v, err := stage.DeployedVersion(s.ctx, s.primary())
		s.ok(err)
		return v == ""
	})
	gone := time.Now()
	s.eventually("users are watched for a while", func() bool {
		return s.users.Recording().Between(gone, time.Time{}).Summary().Requests > 200
	})
	s.unharmed(since)
	after := s.users.Recording().Between(gone, time.Time{}).Summary()
	if after.ByVersion[version].Requests != after.Requests {
		s.Errorf("users are served by %v, not by %s alone", after.Versions(), version)
	}
	out, err := stage.Cluster.Kubectl(s.ctx, "", "--namespace", s.key.Namespace, "get", s.app.Kind, s.key.Name, "--output=yaml")
	s.ok(err)
	if strings.Contains(out, "sluice.dev/") {
		s.Errorf("Sluice left its marks on the target:\n%s", out)
	}
}

// emergencyExit takes Sluice away from everything with one command; what is left is removed afterwards, in the documented order. It is the
// last story, because no other can be played after it.
func emergencyExit(t *testing.T, alone func()) {
	alone()
	idle, midway := begin(t, "exit-idle"), begin(t, "exit-midway")
	adoptAll(idle, midway)
	midway.deploy("v2")
	midway.half()
	since := time.Now()
	out, err := stage.Cluster.Kubectl(t.Context(), "", "--namespace", harness.SluiceNamespace, "exec", "deploy/sluice", "--", "sluice", "exit")
	if err != nil {
		t.Fatal(err)
	}
	t.Log(out)
	hooks, err := stage.Cluster.Kubectl(t.Context(), "", "get", "mutatingwebhookconfigurations,validatingwebhookconfigurations", "--output=name")
	if err != nil || strings.Contains(hooks, "sluice") {
		t.Errorf("webhook configurations are left: %s %v", hooks, err)
	}
	for _, s := range []*story{idle, midway} {
		s.givenBack(since, "v1")
	}
	for _, args := range [][]string{
		{"delete", "canaries", "--all", "--all-namespaces", "--timeout=5m"},
		{"delete", "namespace", harness.SluiceNamespace, "--timeout=5m"},
		{"delete", "crd", "canaries.flagger.app", "metrictemplates.flagger.app", "alertproviders.flagger.app", "--timeout=5m"},
	} {
		if _, err := stage.Cluster.Kubectl(t.Context(), "", args...); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []*story{idle, midway} {
		s.unharmed(since)
	}
}
