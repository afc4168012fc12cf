//go:build e2e

package stories

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/harness"
)

// movedTag tells of a tag that is moved to another image between the start of the canary's pods and that of the primary's: what was not analysed is
// not promoted, and no user notices.
func movedTag(t *testing.T) {
	const tag = "local/moving:v1"
	if err := stage.LoadApp(t.Context(), tag, "first"); err != nil {
		t.Fatal(err)
	}
	s := beginWith(t, harness.App{Kind: "Deployment", Name: "moved", Version: "v1", Image: tag})
	// Time to move the tag in, also on a busy machine.
	s.adopt(func(c *canary) { c.Interval = "15s" })
	since := time.Now()
	s.deploy("v2")
	s.until("knows what the canary's pods run", soon, func(c *v1beta1.Canary) bool { return c.Status.Rollout != nil && len(c.Status.Rollout.Images) > 0 })
	s.ok(stage.LoadApp(s.ctx, tag, "second"))
	c := s.finished(v1beta1.PhaseFailed)
	if ready := c.Status.Condition(v1beta1.ConditionReady); ready == nil || !strings.Contains(ready.Message, "container podinfo of moved-primary runs") {
		t.Errorf("the condition Ready does not say which container runs another image: %+v", ready)
	}
	s.moment("the version was promoted before it failed", since, promoting)
	s.primaryRuns("v1")
	s.unharmed(since)
}
