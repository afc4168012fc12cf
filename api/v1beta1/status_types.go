package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CanaryPhase is where a Canary stands, in Flagger's words.
type CanaryPhase string

// Phases of a Canary.
const (
	// PhaseInitializing: the primary, Services and routes are being made.
	PhaseInitializing CanaryPhase = "Initializing"
	// PhaseInitialized: the primary serves; no rollout has run yet.
	PhaseInitialized CanaryPhase = "Initialized"
	// PhaseWaiting: a change waits for a confirm-rollout gate.
	PhaseWaiting CanaryPhase = "Waiting"
	// PhaseProgressing: a change is being analysed.
	PhaseProgressing CanaryPhase = "Progressing"
	// PhaseWaitingPromotion: the analysis passed and waits for a confirm-promotion gate.
	PhaseWaitingPromotion CanaryPhase = "WaitingPromotion"
	// PhasePromoting: the primary is given the analysed revision.
	PhasePromoting CanaryPhase = "Promoting"
	// PhaseFinalising: traffic is back on the primary and the target goes to zero.
	PhaseFinalising CanaryPhase = "Finalising"
	// PhaseSucceeded: the last change was promoted.
	PhaseSucceeded CanaryPhase = "Succeeded"
	// PhaseFailed: the last change was rolled back.
	PhaseFailed CanaryPhase = "Failed"
	// PhaseTerminating: the Canary is being deleted and its target restored.
	PhaseTerminating CanaryPhase = "Terminating"
	// PhaseTerminated is known to Flagger's schema and never written.
	PhaseTerminated CanaryPhase = "Terminated"
)

// Types of conditions.
const (
	// ConditionPromoted is Flagger's: Unknown during a rollout, then True or False.
	ConditionPromoted = "Promoted"
	// ConditionReady follows kstatus: True when the observed generation and target are fully rolled out.
	ConditionReady = "Ready"
)

// CanaryStatus is the observed state of a Canary. The first block is Flagger's, the second Sluice's.
type CanaryStatus struct {
	// Phase of the Canary.
	//
	// +optional
	// +kubebuilder:validation:Enum="";Initializing;Initialized;Waiting;Progressing;WaitingPromotion;Promoting;Finalising;Succeeded;Failed;Terminating;Terminated
	Phase CanaryPhase `json:"phase"`
	// FailedChecks of the current rollout.
	//
	// +optional
	FailedChecks int32 `json:"failedChecks"`
	// CanaryWeight is the canary's share of traffic, in per cent.
	//
	// +optional
	CanaryWeight int32 `json:"canaryWeight"`
	// Iterations done in the current rollout.
	//
	// +optional
	Iterations int32 `json:"iterations"`
	// TrackedConfigs maps configmap/NAME or secret/NAME to a digest.
	//
	// +optional
	TrackedConfigs map[string]string `json:"trackedConfigs,omitempty"`
	// LastAppliedSpec is a digest of the target last seen; opaque.
	//
	// +optional
	LastAppliedSpec string `json:"lastAppliedSpec,omitempty"`
	// LastPromotedSpec is a digest of the target last promoted; opaque.
	//
	// +optional
	LastPromotedSpec string `json:"lastPromotedSpec,omitempty"`
	// LastTransitionTime of the phase.
	//
	// +optional
	LastTransitionTime metav1.Time `json:"lastTransitionTime,omitzero"`
	// SessionAffinityCookie of the current rollout.
	//
	// +optional
	SessionAffinityCookie string `json:"sessionAffinityCookie,omitempty"`
	// PrimarySessionAffinityCookie of the current rollout.
	//
	// +optional
	PrimarySessionAffinityCookie string `json:"primarySessionAffinityCookie,omitempty"`
	// PreviousSessionAffinityCookie of the rollout before.
	//
	// +optional
	PreviousSessionAffinityCookie string `json:"previousSessionAffinityCookie,omitempty"`
	// Conditions of the Canary.
	//
	// +optional
	// +kubebuilder:validation:MaxItems=16
	Conditions []Condition `json:"conditions,omitempty"`

	SluiceStatus `json:",inline"`
}

// Condition in Flagger's shape, which dates each update as well as each transition.
type Condition struct {
	// Type of the condition.
	Type string `json:"type"`
	// Status is True, False or Unknown.
	Status metav1.ConditionStatus `json:"status"`
	// Reason in one word.
	Reason string `json:"reason"`
	// Message for people.
	//
	// +optional
	Message string `json:"message,omitempty"`
	// LastUpdateTime of any field.
	//
	// +optional
	LastUpdateTime metav1.Time `json:"lastUpdateTime,omitzero"`
	// LastTransitionTime of the status.
	//
	// +optional
	LastTransitionTime metav1.Time `json:"lastTransitionTime,omitzero"`
}
