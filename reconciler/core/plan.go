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

	// CaughtUp are the kinds, in lower case, of the objects whose changes a rollout that begins has found without admission having seen them.
	CaughtUp []string

	// Store asks for the snapshot of the live revision.
	Store bool
	// MarkBaseline names the revision whose snapshot becomes the one that served when Sluice came; empty leaves the mark.
	MarkBaseline string
	// MarkPromoted names the revision whose snapshot becomes the last good one; empty leaves the mark.
	MarkPromoted string
	// TrackTarget asks for the labels that bring the target to the admission webhook's attention.
	TrackTarget bool
	// Primary is how the primary workload ought to be; nil leaves it alone.
	Primary *PrimaryIntent
	// Target is how the target ought to be; nil leaves it alone.
	Target *TargetIntent
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
	// Release takes Sluice's hold off.
	Release bool
	// Restore is the revision whose template is put back; empty leaves the template.
	Restore string
}

// ServicesIntent is how the Services ought to be.
type ServicesIntent struct {
	// Apex is the side that the apex Service selects; SideUnknown leaves an existing one alone.
	Apex Side
	// Pin is the pod hash that the canary Service selects additionally; empty unpins it.
	Pin string
}

// RouteIntent is a split of traffic; the two sum to 100.
type RouteIntent struct {
	Primary, Canary int
	// ViaApex asks for all traffic to go to the apex Service, which outlives Sluice.
	ViaApex bool
	// KeepFence leaves the fence that admission wrote in place; otherwise it is taken off with this write.
	KeepFence bool
	// Version is the Route.Version that the split was decided on: the writer refuses to write over anything newer. Empty asks for no such check.
	Version string
}

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
	// Kind and Index locate the check in spec.analysis.metrics or spec.analysis.webhooks.
	Kind  v1beta1.CheckKind
	Index int
	// Name is the check's name.
	Name string
	// Phase is the phase that a hook is told, Checksum the identity of the change.
	Phase    v1beta1.CanaryPhase
	Checksum string
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
