package core

import (
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// TestPodsOlderThanTheirConfigs starts the pods of an idle target afresh when only a config changed: they would be analysed with what they
// read at their start. The number of pods that somebody asked for is kept.
func TestPodsOlderThanTheirConfigs(t *testing.T) {
	w := initialised(t, progressive(), true)
	w.target.replicas = 3
	w.must(t, time.Minute, func() bool { return w.ready(&w.target, "v1") == 3 })
	changed := func() Observed {
		in := w.observe()
		in.Live = &Revision{Digest: "v1+config", Template: "v1", Configs: map[string]string{"configmap/page": "2"}}
		in.Stored = map[string]bool{"v1": true, "v1+config": true}
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
	if pods, seen := reached[v1beta1.StageScalingUp]; !seen || pods != 0 {
		t.Errorf("scaling up was reached: %v, with %d pods from before the change", seen, pods)
	}
	if w.target.replicas != 3 {
		t.Errorf("the target has %d replicas, 3 were asked for", w.target.replicas)
	}
}
