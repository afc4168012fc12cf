package core

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// promotedCondition maps a phase to Flagger's Promoted condition: its status and message. The reason is the phase.
var promotedCondition = map[v1beta1.CanaryPhase]struct {
	status  metav1.ConditionStatus
	message string
}{
	v1beta1.PhaseInitializing:     {metav1.ConditionUnknown, "%s is being initialised."},
	v1beta1.PhaseInitialized:      {metav1.ConditionTrue, "%s is initialised."},
	v1beta1.PhaseWaiting:          {metav1.ConditionUnknown, "A new revision of %s waits for approval."},
	v1beta1.PhaseProgressing:      {metav1.ConditionUnknown, "A new revision of %s is being analysed."},
	v1beta1.PhaseWaitingPromotion: {metav1.ConditionUnknown, "The new revision of %s waits for approval of its promotion."},
	v1beta1.PhasePromoting:        {metav1.ConditionUnknown, "The new revision of %s is being promoted."},
	v1beta1.PhaseFinalising:       {metav1.ConditionUnknown, "Traffic of %s returns to the primary."},
	v1beta1.PhaseSucceeded:        {metav1.ConditionTrue, "The last revision of %s was promoted."},
	v1beta1.PhaseFailed:           {metav1.ConditionFalse, "The last revision of %s was rolled back."},
	v1beta1.PhaseTerminating:      {metav1.ConditionUnknown, "%s is being given back."},
}

// setPhase moves the Canary to a phase; the transition time moves only when the phase does.
func (d *decision) setPhase(p v1beta1.CanaryPhase) {
	if d.st.Phase != p {
		d.st.Phase = p
		d.st.LastTransitionTime = metav1.NewTime(d.in.Now)
	}
	c := promotedCondition[p]
	d.st.SetCondition(v1beta1.Condition{
		Type: v1beta1.ConditionPromoted, Status: c.status, Reason: string(p), Message: fmt.Sprintf(c.message, d.spec.TargetRef.Name),
	}, metav1.NewTime(d.in.Now))
}

// setReady notes the Ready condition; the last word of a decision counts.
func (d *decision) setReady(status metav1.ConditionStatus, reason, message string) {
	d.ready = v1beta1.Condition{Type: v1beta1.ConditionReady, Status: status, Reason: reason, Message: message}
}

// finish completes the status with what holds for every plan.
func (d *decision) finish() {
	if d.ready.Type != "" {
		d.st.SetCondition(d.ready, metav1.NewTime(d.in.Now))
	}
	d.plan.Guard = d.home() || d.ephemeral() && d.in.Promoted != nil
	d.plan.Checks = append(d.plan.Checks, d.aside...)
	d.deliver()
	d.st.ObservedGeneration = d.in.Canary.Generation
	d.st.AwaitedConfigs = d.in.AwaitedConfigs[:min(len(d.in.AwaitedConfigs), v1beta1.MaxAwaitedConfigs)]
	if len(d.st.AwaitedConfigs) == 0 {
		d.st.AwaitedConfigs = nil
	}
}

// observeLive writes what the target is now, so that a script can wait for its very change.
func (d *decision) observeLive() {
	live := d.in.Live
	if live == nil {
		return
	}
	d.st.CurrentRevision = live.Digest
	d.st.TargetGeneration = d.in.Target.Generation
	d.st.LastAppliedSpec = live.Digest
	d.st.TrackedConfigs = live.Configs
}
