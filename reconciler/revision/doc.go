// Package revision says what a revision of a workload is, how it is stored, and how the primary is rendered from what is stored.
//
// A revision is a pod template together with the content of every ConfigMap and Secret that it references. Two revisions are the same when
// their digests are: canonical JSON makes the digest independent of key order and formatting, while fields that this program does not know
// count like all others. A Snapshot is one revision with all that is needed to run it again; it is stored as a ControllerRevision, which
// every cluster has and whose data the API server keeps immutable. The content of the configs is stored beside it, as immutable copies
// named by their digest, and these copies are what the primary's pods read.
//
// The package is pure: it turns objects into other objects. It holds no client and no clock and must never get one.
package revision
