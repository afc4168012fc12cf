// Package core decides what a rollout does next.
//
// Decide takes everything that a decision may look at (Observed) and returns everything that follows from it (Plan): routes, scales,
// checks to ask, the status to store, events in words and the time to look again. Both are values. The package holds no client, no clock,
// no goroutine and no randomness, and it imports nothing but the API types, Kubernetes' metadata types and the standard library: a rule that
// needs a client to be tested does not belong here.
//
// # How to read it
//
// Decide walks the ladder in decide.go, a list of named rules in an order that is explained there. A rule that owns the situation ends the
// walk. A running rollout is owned by the stage machine in stages.go: each stage states what must hold while it lasts and which observation
// ends it. The intent is stored in the Canary's status before anything acts on it, so a crash between any two writes is repaired by
// deciding again.
package core
