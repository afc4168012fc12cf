package core

import (
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Plan is what follows from one decision. The reconciler writes Status first, because it holds the intent, then brings the world to the rest;
// every field states what ought to be, so carrying a plan out twice is the same as once.
type Plan struct {
	// Rule names the rule of the ladder, and the stage, that made the plan.
	Rule string
	// Status is the complete status to store. Equal to the observed one when nothing changed.
	Status v1beta1.CanaryStatus
	// Events are to be recorded once the status is stored.
	Events []Event

	// Untold says in words what event hooks were not told and why, for the log: they are given up.
	Untold []string

	// CaughtUp are the kinds, in lower case, of the objects whose changes a rollout that begins has found without admission having seen them.
	CaughtUp []string

	// Store asks for the snapshot of the live revision.
	Store bool
	// Inherit asks for the snapshot of the inherited revision, and for the primary to be marked as one that stays as it is until the first
	// promotion.
	Inherit bool
	// MarkBaseline names the revision whose snapshot becomes the one that served when Sluice came; empty leaves the mark.
	MarkBaseline string
	// MarkPromoted names the revision whose snapshot becomes the last good one; empty leaves the mark.
	MarkPromoted string
	// TrackTarget asks for the labels that bring the target to the admission webhook's attention.
	TrackTarget bool
	// Primary is how the primary workload ought to be; nil leaves it alone.
	Primary *PrimaryIntent
	// Guard asks for the label by which admission denies changes of the target that it cannot hold; without it the label is taken off. It counts where
	// TrackTarget is set.
	Guard bool
	// DropPrimary asks for the primary and its autoscaler to be removed: users are on the target.
	DropPrimary bool
	// Target is how the target ought to be; nil leaves it alone.
	Target *TargetIntent
	// Scalers is how the autoscalers of both ought to be; nil leaves them alone.
	Scalers *ScalersIntent
	// DropScaler asks for the primary's copy of the autoscaler that the observed status names to be removed, and that autoscaler to be let go.
	DropScaler bool
	// Services is how the three Services ought to be; nil leaves them alone.
	Services *ServicesIntent
	// Route is the split that ought to be in force; nil leaves the route alone.
	Route *RouteIntent
	// Checks are the hooks and metrics to ask now, those already asked included. Once the status is stored, answers to any other check of the
	// Canary are no longer needed; a call that is still running is not cut short.
	Checks []Check
	// GiveBack asks for the owned objects to be detached or removed and, last of all, the finalizer.
	GiveBack bool
	// LetGo asks for the finalizer to be taken off and nothing else: all that is there belongs to another Canary.
	LetGo bool
	// Finalizer asks for the finalizer that makes deletion give the application back.
	Finalizer bool

	// ClearVerb asks for the verb of the Canary to be taken off: status says what has become of it.
	ClearVerb bool

	// RequeueAfter is when to decide again although nothing has changed; zero waits for a change.
	RequeueAfter time.Duration
}

// PrimaryIntent is how the primary ought to be.
type PrimaryIntent struct {
	// Revision is the snapshot that its template is rendered from.
	Revision string
	// Replicas is used when it must be created, and enforced on an existing one when Enforce is set.
	Replicas int32
	Enforce  bool
}

// TargetIntent is how the target ought to be.
type TargetIntent struct {
	// Replicas is the wanted number; nil leaves it.
	Replicas *int32
	// Release takes Sluice's hold off, Hold puts it on; never both.
	Release, Hold bool
	// Restore is the revision whose template is put back; empty leaves the template.
	Restore string
}

// ScalersIntent is how autoscalers ought to be.
type ScalersIntent struct {
	// Floor is how many replicas the primary's copy keeps at least; 0 leaves that to the user's limits.
	Floor int32
	// Target says what the autoscaler of the target does.
	Target ScalerMode
}

// ScalerMode says what the autoscaler of a target does.
type ScalerMode string

// Modes of a target's autoscaler.
const (
	// ScalerAsIs leaves it as it is.
	ScalerAsIs ScalerMode = ""
	// ScalerAwake has it scale the target as its user wants.
	ScalerAwake ScalerMode = "awake"
	// ScalerAsleep keeps it from giving an idle target pods.
	ScalerAsleep ScalerMode = "asleep"
)

// ServicesIntent is how the Services ought to be.
type ServicesIntent struct {
	// Apex is the side that the apex Service selects; SideUnknown leaves an existing one alone. ApexPin is the pod hash that it selects additionally;
	// empty unpins it.
	Apex    Side
	ApexPin string
	// Both asks for the primary and the canary Service although the apex Service selects the target; without it they are left alone then.
	Both bool
	// Pin is the pod hash that the canary Service selects additionally; empty unpins it.
	Pin string
}

// RouteIntent is a split of traffic as it ought to be.
type RouteIntent struct {
	Split
	// ViaApex asks for all traffic to go to the apex Service, which outlives Sluice.
	ViaApex bool
	// KeepFence leaves the fence that admission wrote in place; otherwise it is taken off with this write.
	KeepFence bool
	// Pods are told apart by it, for providers that have to know. The writer's caller fills it in; without a key nothing is known of pods.
	Pods PodLabel
	// Version is the Route.Version that the split was decided on: the writer refuses to write over anything newer. Empty asks for no such check.
	Version string
}

// PodLabel is the label by which the pods of the target and those of the primary are told apart.
type PodLabel struct{ Key, Target, Primary string }

// Event is a Kubernetes event on the Canary.
type Event struct {
	// Type is Normal or Warning.
	Type string
	// Reason is a CamelCase word.
	Reason string
	// Message is for people.
	Message string
}

// Check is one question to a metric provider or a hook.
type Check struct {
	// Key identifies the question: the same key is asked once however often plans contain it.
	Key string
	// Kind and Index locate the check in spec.analysis.metrics or spec.analysis.webhooks; v1beta1.CommonHook is the controller's event webhook.
	Kind  v1beta1.CheckKind
	Index int
	// Name is the check's name.
	Name string
	// OnPrimary tells that the revision under analysis runs in the primary, so that a metric is to be taken there.
	OnPrimary bool
	// Phase is the phase that a hook is told, Checksum the identity of the change.
	Phase    v1beta1.CanaryPhase
	Checksum string
	// Metadata is told to a hook in addition to its own.
	Metadata map[string]string
}

// Answer is the result of a check.
type Answer struct {
	Verdict v1beta1.Verdict
	// Value and Threshold are what was measured and what was accepted, as text; empty for hooks.
	Value, Threshold string
	// Message explains the verdict to people; it names the check.
	Message string
	// At is when the answer came.
	At time.Time
}
