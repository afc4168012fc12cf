// Package tools builds the programs that the local cluster and the end-to-end
// tests run: Kubernetes, containerd, Traefik, Prometheus, Helm, kwok and others. Nothing
// is downloaded as a binary: each group is a small Go module of its own in a
// folder beside this file, so that the groups' dependency graphs never mix
// with each other or with the project's.
//
// A group is built once per user. The binaries live in the cache folder under
// a key made of everything that decides what comes out (module files, flags,
// Go version), so every checkout and every cluster shares them, and a change
// of version never overwrites binaries that a running cluster uses.
//
// What may never live here: anything that knows about clusters or images, and
// any import of the tools' own packages.
package tools
