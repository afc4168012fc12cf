package core

import (
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// initPatience is how long the target is held for an initialisation. One that takes longer waits for somebody, a missing gateway for instance,
// and until then the application must be able to change as it could before Sluice came.
const initPatience = time.Minute

// admissionLag is how old the status may be that admission goes by: pods that are there already may be ready at once, and a change that comes then must
// be held.
const admissionLag = 500 * time.Millisecond

// NeedsHold tells whether a change of the target's template must be stored without rolling out: while the first primary is made, because the
// target still serves users, and from the moment a canary may have pods until the last of their requests is through. Otherwise the target is
// at zero or its pods are reached by nobody.
//
// Admission asks this of the Canary in its cache. A status that is a little old does no harm: between the start of a rollout and its first
// user lie the settling of the change, the readiness of its pods, and admissionLag.
func NeedsHold(c *v1beta1.Canary, now time.Time) bool {
	if initialising(c) && c.Status.Rollout == nil {
		return !c.Spec.Suspend && !stalled(c, now)
	}
	if c.Lifecycle() == v1beta1.LifecycleEphemeral || c.Status.TargetServes {
		// Its pods have users, or had a moment ago, or are analysed.
		return true
	}
	if c.Status.Rollout == nil {
		return false
	}
	return NeedsFence(c)
}

// NeedsFence tells whether users must be taken off the canary before a change lands that cannot be held, such as that of a config: its pods may
// read the change at any moment from then on. That is so from the moment a canary may have pods until the last of their requests is through.
// Without a rollout there is nobody to take off; while the first primary is made, the target is all that serves.
//
// Like NeedsHold it stands up to a status that is a little old.
func NeedsFence(c *v1beta1.Canary) bool {
	if c.Status.Rollout == nil || c.Status.Rollout.Stage == v1beta1.StageTurning {
		return false
	}
	switch c.Status.Rollout.Stage {
	case v1beta1.StageSettling, v1beta1.StageConfirming, v1beta1.StageLeaving:
		return false
	}
	return true
}

// FenceKeepsSplit tells whether a fence must leave the weights of a route alone, because the primary may not be able to take everybody: while it is
// being rolled, and after a promotion that failed. The reconciler then moves users as the primary's capacity allows.
func FenceKeepsSplit(c *v1beta1.Canary) bool {
	ro := c.Status.Rollout
	return ro != nil && (ro.Stage == v1beta1.StagePromoting || ro.Shelter > 0)
}

// initialising tells that no good revision has served as primary yet.
func initialising(c *v1beta1.Canary) bool {
	return c.Status.Phase == "" || c.Status.Phase == v1beta1.PhaseInitializing
}

// stalled tells that an initialisation has taken longer than the target may be held for it.
func stalled(c *v1beta1.Canary, now time.Time) bool {
	return !now.Before(initSince(c).Add(initPatience))
}

func initSince(c *v1beta1.Canary) time.Time {
	if c.Status.LastTransitionTime.IsZero() {
		return c.CreationTimestamp.Time
	}
	return c.Status.LastTransitionTime.Time
}

// NeedsPodHash tells whether a decision on a Canary looks at the hash label of the target's pods. Looking costs a read from the API server.
func NeedsPodHash(c *v1beta1.Canary) bool {
	ro := c.Status.Rollout
	if ro == nil {
		return c.Lifecycle() == v1beta1.LifecycleEphemeral && initialising(c) && c.Status.ServingHash == ""
	}
	return ro.PodHash == "" && (ro.Stage == v1beta1.StageScalingUp || ro.Stage == v1beta1.StageReturning)
}
