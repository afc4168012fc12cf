// Package dataplanes holds tests of traffic providers against the control planes that really serve them, as processes beside an API server. What is
// asked of a route is seen by clients of theirs: gRPC clients that are a data plane of their own, and readers of what a proxy would be told.
//
// Nothing of a provider's rendering lives here.
package dataplanes
