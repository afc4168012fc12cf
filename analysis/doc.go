// Package analysis asks the metrics and webhooks of Canaries and says what came back.
//
// Here live the Checker, which answers one request, and the Runner, which answers many at the same time without letting a slow
// endpoint of one Canary delay another. Whether a check is asked, and what its result means for a rollout, is decided by the
// reconciler's core; this package never reads or writes rollouts, and imports no other edge.
package analysis
