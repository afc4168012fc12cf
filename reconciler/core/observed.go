package core

import (
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Observed is the whole world as one decision sees it. It is gathered by the reconciler, from caches wherever possible, and is never changed
// by a decision.
type Observed struct {
	// Now is the time of the decision.
	Now time.Time
	// Canary is the Canary with the status that was last written, never nil.
	Canary *v1beta1.Canary
	// Leaving asks for Sluice to give the application back: the Canary is being deleted, or an operator asked for it.
	Leaving bool
	// NamespaceTerminating tells that everything around the Canary is being deleted too, so there is nothing to give back.
	NamespaceTerminating bool
	// Winner names the Canary to which the target belongs, when it is another one than this; then nothing else was gathered.
	Winner string
	// Problems are findings of the gathering that a person must hear of. An empty list means that everything could be read.
	Problems []Problem

	// Target is the workload that the user owns, Primary the one that serves between rollouts.
	Target  Workload
	Primary Workload

	// Scaler is the autoscaler that the Canary names, and the primary's copy of it.
	Scaler Scaler

	// Live is the revision that the target's stored template and its configs make up now; nil while it cannot be read, which is
	// never taken for a change.
	Live *Revision
	// AwaitedConfigs are the configs that the target references and that do not exist, as keys of Revision.Configs, sorted.
	AwaitedConfigs []string
	// RotatedConfigs names those, such as secret/db, each new content of which replaces the primary's pods without an analysis; sorted.
	RotatedConfigs []string
	// LivePodHash is the hash label that the workload controller gave to the pods of Live; empty until that is known.
	LivePodHash string
	// Promoted is the last good revision, as its stored snapshot says; nil before the first one.
	Promoted *Revision
	// Inherited is what a primary runs that Flagger made, as a revision of the target; nil once something was promoted here, and of any other primary.
	Inherited *Revision
	// Baseline is the revision that served when the Canary was admitted; nil where no snapshot was taken then, or a promotion came later.
	Baseline *Revision
	// Stored holds the digests of all revisions whose snapshot, config copies included, is stored.
	Stored map[string]bool

	// CanaryImages and PrimaryImages are what the pods of the two sides run, read where NeedsImages says so; nil otherwise.
	CanaryImages, PrimaryImages Images
	// EventWebhook tells that the controller has an event webhook of its own, for Canaries without one.
	EventWebhook bool

	// Verb is what an operator asks for; nil without one.
	Verb *VerbRequest

	// Services is the state of the three Services and their ready endpoints.
	Services Services
	// Route is the state of the traffic provider's object.
	Route Route
	// Traffic is what the provider can do.
	Traffic Traffic

	// Answers are the results of checks that earlier plans asked for, by Check.Key.
	Answers map[string]Answer
}

// Revision identifies a pod template together with the content of every config it references.
type Revision struct {
	// Digest is the content address, lower-case hexadecimal; Template that of the template alone, without configs.
	Digest, Template string
	// Replicas is what the workload asked for when the revision was seen, 0 when it was idle.
	Replicas int32
	// Configs are the digests of the referenced configs, keyed "configmap/<name>" or "secret/<name>".
	Configs map[string]string
	// Admitted is what admission recorded on the objects that make up a live revision: under "template" the target's, under the keys of Configs
	// those of the configs. Nil of a stored revision; objects without a record are left out.
	Admitted map[string]v1beta1.Admitted
}

// Problem is a finding of the gathering.
type Problem struct {
	// Reason is a CamelCase word for conditions and events, such as TargetNotFound.
	Reason string
	// Message says what is wrong and what to do.
	Message string
	// Blocks tells that nothing may be decided before this is solved, except giving the application back.
	Blocks bool
}

// Workload is the observed state of a Deployment or DaemonSet.
type Workload struct {
	Exists bool
	// Generation is metadata.generation; Current tells that the workload's controller has observed it.
	Generation int64
	Current    bool
	// Held tells that the object carries Sluice's hold.
	Held bool
	// Paused tells that the owner of a Deployment keeps it from replacing pods, a hold aside.
	Paused bool
	// Revision is the digest that a primary was rendered from; empty for a target.
	Revision string
	// Template is the digest of a target's template alone; empty for a primary.
	Template string
	// Replicas is the wanted number of pods; the others are counts of pods as the workload's controller reports them: Total of all
	// templates, Updated of the current template, Available of those ready for minReadySeconds.
	Replicas, Total, Updated, Available int32
}

// RolledOut tells that at least percent of the wanted pods run the current template and are available, and that no other pods are left.
func (w Workload) RolledOut(percent int) bool {
	return w.Exists && w.Current && w.Updated >= w.Replicas && w.Total <= w.Updated && w.Available >= needed(w.Replicas, percent)
}

// needed returns how many of replicas must be ready for percent (0 to 100), at least one of a workload that is to run at all.
func needed(replicas int32, percent int) int32 {
	n := int32(int64(replicas) * int64(percent) / 100)
	if n == 0 && replicas > 0 {
		return 1
	}
	return n
}

// Scaler is the observed state of autoscalers.
type Scaler struct {
	// Exists tells that the target's autoscaler is there and can be followed.
	Exists bool
	// Target are its limits; Primary those of the primary's copy as the user wants them, which a floor may lift.
	Target, Primary Limits
	// Blind tells that the primary's copy does not know the load, so that sizes say nothing of it.
	Blind bool
	// Leftover tells that there still is something of the autoscaler that status names, although the Canary no longer names it.
	Leftover bool
	// Problem is why the autoscaler cannot be followed; nil when all is well.
	Problem *Problem
}

// Limits are between how many replicas an autoscaler keeps a workload.
type Limits struct{ Min, Max int32 }

// Services is the state of the three Services that a Canary owns.
type Services struct {
	// Ready tells that the primary and the canary Service exist as the Canary asks.
	Ready bool
	// Apex tells which side the apex Service selects.
	Apex Side
	// PinnedHash is the pod hash that the canary Service additionally selects; empty when it is not pinned.
	PinnedHash string
	// PrimaryReady and ApexReady count ready endpoints of the primary's pods behind the primary and the apex Service.
	PrimaryReady, ApexReady int32
	// ApexOther counts ready endpoints behind the apex Service that are not the primary's.
	ApexOther int32
	// CanaryReady counts ready endpoints behind the canary Service that run the pod hash of the rollout, CanaryOther all others.
	CanaryReady, CanaryOther int32
}

// Side is one side of a rollout.
type Side string

// The sides. SideUnknown stands for a missing Service or a selector of somebody else's.
const (
	SideUnknown Side = ""
	SidePrimary Side = "primary"
	SideTarget  Side = "target"
)

// Route is the state of the traffic provider's object as read back.
type Route struct {
	// Exists tells that the object is there.
	Exists bool
	// Split is how it shares out requests.
	Split
	// ViaApex tells that all traffic goes to the apex Service instead.
	ViaApex bool
	// Accepted tells that the provider has accepted this very generation.
	Accepted bool
	// Problem says why the route cannot be used: missing CRD, gateway, rejected by the controller. Empty when fine.
	Problem string
	// Fence is what admission wrote there to keep users off the canary while a change is about to land; nil without one.
	Fence *v1beta1.Fence
	// Version identifies the state of the object that was read, its fence included, opaque; empty when the provider has no object.
	Version string
}

// Traffic is what a provider can do, from the capability table.
type Traffic struct {
	// Weighted tells that the provider has a route with weights; without one, users reach the primary only.
	Weighted bool
	// Matches tells that a route can be limited to requests that meet spec.analysis.match, Mirrors that requests can be copied to the canary, and
	// Cookies that users can be kept on a side by cookie.
	Matches, Mirrors, Cookies bool
	// MatchesTogether tells that all who meet spec.analysis.match are on the same side: a route cannot share them out.
	MatchesTogether bool
	// BeforePods tells that the provider has something to be there before the primary has pods.
	BeforePods bool
	// Drain is how long requests may still arrive by the previous weights after a route was accepted.
	Drain time.Duration
}
