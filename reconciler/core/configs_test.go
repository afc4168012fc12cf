package core

import (
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// TestPodsOlderThanTheirConfigs starts the pods of an idle target afresh when only a config changed: they would be analysed with what they
// read at their start. The number of pods that somebody asked for is kept.
func TestPodsOlderThanTheirConfigs(t *testing.T) {
	if pods := podsAtScaleUp(t, map[string]string{"configmap/page": "1"}); pods != 0 {
		t.Errorf("%d pods from before the change of the config are left", pods)
	}
	if pods := podsAtScaleUp(t, map[string]string{"configmap/page": "2"}); pods != 3 {
		t.Errorf("%d of 3 pods are left although no config changed", pods)
	}
}

// podsAtScaleUp is how many of an idle target's three pods are left when a revision whose config has the content "2" is scaled up, after the
// configs were seen as given.
func podsAtScaleUp(t *testing.T, before map[string]string) int {
	t.Helper()
	w := initialised(t, progressive(), true)
	w.canary.Status.TrackedConfigs = before
	w.target.replicas = 3
	w.must(t, time.Minute, func() bool { return w.ready(&w.target, "v1") == 3 })
	w.canary.Status.TrackedConfigs = before
	changed := func() Observed {
		in := w.observe()
		in.Live = &Revision{Digest: "changed", Template: "v1", Configs: map[string]string{"configmap/page": "2"}}
		in.Stored = map[string]bool{"v1": true, "changed": true}
		return in
	}
	reached := map[v1beta1.Stage]int{}
	for range 300 {
		plan := Decide(changed())
		w.canary.Status = plan.Status
		if ro := plan.Status.Rollout; ro != nil {
			if _, seen := reached[ro.Stage]; !seen {
				reached[ro.Stage] = len(w.target.pods)
			}
		}
		w.doTarget(plan)
		w.doServices(plan)
		w.now = w.now.Add(tick)
		w.run(&w.target, true)
	}
	if w.target.replicas != 3 {
		t.Errorf("the target has %d replicas, 3 were asked for", w.target.replicas)
	}
	pods, seen := reached[v1beta1.StageScalingUp]
	if !seen {
		t.Fatal("scaling up was not reached")
	}
	return pods
}
