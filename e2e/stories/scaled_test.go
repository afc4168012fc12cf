//go:build e2e

package stories

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/cluster/addons"
	"github.com/sluice-dev/sluice/e2e/harness"
)

// The users of this story need all the pods that its autoscaler may make: each is to use three thousandths of a CPU, which few requests do. The
// autoscaler forgets at once, so that it shrinks whatever has no users.
const autoscaler = `
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: {{ .Name }}, namespace: {{ .Namespace }}}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ .Name }}}
  minReplicas: 1
  maxReplicas: 3
  metrics: [{type: Resource, resource: {name: cpu, target: {type: AverageValue, averageValue: 3m}}}]
  behavior: {scaleDown: {stabilizationWindowSeconds: 0}}
`

// scaledByLoad tells of an application that is sized by the CPU that its pods use, as the kubelet measures it. Users bring the primary to its full size; a
// good version is promoted, and during the next rollout somebody scales the primary down and takes the change back: users return as its pods come.
// Nobody is failed.
func scaledByLoad(t *testing.T) {
	s := beginWith(t, harness.App{Kind: "Deployment", Name: "sized", Version: "v1", Scaled: true})
	s.ok(addons.MetricsServer(s.ctx, stage.Cluster, addons.Options{Log: os.Stderr}))
	manifest, err := harness.Render("autoscaler", autoscaler, s.canary())
	s.ok(err)
	s.apply(manifest)
	t.Cleanup(func() { s.deleteAutoscaler() })
	s.adopt(func(c *canary) { c.Autoscaler = true })
	s.within(rollout, "the load has brought the primary to its full size", func() bool { return s.number("deployment", "sized-primary", "{.status.readyReplicas}") == 3 })
	if measured := s.field("hpa", "sized-primary", "{.status.currentMetrics[0].resource.current.averageValue}"); measured == "" {
		t.Error("the primary's autoscaler has no CPU metrics")
	} else {
		t.Logf("each of the primary's 3 pods uses %s of CPU", measured)
	}

	since := time.Now()
	s.deploy("v2")
	s.half()
	if n := s.number("deployment", "sized", "{.spec.replicas}"); n < 2 {
		t.Errorf("half of the users of 3 pods came to %d", n)
	}
	if n := s.number("hpa", "sized-primary", "{.spec.minReplicas}"); n != 3 {
		t.Errorf("the primary may shrink to %d while its users may come back", n)
	}
	s.finished(v1beta1.PhaseSucceeded)
	s.primaryRuns("v2")
	s.unharmed(since)

	since = time.Now()
	s.deploy("v3")
	s.half()
	_, err = stage.Cluster.Kubectl(s.ctx, "", "--namespace", s.key.Namespace, "scale", "deployment", "sized-primary", "--replicas=1")
	s.ok(err)
	s.deploy("v2")
	s.finished(v1beta1.PhaseSucceeded)
	s.primaryRuns("v2")
	if n := s.number("deployment", "sized-primary", "{.status.readyReplicas}"); n != 3 {
		t.Errorf("all users are back, and the primary has %d ready pods", n)
	}
	s.unharmed(since)
}

func (s *story) deleteAutoscaler() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), soon)
	defer cancel()
	_, err := stage.Cluster.Kubectl(ctx, "", "--namespace", s.key.Namespace, "delete", "hpa", s.key.Name, "--ignore-not-found")
	if err != nil {
		s.Errorf("clean up: %v", err)
	}
}

// field reads a field of an object, by its JSON path.
func (s *story) field(kind, name, path string) string {
	s.Helper()
	out, err := stage.Cluster.Kubectl(s.ctx, "", "--namespace", s.key.Namespace, "get", kind, name, "--output=jsonpath="+path)
	s.ok(err)
	return strings.TrimSpace(out)
}

func (s *story) number(kind, name, path string) int {
	s.Helper()
	text := s.field(kind, name, path)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	s.ok(err)
	return n
}
