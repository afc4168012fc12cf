// Package mesh keeps the route of each Canary: the object with which a traffic provider splits requests between primary and canary.
//
// A provider is a file of pure functions: which objects it keeps, how they look for a split, and how a split and its acceptance are read from
// them. Everything that touches the API server is in one place, Router, and is the same for all providers: objects are read, rendered over what
// is there, marked as the Canary's, compared, and written only when something differs, at the very version that was read.
//
// # Adding a provider
//
// Implement Provider in a file of its own: as weights where the object is one list of Services, as a dialect where it is a list of rules. Enter it
// in implementations, mark in the table of package capability which strategies it can run, and
// write down each situation in testdata with go test ./mesh -update.
//
// # What never lives here
//
// Decisions about weights (reconciler/core), Services and workloads (reconciler), what a provider is able to express (mesh/capability), metric
// queries (analysis).
package mesh
