//go:build integration

package ways

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// scaled is a Deployment with an autoscaler. Its replicas are not in Git: whoever scales is their manager.
const scaled = "Deployment with an autoscaler"

// inGit writes what Git holds of an application that serves by itself: workload, configs, autoscaler and a Service with a port name of its own.
func (a *app) inGit(kind string, version int) string {
	a.Helper()
	replicas := "2"
	if kind == scaled {
		replicas = ""
	}
	dir := filepath.Join(a.dir, "git")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		a.Fatal(err)
	}
	workload := render(a.T, deploymentTemplate, map[string]any{"Version": version, "Replicas": replicas})
	scaler := `---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 2
  maxReplicas: 4
  metrics:
    - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}
`
	if kind != scaled {
		scaler = ""
	}
	if kind == "DaemonSet" {
		workload = strings.ReplaceAll(strings.Replace(workload, "kind: Deployment", "kind: DaemonSet", 1), "  replicas: 2\n", "")
	}
	configs := config("ConfigMap", "settings", "immutable: true\ndata: {colour: blue}") + config("Secret", "token", "immutable: true\nstringData: {token: \"1\"}")
	service := "---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  selector: {app: web}\n  ports: [{name: web, port: 80, targetPort: 8080}]\n"
	a.file("git/all.yaml", workload+scaler+configs+service)
	return dir
}

// TestHomeIsAsInGit applies the same manifests again by the same manager after adopting, after a whole rollout, after a way back, and after a failure and
// its fix: nothing would change, and nobody is in conflict.
func TestHomeIsAsInGit(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"Deployment", scaled, "DaemonSet"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			a := newApp(t)
			a.ephemeral = true
			sync := func(version int) {
				a.Helper()
				// Away from home the Service is Sluice's, and after a failure the replicas are: GitOps tools take such fields back.
				a.kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=git", "-f", a.inGit(kind, version))
			}
			same := func(when string, version int) {
				a.Helper()
				// Without force, so that a conflict would show.
				a.ask(when, noDiff, "diff", "--server-side", "--field-manager=git", "-f", a.inGit(kind, version))
			}
			sync(1)
			resource, _, _ := strings.Cut(strings.ToLower(kind), " ")
			a.kubectl("rollout", "status", resource+"/web", "--timeout=2m")
			same("not adopted", 1)
			canary := render(t, canaryTemplate, map[string]any{"Gate": world.server.URL, "Ephemeral": true})
			if kind == "DaemonSet" {
				canary = strings.Replace(canary, "kind: Deployment", "kind: DaemonSet", 1)
			}
			if kind == scaled {
				canary = strings.Replace(canary, "  service:\n", "  autoscalerRef: {apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, name: web}\n  service:\n", 1)
			}
			a.kubectl("apply", "-f", a.file("canary.yaml", canary))
			a.until("the Canary is initialised", func(st *v1beta1.CanaryStatus) bool { return st.Phase == v1beta1.PhaseInitialized && isReady(st) })
			same("adopted", 1)

			sync(2)
			a.atHome("web:2")
			same("promoted", 2)
			sync(1)
			a.atHome("web:1")
			same("back on the kept primary, and home again", 1)

			world.set(a.ns, true)
			sync(3)
			a.halfway("web:3", uncounted)
			a.does("abort")
			a.until("it has failed", func(st *v1beta1.CanaryStatus) bool { return st.Rollout == nil && st.FailedRevision != "" })
			world.set(a.ns, false)
			sync(4)
			a.atHome("web:4")
			same("after a failure and its fix", 4)
		})
	}
}

// TestDryRunOfADaemonSet is answered with the rollout that would follow, in both lifecycles.
func TestDryRunOfADaemonSet(t *testing.T) {
	t.Parallel()
	for _, ephemeral := range []bool{false, true} {
		a := newApp(t)
		a.ephemeral = ephemeral
		a.kubectl("apply", "--server-side", "--field-manager=git", "-f", a.inGit("DaemonSet", 1))
		a.kubectl("rollout", "status", "daemonset/web", "--timeout=2m")
		a.kubectl("apply", "-f", a.file("canary.yaml", strings.Replace(
			render(t, canaryTemplate, map[string]any{"Gate": world.server.URL, "Ephemeral": ephemeral}), "kind: Deployment", "kind: DaemonSet", 1)))
		a.until("the Canary is initialised", func(st *v1beta1.CanaryStatus) bool { return st.Phase == v1beta1.PhaseInitialized && isReady(st) })
		image := `--patch={"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:2"}]}}}}`
		a.foretells(a.foretold("patch", "daemonset", "web", image), "this change starts a rollout of web to revision ", "2 steps, at least ", "steps: weight 20, weight 50;")
		a.foretells(a.foretold("patch", "daemonset", "web", `--patch={"metadata":{"labels":{"x":"y"}},"spec":{"minReadySeconds":1}}`), "this change starts no rollout of web")
	}
}
