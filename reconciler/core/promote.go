package core

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// promote rolls the primary to the snapshot of the revision that was analysed, never to what the target is now. Users stay split as they are
// until the primary has its full capacity; if the target or a config was changed they leave the canary as far as the primary can take them: pods may
// read a config anew at any time.
func promote(d *decision) v1beta1.Stage {
	const here = v1beta1.StagePromoting
	ro := d.ro()
	if stage, lost := d.regain(here); lost {
		return stage
	}
	d.givePrimary()
	d.listFirst()
	overtaken := d.in.Live != nil && d.in.Live.Digest != ro.Revision
	if d.in.Services.CanaryReady == 0 || d.in.Services.CanaryOther > 0 || overtaken {
		d.takeBack()
	}
	if why, differs := d.foreignImage(); differs {
		return d.fail(why)
	}
	ready := d.primaryServes(ro.Revision)
	if d.overdue(ready) {
		return d.fail(d.neverReady())
	}
	if !ready {
		d.shelter(share(d.in.Services.PrimaryReady, d.in.Primary.Replicas))
		d.wait("PrimaryNotReady", "promoting revision %s: %s", ro.Revision, d.primaryReadiness())
		return here
	}
	if !d.returnedByStep() {
		return here
	}
	d.normal("RoutingToPrimary", "Routing all traffic to primary %s", d.in.Canary.PrimaryName()+"."+d.in.Canary.Namespace)
	d.putInForce(0)
	return v1beta1.StageFinalising
}

// givePrimary plans a primary of the rollout's revision, and says so the first time.
func (d *decision) givePrimary() {
	ro := d.ro()
	if d.st.Phase != v1beta1.PhasePromoting {
		d.setPhase(v1beta1.PhasePromoting)
		if !d.restoring() {
			ro.Shelter = allUsers
		}
		what := d.target() + " template spec"
		if d.restoring() {
			what = "stored revision " + ro.Revision
		}
		d.normal("Promoting", "Copying %s to %s", what, d.in.Canary.PrimaryName()+"."+d.in.Canary.Namespace)
	}
	d.plan.Primary = &PrimaryIntent{Revision: ro.Revision, Replicas: d.primaryReplicas(d.in.Promoted)}
	if d.spec.AutoscalerRef == nil && d.in.Target.Replicas > 0 && !d.restoring() {
		// The number that the user wrote for the target, or that it was scaled up to, is what the primary is to have.
		d.plan.Primary.Replicas, d.plan.Primary.Enforce = d.in.Target.Replicas, true
	}
}

// finalise takes users off the canary, waits until the last of their requests is through, and scales the target to zero.
func finalise(d *decision) v1beta1.Stage {
	const here = v1beta1.StageFinalising
	ro := d.ro()
	if stage, lost := d.regain(here); lost {
		return stage
	}
	if stage, undone := d.undone(); undone {
		return stage
	}
	d.setPhase(v1beta1.PhaseFinalising)
	d.plan.MarkPromoted = ro.Revision
	d.plan.Primary = &PrimaryIntent{Revision: ro.Revision, Replicas: d.primaryReplicas(d.in.Promoted)}
	d.putInForce(0)
	if !d.drained() {
		d.wait("Draining", "revision %s serves as primary; waiting for the last requests to the canary", ro.Revision)
		return here
	}
	if !d.scaledToZero() {
		d.wait("ScalingDown", "revision %s serves as primary; scaling the target to zero", ro.Revision)
		return here
	}
	if d.in.Promoted.Digest != ro.Revision {
		d.wait("Finalising", "recording revision %s as the last good one", ro.Revision)
		return here
	}
	d.st.PromotedRevision, d.st.LastPromotedSpec = ro.Revision, ro.Revision
	if d.restoring() {
		d.restored()
		return ""
	}
	d.normal("Promoted", "Promotion completed! %s", d.target())
	d.end(v1beta1.PhaseSucceeded)
	d.setReady(metav1.ConditionTrue, string(v1beta1.PhaseSucceeded), "the primary serves revision "+ro.Revision)
	return ""
}

// undone tells whether the primary was given something else before the revision was marked as the last good one, as happens while the target is missing,
// and at which stage the rollout goes on then.
func (d *decision) undone() (v1beta1.Stage, bool) {
	ro := d.ro()
	if d.in.Primary.Revision == ro.Revision || d.in.Promoted.Digest == ro.Revision {
		return "", false
	}
	if ro.InPrimary {
		return v1beta1.StageRescuing, true
	}
	return v1beta1.StagePromoting, true
}

// scaledToZero plans a target without pods and without a hold, and tells whether that has been asked of Kubernetes. Pods on their way out
// are not waited for: no request reaches them.
func (d *decision) scaledToZero() bool {
	if d.in.Target.Replicas == 0 && !d.in.Target.Held {
		return true
	}
	zero := int32(0)
	d.plan.Target = &TargetIntent{Replicas: &zero, Release: true}
	return false
}

// end closes the rollout in a phase. What the target has become meanwhile is looked at next.
func (d *decision) end(p v1beta1.CanaryPhase) {
	d.st.Paused = nil
	d.postRollout(p)
	d.setPhase(p)
	d.st.Rollout = nil
	d.st.Iterations = 0
	d.ensureServices()
	d.again(0)
}
