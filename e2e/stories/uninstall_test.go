//go:build e2e

package stories

import (
	"context"
	"flag"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/harness"
)

// orders are those in which Sluice is uninstalled; one takes about two minutes.
var orders = flag.String("uninstall", "namespace first", `orders of uninstalling to play, separated by commas, or "all"`)

// removal is one way to uninstall Sluice without giving the applications back first, and what is left to do then.
type removal struct {
	name string
	// first is what is deleted while Sluice still runs.
	first func(*story)
}

// removals are the orders that a person may choose. Whatever is first, everything else is deleted afterwards, by the shipped file.
var removals = []removal{
	{"namespace first", func(s *story) {
		s.kubectl("delete", "namespace", harness.SluiceNamespace, "--timeout=5m")
		// Nobody deletes them: they go with the namespace.
		s.eventually("no webhook configuration dangles", func() bool { return s.hooks() == "" })
	}},
	{"everything at once", func(*story) {}},
	{"CRDs first", func(s *story) {
		s.kubectl("delete", "crd", "canaries.flagger.app", "metrictemplates.flagger.app", "alertproviders.flagger.app", "--timeout=5m")
	}},
	{"rights first", func(s *story) {
		s.kubectl("delete", "clusterrolebindings,clusterroles", "--selector=app.kubernetes.io/part-of=sluice")
		s.kubectl("delete", "rolebindings,roles", "--namespace", harness.SluiceNamespace, "--all")
	}},
	{"webhook configurations first", func(s *story) {
		s.kubectl("delete", "mutatingwebhookconfigurations,validatingwebhookconfigurations", "--selector=app.kubernetes.io/part-of=sluice")
	}},
}

// uninstalled removes Sluice in the wrong order, with an application between rollouts and one in the middle of one. Users never notice, and the
// emergency exit, run from outside, clears what is stuck. Then Sluice is installed again.
func uninstalled(t *testing.T, alone func()) {
	alone()
	wanted := strings.Split(*orders, ",")
	for _, r := range removals {
		if *orders == "all" || slices.Contains(wanted, r.name) {
			t.Run(r.name, func(t *testing.T) { uninstall(t, r) })
		}
	}
}

func uninstall(t *testing.T, r removal) {
	idle, midway := begin(t, "removed-idle"), begin(t, "removed-midway")
	both := []*story{idle, midway}
	t.Cleanup(func() {
		// Before the applications are cleaned up, which needs the CRD.
		if err := stage.InstallSluice(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	adoptAll(both...)
	midway.deploy("v2")
	midway.until("has users", rollout, func(c *v1beta1.Canary) bool { return c.Status.CanaryWeight > 0 })
	since := time.Now()
	r.first(midway)
	shipped, err := stage.ShippedManifests(t.Context())
	midway.ok(err)
	// Waiting would be for ever: Canaries hold their CRD until their applications are given back.
	if _, err := stage.Cluster.Kubectl(t.Context(), shipped, "delete", "--ignore-not-found", "--wait=false", "-f", "-"); err != nil {
		t.Error(err)
	}
	midway.eventually("Sluice is gone", func() bool { return len(midway.sluicePods()) == 0 })
	stuck := midway.kubectl("get", "crd", "canaries.flagger.app", "--ignore-not-found", "--output=jsonpath={.status.conditions[?(@.type=='Terminating')].message}")
	t.Logf("the CRD of Canaries: %q", stuck)
	asked := len(midway.users.Recording().Results)
	midway.eventually("users ask for a while", func() bool { return len(midway.users.Recording().Results) > asked+100 })
	for _, s := range both {
		s.unharmed(since)
	}

	out, err := stage.ExitFromOutside(t.Context())
	midway.ok(err)
	t.Log(out)
	for _, s := range both {
		s.givenBack(since, "v1")
	}
	midway.eventually("nothing of Sluice is left", func() bool {
		left := midway.kubectl("get", "crd,clusterrole,clusterrolebinding,mutatingwebhookconfiguration,validatingwebhookconfiguration,namespace",
			"--selector=app.kubernetes.io/part-of=sluice", "--output=name")
		return left == ""
	})
}

// kubectl runs kubectl and returns what it prints.
func (s *story) kubectl(args ...string) string {
	s.Helper()
	out, err := stage.Cluster.Kubectl(s.ctx, "", args...)
	s.ok(err)
	return out
}
