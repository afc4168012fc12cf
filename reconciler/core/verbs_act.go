package core

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// verbActs do what a verb says, which makes sense by then, and say what follows from it. They note the intent in status; the rules and stages below
// carry it out, under the same conditions on capacity and routes as ever.
var verbActs = map[v1beta1.VerbName]func(*decision, v1beta1.Verb, *VerbRequest) string{
	v1beta1.VerbPromote:      promoteNow,
	v1beta1.VerbAbort:        abort,
	v1beta1.VerbPause:        pause,
	v1beta1.VerbResume:       resume,
	v1beta1.VerbRetry:        retry,
	v1beta1.VerbSkipAnalysis: skipOnce,
	v1beta1.VerbRestore:      restore,
}

func promoteNow(d *decision, _ v1beta1.Verb, req *VerbRequest) string {
	ro := d.ro()
	ro.PromotedBy, ro.SkippedBy = req.By, req.By
	d.st.Paused = nil
	return fmt.Sprintf("revision %s is promoted without the rest of its analysis and gates, as soon as capacity and routes allow", ro.Revision)
}

func abort(d *decision, _ v1beta1.Verb, req *VerbRequest) string {
	ro := d.ro()
	if ro == nil {
		return fmt.Sprintf("the next rollout is analysed after all, although %s had asked for skip-analysis", d.takeSkip())
	}
	d.callOff(req.By)
	return fmt.Sprintf("revision %s is rolled back", ro.Revision)
}

// callOff ends the rollout as failed.
func (d *decision) callOff(by string) {
	d.rollout(d.fail("aborted by "+by), d.ro().Reason)
}

func pause(d *decision, _ v1beta1.Verb, req *VerbRequest) string {
	d.st.Paused = &v1beta1.PausedStatus{By: req.By, Since: metav1.NewMicroTime(req.At)}
	if d.ro() == nil || trip(d.ro()) {
		return "the next rollout waits before it starts until it is resumed"
	}
	return fmt.Sprintf("revision %s stays at weight %d until it is resumed; its checks go on", d.ro().Revision, d.st.CanaryWeight)
}

func resume(d *decision, _ v1beta1.Verb, _ *VerbRequest) string {
	by := d.st.Paused.By
	d.st.Paused = nil
	if d.ro() == nil {
		return fmt.Sprintf("the pause of %s is over", by)
	}
	return fmt.Sprintf("the pause of %s is over, revision %s goes on from weight %d", by, d.ro().Revision, d.st.CanaryWeight)
}

func retry(d *decision, _ v1beta1.Verb, _ *VerbRequest) string {
	if d.in.Live == nil {
		return "the target cannot be read; set it again"
	}
	d.begin(d.in.Live)
	return fmt.Sprintf("revision %s is analysed again, from its first step", d.in.Live.Digest)
}

func skipOnce(d *decision, _ v1beta1.Verb, req *VerbRequest) string {
	if ro := d.ro(); ro != nil && !trip(ro) && beforePromotion(ro.Stage) {
		ro.SkippedBy = req.By
		return fmt.Sprintf("revision %s is promoted without an analysis", ro.Revision)
	}
	d.st.SkipNextBy = req.By
	return "the next rollout is promoted without an analysis; abort takes that back"
}

// restore brings a stored revision back into the primary. The target is Git's and stays as it is; what it holds waits for a change, like a revision that
// has failed. A rollout under way is called off first: its users have to be on the primary before that changes.
func restore(d *decision, v v1beta1.Verb, req *VerbRequest) string {
	digest, _ := d.verbState().resolve(v.Revision)
	d.st.Restore = &v1beta1.RestoreStatus{Revision: digest, By: req.By, At: metav1.NewMicroTime(req.At)}
	ro := d.ro()
	switch live := d.verbState().Live; {
	case ro != nil && ro.Stage == v1beta1.StageFencing:
		// It would go on with what has overtaken it.
		d.callOff(req.By)
		if live == d.st.CurrentRevision && live != digest {
			d.st.FailedRevision = d.st.CurrentRevision
		}
	case ro != nil && !terminal(ro.Stage):
		d.callOff(req.By)
	case ro == nil && live == d.st.CurrentRevision && live != digest:
		// A change that nobody has seen yet is analysed afterwards like any other.
		d.st.FailedRevision = live
	}
	if ro == nil {
		return fmt.Sprintf("the primary is given revision %s, as soon as its pods are ready it serves all users; the target stays as it is", digest)
	}
	return fmt.Sprintf("the rollout of %s is called off; then the primary is given revision %s", ro.Revision, digest)
}

// beginRestore starts to restore a revision once nothing else is under way.
func (d *decision) beginRestore() {
	r := d.st.Restore
	if r == nil || r.Begun || d.ro() != nil || d.initialising() {
		return
	}
	r.Begun = true
	d.st.Rollout = &v1beta1.RolloutStatus{
		ID:         rolloutID(r.Revision, d.in.Now),
		Revision:   r.Revision,
		Stage:      v1beta1.StagePromoting,
		StageSince: d.now(),
		RestoredBy: r.By,
		Reason:     cut("restored by "+r.By, v1beta1.MaxRolloutReason),
	}
	d.st.FailedChecks, d.st.Iterations, d.st.Checks = 0, 0, nil
}

// restoring tells whether the primary is being given a stored revision by an operator.
func (d *decision) restoring() bool { return d.ro() != nil && d.ro().RestoredBy != "" }

// restored ends what brought a stored revision back. What the target holds is not in force, unless it is that very revision.
func (d *decision) restored() {
	ro := d.ro()
	phase := v1beta1.PhaseSucceeded
	if d.in.Live == nil || d.in.Live.Digest != ro.Revision {
		phase = v1beta1.PhaseFailed
	}
	d.normal("Restored", "%s restored revision %s of %s, it serves as primary; the target is left as it is", ro.RestoredBy, ro.Revision, d.target())
	d.end(phase)
}

// restoredInstead says who has another revision serve in place of the target's; "" when nobody does.
func (d *decision) restoredInstead() string {
	r := d.st.Restore
	if r == nil || !r.Begun || d.in.Promoted == nil || d.in.Promoted.Digest != r.Revision {
		return ""
	}
	return fmt.Sprintf("%s restored revision %s in its place; change the target, or retry it", r.By, r.Revision)
}
