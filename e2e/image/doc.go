// Package image turns a Go program into a container image without Docker: one
// layer with a static binary, an unprivileged user and, where the host has
// them, the certificates of public authorities. The result is a tar archive
// that `ctr images import` and `docker load` read.
//
// The same inputs give the same digest, wherever and whenever the image is
// made: entries are in a fixed order and carry no time.
//
// The images that are shipped and those that the local cluster runs come from
// here alike, so what is tested is what is shipped. What may never live here:
// anything that needs a registry, a daemon or root.
package image
