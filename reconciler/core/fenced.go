package core

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// fencePatience is how long the change behind a fence is waited for: longer than the API server takes to store what admission let through. It
// counts from when the fence was first seen here, because the clock of the replica that wrote it may be another.
const fencePatience = 10 * time.Second

// observeFence finds out whether a fence stands: the change that admission announced by it has not been seen yet and may still come. While it
// does, putInForce gives the canary nothing that the primary can take.
//
// A fence is no concern of the time between rollouts: then no route is open, and the next write takes it off.
func (d *decision) observeFence() {
	ro, f, live := d.ro(), d.in.Route.Fence, d.in.Live
	if ro == nil {
		return
	}
	if f == nil || f.At.IsZero() {
		// One without a time could not be read; nobody knows what to wait for.
		ro.Fenced = nil
		return
	}
	if !sameFence(ro.Fenced, f) {
		d.noteFence(f)
	}
	if ro.Fenced.Over {
		return
	}
	ro.Fenced.Since = earlier(ro.Fenced.Since, d.now())
	landed := live != nil && live.Digest != ro.Fenced.Revision
	patient := d.in.Now.Before(ro.Fenced.Since.Add(fencePatience))
	if patient && !landed {
		d.againAt(ro.Fenced.Since.Add(fencePatience))
	}
	// What cannot be read may well have changed.
	d.fence = live == nil || (patient && !landed)
}

// sameFence compares times as far as objects store them.
func sameFence(seen *v1beta1.FencedStatus, f *v1beta1.Fence) bool {
	return seen != nil && seen.Cause == f.Cause && seen.At.Truncate(time.Microsecond).Equal(f.At.Truncate(time.Microsecond))
}

// earlier bounds a time that a clock which was set back since would otherwise put far into the future.
func earlier(a, b metav1.MicroTime) metav1.MicroTime {
	if b.Before(&a) {
		return b
	}
	return a
}

// noteFence records a fence that was not seen before.
func (d *decision) noteFence(f *v1beta1.Fence) {
	ro, before := d.ro(), d.ro().Fenced
	ro.Fenced = &v1beta1.FencedStatus{Cause: f.Cause, At: f.At, Since: d.now(), Revision: d.in.Canary.Status.CurrentRevision}
	if !waitsForFence(ro.Stage) {
		return
	}
	ro.NextCheckAt = nil
	ro.Attempt++
	const message = "Halt %s.%s advancement %s is about to change%s"
	if before == nil {
		d.warn("Fenced", message, d.in.Canary.Name, d.in.Canary.Namespace, f.Cause, ", users stay on the primary")
		return
	}
	// The change behind the earlier fence may have come and been taken back unseen, and pods may have read it meanwhile.
	d.warn("Fenced", message, d.in.Canary.Name, d.in.Canary.Namespace, f.Cause, " again, the analysis starts over")
	d.rollout(v1beta1.StageFencing, f.Cause+" changes again")
}

// waitsForFence tells whether a stage may give the canary users, or a verdict. The way back to the primary, and the promotion of what was analysed,
// wait for nobody.
func waitsForFence(s v1beta1.Stage) bool {
	switch s {
	case v1beta1.StageScalingUp, v1beta1.StagePreparing, v1beta1.StageAnalysing, v1beta1.StageConfirmingPromotion:
		return true
	}
	return false
}

// fenced owns the situation while a fence stands on the route of a rollout that would go on. If the change never lands, the rollout resumes at its
// step, with a new round of checks.
func fenced(d *decision) bool {
	ro := d.ro()
	if ro == nil || ro.Fenced == nil || ro.Fenced.Over {
		return false
	}
	if d.fence && waitsForFence(ro.Stage) {
		d.plan.Finalizer, d.plan.TrackTarget = true, true
		d.keepInForce()
		// The wait is held against nobody.
		ro.UnreadySince, ro.NextCheckAt = nil, nil
		d.wait("Fenced", "%s is about to change; revision %s gets no users until it has, or for %s", ro.Fenced.Cause, ro.Revision, fencePatience)
		return true
	}
	if d.fence {
		return false
	}
	cause := ro.Fenced.Cause
	ro.Fenced.Over = true
	if waitsForFence(ro.Stage) {
		d.normal("FenceLifted", "%s did not change within %s, the analysis of %s goes on", cause, fencePatience, d.target())
	}
	if ro.Stage == v1beta1.StageConfirmingPromotion {
		// Users were taken off the canary meanwhile: its last step is gone through once more.
		d.rollout(v1beta1.StageAnalysing, cause+" did not change")
	}
	return false
}
