// Package ext stands in for Traefik's extension points, which its own build
// replaces by a module of its repository. Nothing is extended here: the two
// types only have to exist.
package ext

// HTTP extends Traefik's dynamic HTTP configuration with nothing.
type HTTP struct{}

// Router extends Traefik's dynamic router configuration with nothing.
type Router struct{}
