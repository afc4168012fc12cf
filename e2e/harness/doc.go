// Package harness puts everything that a story needs on a cluster: Sluice from
// this checkout, as shipped, Traefik, Prometheus, the load tester and an
// application with versions that can be told apart. It also holds what stories
// do and look at: applying, waiting with an error that explains, following a
// rollout, taking Sluice away, counting requests.
//
// Images are built from this checkout and loaded under the very references that
// the rendered manifests name. All of it can be repeated: what is there and
// equal is left alone.
//
// What may never live here: what a story expects, and anything that runs or
// builds the cluster itself (package cluster).
package harness
