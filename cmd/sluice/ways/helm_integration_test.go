//go:build integration

package ways

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// helm runs the real Helm in the application's namespace. A failure ends the test.
func (a *app) helm(args ...string) {
	a.Helper()
	program := os.Getenv("HELM")
	if program == "" {
		a.Fatal("HELM is not set: it names Helm's program; make integration builds it and sets it")
	}
	ctx, cancel := context.WithTimeout(a.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append(args, "--kubeconfig", world.kubeconfig, "--namespace", a.ns)...)
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+a.dir, "HELM_CONFIG_HOME="+a.dir, "HELM_DATA_HOME="+a.dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		a.Fatalf("helm %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// release installs or upgrades the release.
func (a *app) release(version int, colour string, args ...string) {
	a.Helper()
	values := fmt.Sprintf("version=%d,colour=%s,gate=%s", version, colour, world.server.URL)
	a.helm(append([]string{"upgrade", "--install", "shop", "testdata/chart", "--set", values}, args...)...)
}

// TestHelm takes a release through its life, with the Canary in the chart.
func TestHelm(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.release(1, "blue")
	a.promoted("web:1", 0)

	a.release(2, "red")
	a.promoted("web:2", 1)
	a.unmarked()
	// A target without pods does not keep Helm waiting.
	a.release(2, "red", "--wait", "--timeout=3m")
	a.promoted("web:2", 1)

	// The release before is a version like any other, unless it is what is promoted already.
	a.rollback("1")
	a.promoted("web:1", 2)
	if got := a.shown(); got != "blue" {
		t.Errorf("the primary's pods show %q", got)
	}
	world.set(a.ns, true)
	a.release(3, "green")
	a.halfway("web:3", 3)
	a.rollback()
	a.promoted("web:1", 3)

	// After a failed analysis a rollback is nothing new to analyse.
	world.fail(a.ns, true)
	a.release(4, "white")
	a.until("the analysis fails", func(st *v1beta1.CanaryStatus) bool { return st.Phase == v1beta1.PhaseFailed && st.Rollout == nil })
	world.fail(a.ns, false)
	a.rollback()
	a.promoted("web:1", 4)

	a.helm("uninstall", "shop")
	a.eventually("nothing is left that runs", func() bool {
		return a.kubectl("get", "canaries,deployments,replicasets,pods", "-o", "name") == ""
	})
	// Service and route stay, as they do for an application that goes on without Sluice.
	if left := a.kubectl("get", "services,httproutes,secrets,controllerrevisions", "-o", "name"); left != "service/web\nhttproute.gateway.networking.k8s.io/web\n" {
		t.Errorf("left by an uninstalled release:\n%s", left)
	}
}

// rollback goes back to a revision of the release, by default the one before.
func (a *app) rollback(revision ...string) {
	a.Helper()
	a.helm(append([]string{"rollback", "shop"}, revision...)...)
}

// unmarked fails the test if anything that Sluice made carries what Helm marks its own objects with.
func (a *app) unmarked() {
	a.Helper()
	var made []client.Object
	var d appsv1.Deployment
	if err := world.admin.Get(a.Context(), client.ObjectKey{Namespace: a.ns, Name: "web-primary"}, &d); err != nil {
		a.Fatal(err)
	}
	made = append(made, &d)
	var configs corev1.ConfigMapList
	if err := world.admin.List(a.Context(), &configs, client.InNamespace(a.ns), client.MatchingLabels{v1beta1.LabelTracked: v1beta1.TrackedCopy}); err != nil {
		a.Fatal(err)
	}
	if len(configs.Items) < 2 {
		a.Errorf("%d copies of the config, want one for each colour", len(configs.Items))
	}
	for i := range configs.Items {
		made = append(made, &configs.Items[i])
	}
	for _, o := range made {
		for _, entries := range []map[string]string{o.GetLabels(), o.GetAnnotations()} {
			for key, value := range entries {
				if strings.Contains(key, "helm.sh/") || value == "Helm" || key == "app.kubernetes.io/instance" {
					a.Errorf("%s carries %s: %s", o.GetName(), key, value)
				}
			}
		}
	}
}
