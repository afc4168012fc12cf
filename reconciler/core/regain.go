package core

import "github.com/sluice-dev/sluice/api/v1beta1"

// regain sees to it that the snapshot of the rollout's revision is there, which somebody may have deleted: the primary is made from it. It is stored
// again as long as the target is that revision. If the target has become another one, what was analysed is gone for good and the rollout starts over
// with what there is. It returns the stage that follows and whether the present one has to wait for it.
func (d *decision) regain(here v1beta1.Stage) (v1beta1.Stage, bool) {
	ro, live := d.ro(), d.in.Live
	switch {
	case d.in.Stored[ro.Revision]:
		return "", false
	case d.restoring():
		return d.fail("the snapshot of revision " + ro.Revision + " was deleted"), true
	case live == nil:
		d.wait("SnapshotLost", "the snapshot of revision %s was deleted, and the target cannot be read yet", ro.Revision)
		return here, true
	case live.Digest == ro.Revision:
		d.plan.Store = true
		d.wait("SnapshotLost", "storing the snapshot of revision %s again", ro.Revision)
		return here, true
	}
	d.warn("SnapshotLost", "the snapshot of revision %s was deleted and %s has changed since; its rollout is given up", ro.Revision, d.target())
	ro.Reason = "the snapshot of revision " + ro.Revision + " was deleted"
	return v1beta1.StageFencing, true
}
