package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Stage is where a rollout stands, finer than the phase.
type Stage string

// Stages of a rollout, in the order of a good one. Those from Fencing on end or restart one, or belong to one lifecycle.
const (
	// StageSettling: a change was noticed; further ones of the same apply are awaited.
	StageSettling Stage = "Settling"
	// StageConfirming: confirm-rollout gates are asked.
	StageConfirming Stage = "Confirming"
	// StageScalingUp: the target is brought to the capacity that the analysis needs.
	StageScalingUp Stage = "ScalingUp"
	// StagePreparing: pre-rollout hooks are run.
	StagePreparing Stage = "Preparing"
	// StageAnalysing: a step's weight is in force and its checks are asked.
	StageAnalysing Stage = "Analysing"
	// StageConfirmingPromotion: confirm-promotion gates are asked.
	StageConfirmingPromotion Stage = "ConfirmingPromotion"
	// StagePromoting: the primary rolls to the analysed revision.
	StagePromoting Stage = "Promoting"
	// StageFinalising: traffic goes back to the primary and the target to zero.
	StageFinalising Stage = "Finalising"
	// StageFencing: the change was overtaken; traffic leaves the canary before the newer one may start.
	StageFencing Stage = "Fencing"
	// StageRollingBack: traffic goes back to the primary and the target to zero because the rollout is over.
	StageRollingBack Stage = "RollingBack"
	// StageConfirmingRescue: the primary cannot take users back; all go to the target's pods before the primary is given a newer revision.
	StageConfirmingRescue Stage = "ConfirmingRescue"
	// StageRescuing: a newer revision is analysed in the primary while the target's pods serve.
	StageRescuing Stage = "Rescuing"
	// StageTurning: users turn from the target, which is held, to the primary, because the target is to be the canary.
	StageTurning Stage = "Turning"
	// StageReturning: users turn from an ephemeral primary to the target.
	StageReturning Stage = "Returning"
	// StageLeaving: the application is given back because the Canary is being deleted.
	StageLeaving Stage = "Leaving"
)

// MaxRolloutReason bounds RolloutStatus.Reason, in characters.
const MaxRolloutReason = 1024

// RolloutStatus carries the intent of a rollout across restarts of the controller.
type RolloutStatus struct {
	// ID of the rollout, unique among those of the Canary.
	ID string `json:"id"`
	// Revision being rolled out, as a digest.
	Revision string `json:"revision"`
	// PodHash is the label value that tells the pods of the revision; empty until they exist.
	//
	// +optional
	PodHash string `json:"podHash,omitempty"`
	// Replicas that the change asked of the target; 0 when it left the target idle, which is then given as many as the primary has.
	//
	// +optional
	Replicas int32 `json:"replicas,omitempty"`
	// Afresh tells that pods of the target may be older than the configs of the revision and have yet to be started afresh.
	//
	// +optional
	Afresh bool `json:"afresh,omitempty"`
	// Stage of the rollout.
	Stage Stage `json:"stage"`
	// StageSince is when the stage began.
	StageSince metav1.MicroTime `json:"stageSince"`
	// Step of the analysis, from 0.
	//
	// +optional
	Step int32 `json:"step"`
	// Course is the strategy and the steps by which the rollout goes, in words; an edit of the analysis differs from it.
	//
	// +optional
	Course string `json:"course,omitempty"`
	// Attempt counts the rounds of checks, so that no two rounds of a rollout are the same question.
	//
	// +optional
	Attempt int32 `json:"attempt"`
	// ConvergedAt is when the weight in force was first observed to be accepted by the provider.
	//
	// +optional
	ConvergedAt *metav1.MicroTime `json:"convergedAt,omitempty"`
	// NextCheckAt is when the checks are asked, or asked again.
	//
	// +optional
	NextCheckAt *metav1.MicroTime `json:"nextCheckAt,omitempty"`
	// Fenced is the fence that keeps users off the canary, while it stands.
	//
	// +optional
	Fenced *FencedStatus `json:"fenced,omitempty"`
	// UnreadySince is when a workload that must be ready was seen not to be, or to have got further since; the progress deadline counts from it.
	//
	// +optional
	UnreadySince *metav1.MicroTime `json:"unreadySince,omitempty"`
	// Progress is how far it had got by then, as a number of updated and of available pods.
	//
	// +optional
	Progress int32 `json:"progress,omitempty"`
	// RefusedGate is the type of the gates that hold the rollout up at its step without being a stage of their own; empty while none does.
	//
	// +optional
	RefusedGate HookType `json:"refusedGate,omitempty"`
	// RollbackAskedAt is when the rollback hooks were last asked, RollbackRound counts how often.
	//
	// +optional
	RollbackAskedAt *metav1.MicroTime `json:"rollbackAskedAt,omitempty"`
	// +optional
	RollbackRound int32 `json:"rollbackRound,omitempty"`
	// Images are what the analysed pods run where the template names a tag; ImagesRead tells that they were looked at.
	//
	// +optional
	// +kubebuilder:validation:MaxItems=32
	Images []ContainerImages `json:"images,omitempty"`
	// +optional
	ImagesRead bool `json:"imagesRead,omitempty"`
	// Shelter is the share of users, in per cent, that the target's pods may be given while the primary cannot take them: they have passed an
	// analysis. 0 otherwise.
	//
	// +optional
	Shelter int32 `json:"shelter,omitempty"`
	// InPrimary tells that the revision is analysed in the primary, because the target's pods are all that serves.
	//
	// +optional
	InPrimary bool `json:"inPrimary,omitempty"`
	// PrimaryUnreadySince is when the primary was last seen not to serve while the analysis needed it; WithoutPrimary tells that the analysis goes
	// on all the same.
	//
	// +optional
	PrimaryUnreadySince *metav1.MicroTime `json:"primaryUnreadySince,omitempty"`
	// +optional
	WithoutPrimary bool `json:"withoutPrimary,omitempty"`
	// SkippedBy is the operator who has the analysis, or the rest of it, skipped; PromotedBy the one who has its gates passed over as well.
	//
	// +optional
	SkippedBy string `json:"skippedBy,omitempty"`
	// +optional
	PromotedBy string `json:"promotedBy,omitempty"`
	// RestoredBy is the operator who has the primary serve a stored revision again; the target plays no part in that.
	//
	// +optional
	RestoredBy string `json:"restoredBy,omitempty"`
	// Reason of the last transition, in words.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
}

// MaxImages bounds RolloutStatus.Images, MaxImageIDs ContainerImages.IDs.
const (
	MaxImages   = 32
	MaxImageIDs = 4
)

// ContainerImages are the images that the pods of a rollout run in one container.
type ContainerImages struct {
	// Name of the container.
	Name string `json:"name"`
	// IDs of the images, as the nodes resolved them: one, unless a tag was moved while the pods started.
	//
	// +kubebuilder:validation:MaxItems=4
	IDs []string `json:"ids"`
}

// FencedStatus is a fence as the reconciler waits for the change behind it.
type FencedStatus struct {
	// Cause and At are those of the Fence, which they identify.
	Cause string `json:"cause"`
	// +optional
	At metav1.MicroTime `json:"at,omitzero"`
	// Since is when the reconciler first saw the fence, by its own clock: the clocks of replicas need not agree.
	Since metav1.MicroTime `json:"since"`
	// Revision of the target before the change, as a digest.
	//
	// +optional
	Revision string `json:"revision,omitempty"`
	// Over tells that the change has landed or is no longer waited for; the fence is taken off the route with the next write.
	//
	// +optional
	Over bool `json:"over,omitempty"`
}
