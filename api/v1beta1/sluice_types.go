package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// This file holds all that Sluice adds to Flagger's API. A Canary without any of it behaves as documented for Flagger.

// Labels and annotations that Sluice sets.
const (
	// LabelTracked marks what Sluice watches: see the Tracked constants for its values. Admission is asked about targets and configs.
	LabelTracked = "sluice.dev/tracked"
	// LabelTarget names the workload whose revisions a snapshot or copy belongs to, as kind-name.
	LabelTarget = "sluice.dev/target"
	// AnnotationPromoted on a snapshot dates the promotion of its revision; the newest is the last good one.
	AnnotationPromoted = "sluice.dev/promoted"
	// AnnotationBaseline on a snapshot dates the admission of the Canary that found this revision serving.
	AnnotationBaseline = "sluice.dev/baseline"
	// AnnotationChangedBy on a snapshot names who made the change that led to its revision; absent where nobody saw that.
	AnnotationChangedBy = "sluice.dev/changed-by"
	// AnnotationAdmitted on a target or a tracked config records the last change of it that admission has seen, as JSON; see Admitted.
	AnnotationAdmitted = "sluice.dev/admitted"
	// AnnotationFence on a route keeps users off the canary while a change is about to land, as JSON; see Fence.
	AnnotationFence = "sluice.dev/fence"
	// AnnotationRotation on a ConfigMap or Secret, with the value RotationDirect, lets its changes pass straight to the primary: its content
	// is no part of any revision, and the primary's pods are replaced when it changes.
	AnnotationRotation = "sluice.dev/rotation"
	// AnnotationPurge on a ConfigMap or Secret, with the value "true", asks Sluice to delete all copies of earlier contents that nothing
	// runs with any more, together with the snapshots that need them. Sluice takes the annotation off when that is done.
	AnnotationPurge = "sluice.dev/purge-history"
	// AnnotationLeave on a Canary, with the value "true", asks Sluice to give the application back without deleting the Canary.
	AnnotationLeave = "sluice.dev/leave"
	// AnnotationVerb on a Canary asks Sluice to do something once; see Verb. Sluice takes it off when that is done.
	AnnotationVerb = "sluice.dev/verb"
	// AnnotationVerbStamp on a Canary says who set AnnotationVerb and that they may, as JSON; see VerbStamp. Admission writes it.
	AnnotationVerbStamp = "sluice.dev/verb-admitted"
	// AnnotationScalerPaused on a target's autoscaler tells that Sluice has paused it while the target is idle, and what its user had set there.
	AnnotationScalerPaused = "sluice.dev/paused"
	// LabelGuarded marks targets whose changes admission holds. Value "true".
	LabelGuarded = "sluice.dev/guarded"
	// LabelCanary names the Canary to which a snapshot or copy belongs.
	LabelCanary = "sluice.dev/canary"
	// LabelRevision carries the digest of the revision to which a snapshot or copy belongs.
	LabelRevision = "sluice.dev/revision"
	// LabelSnapshot marks the manifest of a revision. Value "true".
	LabelSnapshot = "sluice.dev/snapshot"
	// AnnotationHold records a held change as JSON; see Hold.
	AnnotationHold = "sluice.dev/hold"
	// AnnotationConfigTracking with the value "disabled" on a config or workload leaves it out of the revision. Flagger's.
	AnnotationConfigTracking = "flagger.app/config-tracking"
	// Finalizer lets a deleted Canary restore its target. Flagger's.
	Finalizer = "finalizer.flagger.app"
)

// Values of LabelTracked.
const (
	// TrackedTarget is a workload whose changes are rolled out.
	TrackedTarget = "target"
	// TrackedConfig is a ConfigMap or Secret that a target references.
	TrackedConfig = "config"
	// TrackedPrimary is a primary; it is watched, never intercepted.
	TrackedPrimary = "primary"
	// TrackedCopy is a config copy; it is watched, never intercepted.
	TrackedCopy = "copy"
	// TrackedScaler is the autoscaler of a target, or its copy for the primary; it is watched, never intercepted.
	TrackedScaler = "scaler"
)

// RotationDirect is the value of AnnotationRotation.
const RotationDirect = "direct"

// Lifecycle says how the primary lives.
type Lifecycle string

// Lifecycles of the primary.
const (
	// LifecyclePersistent: the primary always serves and the target is at zero between rollouts. Flagger's topology.
	LifecyclePersistent Lifecycle = "Persistent"
	// LifecycleEphemeral: the target serves between rollouts and the primary exists only during one.
	LifecycleEphemeral Lifecycle = "Ephemeral"
)

// PrimarySpec describes how the primary lives.
type PrimarySpec struct {
	// Lifecycle is Persistent (the primary always serves) or Ephemeral (it exists only during rollouts).
	//
	// +optional
	// +kubebuilder:validation:Enum=Persistent;Ephemeral
	Lifecycle Lifecycle `json:"lifecycle,omitempty"`
	// Retain keeps an ephemeral primary after a promotion as an instant way back; 10m when absent.
	//
	// +optional
	Retain Duration `json:"retain,omitempty"`
}

// Hold is the value of AnnotationHold: a change that is stored but must not roll yet.
type Hold struct {
	// Revision that is held, as a digest.
	Revision string `json:"revision"`
	// Paused is what a Deployment's spec.paused was before the hold.
	Paused bool `json:"paused"`
	// Strategy is what a DaemonSet's spec.updateStrategy.type was before the hold; empty of a Deployment.
	Strategy string `json:"strategy,omitempty"`
}

// SluiceStatus is what Sluice adds to the status of a Canary.
type SluiceStatus struct {
	// ObservedGeneration of the Canary that this status describes.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// TargetGeneration is the generation of the target that currentRevision describes.
	//
	// +optional
	TargetGeneration int64 `json:"targetGeneration,omitempty"`
	// CurrentRevision is the digest of the target's template and configs.
	//
	// +optional
	CurrentRevision string `json:"currentRevision,omitempty"`
	// AwaitedConfigs are the configs that the target references and that do not exist, as configmap/NAME or secret/NAME, sorted. Admission
	// looks out for their creation.
	//
	// +optional
	// +kubebuilder:validation:MaxItems=64
	AwaitedConfigs []string `json:"awaitedConfigs,omitempty"`
	// AnalysedRevision is the digest under analysis, or analysed last.
	//
	// +optional
	AnalysedRevision string `json:"analysedRevision,omitempty"`
	// PromotedRevision is the digest that the primary serves.
	//
	// +optional
	PromotedRevision string `json:"promotedRevision,omitempty"`
	// TargetServes tells that users are on the target, as they are between the rollouts of an ephemeral primary. It is stored before they are moved.
	//
	// +optional
	TargetServes bool `json:"targetServes,omitempty"`
	// ServingHash is the label value of the target's pods that users were moved to last; empty while that is unknown.
	//
	// +optional
	ServingHash string `json:"servingHash,omitempty"`
	// RetainUntil is when an ephemeral primary goes that is kept as a way back; nil when none is kept.
	//
	// +optional
	RetainUntil *metav1.MicroTime `json:"retainUntil,omitempty"`
	// FailedRevision is the digest rolled back last; empty once a newer change is taken up. It is not tried again by itself.
	//
	// +optional
	FailedRevision string `json:"failedRevision,omitempty"`
	// CanaryMatched tells that canaryWeight is the share of those requests that meet spec.analysis.match; all others go to the primary.
	//
	// +optional
	CanaryMatched bool `json:"canaryMatched,omitempty"`
	// MirrorWeight is the share of requests that are copied to the canary, in per cent.
	//
	// +optional
	MirrorWeight int32 `json:"mirrorWeight,omitempty"`
	// Scaler is the autoscaler of the target whose copy scales the primary, while there is one.
	//
	// +optional
	Scaler *ScalerStatus `json:"scaler,omitempty"`
	// Rollout is the intent of the rollout in progress.
	//
	// +optional
	Rollout *RolloutStatus `json:"rollout,omitempty"`
	// Verb is the last one of an operator.
	//
	// +optional
	Verb *VerbStatus `json:"verb,omitempty"`
	// Paused tells that an operator keeps the rollout, or the next one, where it is; absent otherwise.
	//
	// +optional
	Paused *PausedStatus `json:"paused,omitempty"`
	// SkipNextBy is who asked for the next rollout to be promoted without an analysis; empty when nobody did.
	//
	// +optional
	SkipNextBy string `json:"skipNextBy,omitempty"`
	// Restore is the revision that an operator asked for last, until a rollout of another one begins.
	//
	// +optional
	Restore *RestoreStatus `json:"restore,omitempty"`
	// Checks are the last results, newest first, one per check and step.
	//
	// +optional
	// +kubebuilder:validation:MaxItems=32
	Checks []CheckResult `json:"checks,omitempty"`
	// PendingHooks are the post-rollout and event hooks that have yet to be told, oldest first.
	//
	// +optional
	// +kubebuilder:validation:MaxItems=32
	PendingHooks []PendingHook `json:"pendingHooks,omitempty"`
}

// MaxPendingHooks bounds CanaryStatus.PendingHooks, MaxEventMessage PendingHook.EventMessage, in characters. CommonHook is the index of the
// controller's own event webhook.
const (
	MaxPendingHooks = 32
	MaxEventMessage = 512
	CommonHook      = -1
)

// PendingHook is a call that waits for its answer.
type PendingHook struct {
	// Key identifies the call to its receiver, however often it is repeated.
	Key string `json:"key"`
	// Type of the hook: post-rollout or event.
	Type HookType `json:"type"`
	// Name of the webhook, and Index its place in spec.analysis.webhooks; -1 is the controller's own event webhook.
	//
	// +optional
	Name string `json:"name,omitempty"`
	// +optional
	Index int32 `json:"index"`
	// Phase and Checksum are told to the hook.
	//
	// +optional
	Phase CanaryPhase `json:"phase,omitempty"`
	// +optional
	Checksum string `json:"checksum,omitempty"`
	// EventType and EventMessage are those of the event; empty of a post-rollout hook.
	//
	// +optional
	EventType string `json:"eventType,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=512
	EventMessage string `json:"eventMessage,omitempty"`
	// Since is when the hook was due.
	Since metav1.MicroTime `json:"since"`
}

// MaxAwaitedConfigs bounds CanaryStatus.AwaitedConfigs; further ones are looked for at intervals.
const MaxAwaitedConfigs = 64

// MaxChecks bounds CanaryStatus.Checks; MaxCheckMessage bounds CheckResult.Message, in bytes.
const (
	MaxChecks       = 32
	MaxCheckMessage = 256
	// MaxCheckValue bounds CheckResult.Value and Threshold, in characters.
	MaxCheckValue = 64
)

// CheckKind says what a check asked.
type CheckKind string

// Kinds of checks.
const (
	CheckMetric  CheckKind = "metric"
	CheckWebhook CheckKind = "webhook"
)

// Verdict of a check.
type Verdict string

// Verdicts of checks.
const (
	VerdictPass   Verdict = "Pass"
	VerdictFail   Verdict = "Fail"
	VerdictError  Verdict = "Error"
	VerdictNoData Verdict = "NoData"
	VerdictNaN    Verdict = "NaN"
	VerdictStale  Verdict = "Stale"
)

// CheckResult is the outcome of one check at one step.
type CheckResult struct {
	// Name of the metric or webhook.
	//
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Kind is metric or webhook.
	//
	// +kubebuilder:validation:Enum=metric;webhook
	Kind CheckKind `json:"kind"`
	// Stage of the rollout in which the check ran.
	//
	// +optional
	Stage Stage `json:"stage,omitempty"`
	// Step of the analysis, from 0, and Weight in per cent at which the check ran.
	//
	// +optional
	Step int32 `json:"step"`
	// +optional
	Weight int32 `json:"weight"`
	// Attempt at the step, from 0.
	//
	// +optional
	Attempt int32 `json:"attempt"`
	// Value answered, as a decimal.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Value string `json:"value,omitempty"`
	// Threshold applied, for example ">= 99".
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Threshold string `json:"threshold,omitempty"`
	// Verdict is Pass, Fail, Error, NoData, NaN or Stale (the newest value is too old).
	//
	// +kubebuilder:validation:Enum=Pass;Fail;Error;NoData;NaN;Stale
	Verdict Verdict `json:"verdict"`
	// Message explains the verdict.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Message string `json:"message,omitempty"`
	// Time of the answer.
	//
	// +optional
	Time metav1.Time `json:"time,omitzero"`
	// Recent are the last answers to the metric in this rollout, oldest first, this one included. Only its newest result has them.
	//
	// +optional
	// +kubebuilder:validation:MaxItems=10
	Recent []CheckValue `json:"recent,omitempty"`
}
