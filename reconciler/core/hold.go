package core

import "github.com/sluice-dev/sluice/api/v1beta1"

// NeedsHold tells whether a change of the target's template must be stored without rolling out: while the first primary is made, because the
// target still serves users, and from the moment a canary may have pods until the last of their requests is through. Otherwise the target is
// at zero or its pods are reached by nobody.
//
// Admission asks this of the status in its cache. A status that is a little old does no harm: between the start of a rollout and its first
// user lie the settling of the change and the readiness of its pods.
func NeedsHold(st v1beta1.CanaryStatus) bool {
	if st.Rollout == nil {
		return st.Phase == "" || st.Phase == v1beta1.PhaseInitializing
	}
	switch st.Rollout.Stage {
	case v1beta1.StageSettling, v1beta1.StageConfirming, v1beta1.StageLeaving:
		return false
	}
	return true
}
