// Package changes plays the people and programs that change a cluster's
// objects: merge patches at constant rates, each recorded with its time, its
// latency, whether the API server took it, and whether the gate had a say. A
// recording is cut into spans, such as the time while the gate is away.
//
// The load is bounded in number and in what is under way at once. A patch may
// be a dry run: it passes admission like any other and changes nothing.
//
// What may never live here: anything that knows what the objects are or what
// the gate is; the caller says by which warnings it is known.
package changes
