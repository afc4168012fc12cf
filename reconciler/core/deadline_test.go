package core

import (
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// The progress deadline counts from the last pod that was gained. Pods that are lost and come back are no progress.
func TestProgressDeadline(t *testing.T) {
	const deadline = 60 * time.Second
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		// available are the primary's available pods, every 40 s from the start on.
		available []int32
		want      time.Duration
	}{
		"stuck from the start":    {[]int32{3, 3, 3, 3}, 80 * time.Second},
		"one pod more each time":  {[]int32{3, 4, 5, 6, 7, 8}, 0},
		"stuck after some":        {[]int32{3, 4, 5, 5, 5, 5}, 160 * time.Second},
		"pods that come and go":   {[]int32{3, 2, 3, 2, 3}, 80 * time.Second},
		"more than ever, at last": {[]int32{3, 2, 4, 4}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := &v1beta1.Canary{}
			seconds := int32(deadline / time.Second)
			c.Spec.ProgressDeadlineSeconds = &seconds
			c.Status.Rollout = &v1beta1.RolloutStatus{}
			for i, n := range test.available {
				at := time.Duration(i) * 40 * time.Second
				d := newDecision(Observed{Canary: c, Now: start.Add(at), Primary: Workload{Replicas: 10, Updated: 10, Available: n}})
				overdue := d.overdue(false)
				c.Status = d.plan.Status
				if overdue != (test.want > 0 && at >= test.want) {
					t.Fatalf("after %s: overdue is %t", at, overdue)
				}
			}
		})
	}
}
