// Package fleet measures Sluice with a hundred Canaries at once: how long they
// take to be initialised, one rollout alone and all of them together, how many
// requests each costs the API server, and what it costs to have them idle.
//
// The cluster is a real one with Sluice on its real node, installed as shipped;
// the applications' pods are played by kwok on a node that exists in name only,
// so that Kubernetes and Sluice are measured and not a hundred applications.
// What Kubernetes alone needs for the same pods is measured first, in the same
// run.
//
// It asserts counts, never times.
package fleet
