//go:build e2e

package stories

import (
	"context"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/harness"
)

func ephemeral(c *canary) { c.Lifecycle = string(v1beta1.LifecycleEphemeral) }

// beginAtHome makes a story of an application whose Deployment, page and Service are in Git.
func beginAtHome(t *testing.T, name string) *story {
	t.Helper()
	s := beginWith(t, harness.App{Kind: "Deployment", Name: name, Version: "v1", Immutable: true})
	s.ok(s.sync("v1"))
	return s
}

// inGit is what Git holds of a version: also a Service, with a selector and a port name of its own.
func (s *story) inGit(version string) string {
	s.Helper()
	app := s.app
	app.Version, app.Broken = version, strings.HasPrefix(version, "bad")
	text, err := app.Manifests(stage)
	s.ok(err)
	service, err := harness.Render("service", `apiVersion: v1
kind: Service
metadata: {name: {{ .Name }}, namespace: {{ .Namespace }}}
spec:
  selector: {app: {{ .Name }}}
  ports: [{name: web, port: 80, targetPort: http}]
`, struct{ Name, Namespace string }{s.key.Name, s.key.Namespace})
	s.ok(err)
	return text + "\n---\n" + service
}

// sync applies what Git holds of a version.
func (s *story) sync(version string) error {
	s.Helper()
	_, err := stage.Cluster.Kubectl(s.ctx, s.inGit(version), "apply", "--server-side", "--force-conflicts", "--field-manager=git", "-f", "-")
	return err
}

// asInGit fails the story if another sync of the same version would change anything, or is in conflict with somebody.
func (s *story) asInGit(version string) {
	s.Helper()
	out, err := stage.Cluster.Kubectl(s.ctx, s.inGit(version), "apply", "--server-side", "--dry-run=server", "--field-manager=git", "--output=json", "-f", "-")
	s.ok(err)
	var would unstructured.UnstructuredList
	s.ok(json.Unmarshal([]byte(out), &would))
	for i := range would.Items {
		w := &would.Items[i]
		args := []string{"get", w.GetKind(), w.GetName(), "--output=json"}
		if w.GetNamespace() != "" {
			args = append(args, "--namespace", w.GetNamespace())
		}
		out, err := stage.Cluster.Kubectl(s.ctx, "", args...)
		s.ok(err)
		is := &unstructured.Unstructured{}
		s.ok(json.Unmarshal([]byte(out), is))
		for _, u := range []*unstructured.Unstructured{w, is} {
			u.SetManagedFields(nil)
			u.SetResourceVersion("")
			delete(u.Object, "status")
		}
		if !equality.Semantic.DeepEqual(w.Object, is.Object) {
			a, _ := json.Marshal(is.Object)
			b, _ := json.Marshal(w.Object)
			s.Errorf("a sync would change %s %s\nfrom %s\nto   %s", w.GetKind(), w.GetName(), a, b)
		}
	}
	if len(would.Items) < 4 {
		s.Errorf("only %d objects are in Git", len(would.Items))
	}
}

// pods are those of the target that are not going, by UID, with their version.
func (s *story) pods() map[string]string {
	s.Helper()
	out, err := stage.Cluster.Kubectl(s.ctx, "", "--namespace", s.key.Namespace, "get", "pods", "--selector=app="+s.key.Name, "--output=json")
	s.ok(err)
	var list corev1.PodList
	s.ok(json.Unmarshal([]byte(out), &list))
	pods := map[string]string{}
	for _, p := range list.Items {
		if p.DeletionTimestamp == nil {
			pods[string(p.UID)] = p.Labels["version"]
		}
	}
	return pods
}

// atHome waits until the target serves a version and nothing is under way.
func (s *story) atHome(version string) {
	s.Helper()
	s.until("is at home with "+version, rollout, func(c *v1beta1.Canary) bool {
		v, err := stage.DeployedVersion(s.ctx, s.key)
		return err == nil && v == version && c.Status.TargetServes && c.Status.Rollout == nil && c.Status.FailedRevision == ""
	})
}

// servedBy waits until all users are served by a version.
func (s *story) servedBy(version string) {
	s.Helper()
	s.eventually("all users are served by "+version, func() bool {
		recent := s.users.Recording().Between(time.Now().Add(-time.Second), time.Time{}).Summary()
		return recent.Requests > 10 && recent.ByVersion[version].Requests == recent.Requests
	})
}

// command runs a command of a person on the target, and returns what it prints and says.
func (s *story) command(args ...string) (string, error) {
	return stage.Cluster.Kubectl(s.ctx, "", append([]string{"--namespace", s.key.Namespace}, args...)...)
}

// ephemeralGood tells of a target that serves by itself: adopting it restarts no pod, a good version is promoted without a second roll, afterwards all is
// as in Git, and kubectl rollout undo leads users back at once. No user is failed.
func ephemeralGood(t *testing.T) {
	s := beginAtHome(t, "passing")
	before := s.pods()
	s.adopt(ephemeral)
	if after := s.pods(); !maps.Equal(after, before) {
		t.Errorf("adopted: pods %v, before %v", after, before)
	}
	s.asInGit("v1")
	since := time.Now()
	s.ok(s.sync("v2"))
	c := s.started("")
	s.half()
	analysed := s.pods()
	s.finished(v1beta1.PhaseSucceeded)
	s.servedBy("v2")
	s.onlyByItsSteps("v2", c.Status.Rollout.Revision)
	serving := s.pods()
	for uid, version := range analysed {
		if serving[uid] != version || version != "v2" {
			t.Errorf("pod %s of %s was analysed and does not serve: %v", uid, version, serving)
		}
	}
	t.Logf("%d pods were analysed, and are among the %d that serve", len(analysed), len(serving))
	s.asInGit("v2")
	s.unharmed(since)

	back := time.Now()
	_, err := s.command("rollout", "undo", "deployment/"+s.key.Name)
	s.ok(err)
	s.until("has users on the primary that was kept", soon, func(c *v1beta1.Canary) bool { return !c.Status.TargetServes })
	s.servedBy("v1")
	results := s.users.Recording().Between(back, time.Time{}).Results
	last := back
	for _, r := range results {
		if r.Version == "v2" {
			last = r.Start
		}
	}
	t.Logf("the last user was served by v2 %s after kubectl rollout undo", last.Sub(back).Round(time.Millisecond))
	s.atHome("v1")
	s.asInGit("v1")
	s.unharmed(since)
}

// ephemeralBad tells of a bad version: users stay on the primary, the target waits for a fix, and with it they come home. Then the Canary is deleted, which
// restarts no pod.
func ephemeralBad(t *testing.T) {
	s := beginAtHome(t, "failing")
	s.adopt(ephemeral)
	since := time.Now()
	s.ok(s.sync("bad2"))
	s.started("")
	s.finished(v1beta1.PhaseFailed)
	back := time.Now()
	if failed := s.users.Recording().Between(since, back).Summary().Failed; failed == 0 {
		t.Error("no user was failed by the bad version: the story proves nothing")
	}
	s.primaryRuns("v1")
	s.ok(s.sync("v1"))
	s.atHome("v1")
	s.servedBy("v1")
	s.asInGit("v1")
	before := s.pods()
	_, err := s.command("delete", "canary", s.key.Name, "--timeout=5m")
	s.ok(err)
	s.givenBack(back, "v1")
	if after := s.pods(); !maps.Equal(after, before) {
		t.Errorf("given back: pods %v, before %v", after, before)
	}
}

// switchedLifecycle switches a Canary that serves from one lifecycle to the other and back, and no user notices.
func switchedLifecycle(t *testing.T) {
	s := beginAtHome(t, "switching")
	s.adopt(nil)
	since := time.Now()
	for range 2 {
		s.apply(s.manifest(ephemeral))
		s.until("has its users at home", rollout, func(c *v1beta1.Canary) bool { return c.Status.TargetServes && c.Status.Rollout == nil })
		s.apply(s.manifest(func(c *canary) { c.Lifecycle = string(v1beta1.LifecyclePersistent) }))
		s.until("has its users on the primary", rollout, func(c *v1beta1.Canary) bool { return !c.Status.TargetServes && c.Status.Rollout == nil })
	}
	s.unharmed(since)
}

// ephemeralUnattended changes a target that serves while Sluice is away: the change is refused and never served; all else goes on.
func ephemeralUnattended(t *testing.T, alone func()) {
	s := beginAtHome(t, "guarded")
	s.withHistory()
	s.initialise(ephemeral)
	alone()
	s.ask()
	since := time.Now()
	s.ok(stage.ScaleSluice(s.ctx, 0))
	t.Cleanup(func() {
		if err := stage.ScaleSluice(context.WithoutCancel(s.ctx), 2); err != nil {
			t.Error(err)
		}
	})
	if err := s.sync("v2"); err == nil || !strings.Contains(err.Error(), "verify-guarded.sluice.dev") {
		t.Errorf("a change that nobody can hold: %v, want a refusal", err)
	}
	_, err := s.command("scale", "deployment", s.key.Name, "--replicas=3")
	s.ok(err)
	s.ok(stage.AppRolledOut(s.ctx, s.app))
	target := "deployment/" + s.key.Name
	s.says("Sluice away", 0, "successfully rolled out", "rollout", "status", target, "--timeout=1m")
	s.says("Sluice away", 1, "verify-guarded.sluice.dev", "rollout", "restart", target)
	s.says("Sluice away", 1, "verify-guarded.sluice.dev", "rollout", "undo", target)
	s.says("Sluice away", 0, "annotated", "annotate", "canary", s.key.Name, v1beta1.AnnotationVerb+"=pause")
	asked := len(s.users.Recording().Results)
	s.eventually("users ask for a while", func() bool { return len(s.users.Recording().Results) > asked+100 })
	if at := s.served("v2"); !at.IsZero() {
		t.Errorf("v2 answered a user at %s without any analysis", at)
	}
	s.ok(stage.ScaleSluice(s.ctx, 2))
	s.until("ignores a verb that nobody has looked at", soon, func(c *v1beta1.Canary) bool {
		return c.Status.Verb != nil && c.Status.Verb.Outcome == v1beta1.VerbIgnored && c.Status.Paused == nil
	})
	s.ok(s.sync("v2"))
	c := s.started("")
	s.half()
	s.onlyByItsSteps("v2", c.Status.Rollout.Revision)
	s.unharmed(since)
}
