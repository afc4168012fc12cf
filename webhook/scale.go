package webhook

import (
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/sluice-dev/sluice/reconciler/revision"
)

// nodeSelector of the pods of a workload.
var nodeSelector = []string{"spec", "template", "spec", "nodeSelector"}

// keepIdle keeps a DaemonSet that has no pods without pods. That is told by a node selector in its template, which a user's manifest knows nothing
// of: a replace drops it, and an object that is deleted and created again never had it. Nobody means by that to start a pod on every node; what
// scales a target up is its rollout. Leaving and removing Canaries come before this in the ladder.
func keepIdle(p *patch, f Facts) {
	if f.New.GetKind() != revision.DaemonSet || revision.ScaledToZero(f.New) {
		return
	}
	idle := !initialising(f.Canary)
	if f.Operation != admissionv1.Create {
		idle = revision.ScaledToZero(f.Old)
	}
	if idle {
		p.member(nodeSelector, revision.ScaleToZeroKey, revision.ScaleToZeroValue)
	}
}
