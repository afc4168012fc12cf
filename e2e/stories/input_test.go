//go:build e2e

package stories

import (
	"context"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// denied refuses what is wrong in itself, naming field, value and remedy.
func denied(t *testing.T) {
	s := adopted(t, "denied", nil)
	other := func(change func(*canary)) string {
		return strings.Replace(s.manifest(change), "name: denied\n", "name: denied-too\n", 1)
	}
	for name, c := range map[string]struct {
		manifest string
		want     []string
	}{
		"unknown provider":    {strings.Replace(other(nil), "provider: gatewayapi:v1", "provider: gatewayapi", 1), []string{"spec.provider", "gatewayapi:v1"}},
		"unparsable interval": {other(func(c *canary) { c.Interval = "soon" }), []string{"spec.analysis.interval", "soon", "30s"}},
		"copies by a gateway that makes none": {
			other(strategy("iterations: 2", "mirror: true")), []string{"spec.analysis.mirror", "Gateway traefik/traefik", "HTTPRouteRequestMirror"},
		},
		"second Canary": {other(nil), []string{"spec.targetRef", "denied"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := stage.Apply(s.ctx, c.manifest)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the refusal does not mention %q: %v", want, err)
				}
			}
		})
	}
}

// lateTarget accepts a Canary whose target is missing, reports it, and picks the target up when it appears.
func lateTarget(t *testing.T) {
	s := begin(t, "late")
	_, err := stage.Cluster.Kubectl(s.ctx, "", "--namespace", s.key.Namespace, "delete", "deployment", "late")
	s.ok(err)
	out, err := stage.Cluster.Kubectl(s.ctx, s.manifest(nil), "apply", "-f", "-")
	s.ok(err)
	t.Log(out)
	s.until("reports the missing target", soon, func(c *v1beta1.Canary) bool {
		ready := c.Status.Condition(v1beta1.ConditionReady)
		return ready != nil && ready.Reason == "TargetNotFound" && strings.Contains(ready.Message, "late")
	})
	s.event("TargetNotFound")
	s.deploy("v1")
	s.phase(rollout, v1beta1.PhaseInitialized)
}

// lateGateway accepts a Canary whose gateway is missing, leaves the target serving, and goes on when the gateway appears.
func lateGateway(t *testing.T) {
	s := begin(t, "gateless")
	s.apply(s.manifest(func(c *canary) { c.Gateway = "late" }))
	s.until("reports the missing gateway", rollout, func(c *v1beta1.Canary) bool {
		ready := c.Status.Condition(v1beta1.ConditionReady)
		return ready != nil && ready.Reason == "RouteNotAccepted" && strings.Contains(ready.Message, "late")
	})
	s.event("RouteNotAccepted")
	s.ok(stage.RolledOut(s.ctx, s.key.Namespace, s.key.Name))
	s.apply(`
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: late, namespace: traefik}
spec:
  gatewayClassName: traefik
  listeners:
    - {name: web, port: 8000, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
`)
	t.Cleanup(func() {
		if _, err := stage.Cluster.Kubectl(context.WithoutCancel(s.ctx), "", "--namespace=traefik", "delete", "gateway", "late", "--ignore-not-found"); err != nil {
			t.Log(err)
		}
	})
	s.phase(rollout, v1beta1.PhaseInitialized)
}

// event fails the story unless the Canary has an event with a reason.
func (s *story) event(reason string) {
	s.Helper()
	s.eventually("there is an event "+reason, func() bool {
		out, err := stage.Cluster.Kubectl(s.ctx, "", "--namespace", s.key.Namespace, "get", "events",
			"--field-selector=involvedObject.kind=Canary,involvedObject.name="+s.key.Name+",reason="+reason, "--output=name")
		s.ok(err)
		return out != ""
	})
}
