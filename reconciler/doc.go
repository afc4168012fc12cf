// Package reconciler brings the world to what the pure core decides for each Canary, and tells the core what the world is like.
//
// One reconcile is gather, core.Decide, apply. Gathering reads from watched caches; it asks the API server only about what no cache can know:
// an object that lacks Sluice's label or has vanished, and the ReplicaSet of a running rollout. Applying stores the status first, because it
// holds the intent, and then ensures each part of the plan; ensuring what is already so writes nothing. Files named gather_* and apply_*
// hold one part of the world each.
//
// No rule about a rollout lives here: a condition on phases, steps or weights belongs into reconciler/core. Neither does a traffic provider's
// object (mesh) or a call to a metric provider or hook (analysis); both come in through the interfaces in ports.go.
package reconciler
