// Package bench measures what admission by Sluice costs: it starts etcd and
// two API servers, one of them without webhooks, a webhook that does nothing
// on the same server stack, and Sluice's own program, and sends the same
// changes through all of them in turn.
//
// No controller runs. The bench itself holds the lease and does what Sluice's
// reconciler would do between two changes: both revisions of each target are
// stored, and the status names the present one. So every request that Sluice
// sends is one of its admission, and is counted.
//
// It asserts counts, never times.
package bench
