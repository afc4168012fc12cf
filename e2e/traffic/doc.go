// Package traffic plays the users of an application: requests at a constant
// rate, some on connections that are kept and some on fresh ones, each recorded
// with its time, the version that answered, its outcome and its latency. A
// recording is then cut into spans, such as the steps of a rollout, and each
// version's share is compared with the weight that was to be in force.
//
// Traffic is bounded in time, in number and in what is under way at once, and
// goes where the caller's dialer leads, which is a test cluster's own network.
//
// What may never live here: anything that knows Kubernetes, Sluice or the shape
// of an application's answers; the caller says how a version is told.
package traffic
