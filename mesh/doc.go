// Package mesh keeps the route of each Canary: the object with which a traffic provider splits requests between primary and canary.
//
// A provider is a file of pure functions: which objects it keeps, how they look for a split, and how a split and its acceptance are read from
// them. Everything that touches the API server is in one place, Router, and is the same for all providers: objects are read, rendered over what
// is there, marked as the Canary's, compared, and written only when something differs, at the very version that was read.
//
// # Adding a provider
//
// docs/providers/adding.md is the recipe: a row in the table of package capability, one file here, and situations in testdata.
//
// # What never lives here
//
// Decisions about weights (reconciler/core), Services and workloads (reconciler), what a provider is able to express (mesh/capability), metric
// queries (analysis).
package mesh
