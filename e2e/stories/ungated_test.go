//go:build e2e

package stories

import (
	"context"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// invalidWhileAway stores a Canary that admission would refuse while admission is away: conditions of an A/B test on a provider that has none.
// Nothing is begun with it, least of all with all users.
func invalidWhileAway(t *testing.T, alone func()) {
	s := begin(t, "ungated")
	alone()
	s.ok(stage.ScaleSluice(s.ctx, 0))
	t.Cleanup(func() {
		if err := stage.ScaleSluice(context.WithoutCancel(s.ctx), 2); err != nil {
			t.Error(err)
		}
	})
	manifest := s.manifest(func(c *canary) { c.Provider = "kubernetes" })
	s.apply(strings.Replace(manifest, "    iterations: 3\n", "    iterations: 3\n    match: [{headers: {x-canary: {exact: \"yes\"}}}]\n", 1))
	s.ok(stage.ScaleSluice(s.ctx, 2))
	s.until("is reported as invalid", soon, func(c *v1beta1.Canary) bool {
		ready := c.Status.Condition(v1beta1.ConditionReady)
		return ready != nil && ready.Reason == "InvalidSpec" && strings.Contains(ready.Message, "spec.analysis.match")
	})
	s.event("InvalidSpec")
	v, err := stage.DeployedVersion(s.ctx, s.primary())
	s.ok(err)
	if v != "" {
		t.Errorf("a primary of %s was made for an invalid Canary", v)
	}
}
