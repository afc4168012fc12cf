package webhook

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// holds are the holds on both sides of an update, and what the user wants of the field that a hold sets once nothing is held: a Deployment's pause,
// a DaemonSet's way of replacing pods.
type holds struct {
	// old and new are nil where the object carries no hold.
	old, new *v1beta1.Hold
	brake    revision.Brake
	wanted   any
}

func holdsOf(f Facts) holds {
	h := holds{old: holdOf(f.Old), new: holdOf(f.New), brake: revision.BrakeOf(f.New.GetKind())}
	h.wanted = h.wantedValue(f)
	return h
}

func holdOf(workload *unstructured.Unstructured) *v1beta1.Hold { return revision.HoldOf(workload) }

// wantedValue tells the user's own pause from the one that a hold set.
func (h holds) wantedValue(f Facts) any {
	requested := h.brake.Read(f.New)
	switch {
	case requested != h.brake.On:
		// Whatever was recorded, the user has just asked for something else.
		return requested
	case h.new != nil:
		// Kept from the old object, or made by an earlier call for this very request, or exported with the manifest.
		return h.brake.Wanted(*h.new)
	case h.old == nil:
		return requested
	case f.New.GetLabels()[v1beta1.LabelTracked] == "":
		// The annotation is gone and so is the label: the object was replaced as a whole, so the pause stands in the user's manifest.
		return requested
	default:
		return h.brake.Wanted(*h.old)
	}
}

// assert puts a hold on the requested object, or back on it.
func (h holds) assert(p *patch, changed bool, digest string) {
	if !changed && h.old.Revision != "" {
		digest = h.old.Revision
	}
	if want := h.brake.Hold(digest, h.wanted); h.new == nil || *h.new != want {
		p.annotation(v1beta1.AnnotationHold, want.String())
	}
	p.value(h.brake.Path, h.brake.Read(p.object), h.brake.On)
}

// warnings tell the person who asks what becomes of the request, in one line.
func (h holds) warnings(f Facts, changed bool) []string {
	switch resumed := h.old != nil && h.new != nil && h.brake.Read(f.New) != h.brake.On; {
	case changed && h.wanted == true:
		return []string{pausedWarning(f.Canary)}
	case changed:
		return []string{changeWarning(f.Canary, f.Hold)}
	case resumed && f.Hold:
		return []string{stillHeld(f.Canary)}
	}
	return nil
}

// settle handles an object of which nothing must be held now. A hold on both sides is the reconciler's to release; one on a single side was
// half removed, or never was Sluice's.
func (h holds) settle(p *patch) {
	if (h.old == nil) != (h.new == nil) {
		h.release(p)
	}
}

// release takes a hold off completely.
func (h holds) release(p *patch) {
	if h.old == nil && h.new == nil {
		return
	}
	p.dropAnnotation(v1beta1.AnnotationHold)
	p.value(h.brake.Path, h.brake.Read(p.object), h.wanted)
}

// holdCreated keeps a Deployment that takes the place of a deleted one from starting pods, where these would have users at once: with an ephemeral
// primary the apex Service may still select them. Of a DaemonSet keepIdle sees to that.
func holdCreated(p *patch, f Facts, template []byte) {
	if !f.Hold || f.Canary.Lifecycle() != v1beta1.LifecycleEphemeral || initialising(f.Canary) || f.New.GetKind() != revision.Deployment {
		return
	}
	brake := revision.BrakeOf(f.New.GetKind())
	wanted := brake.Read(f.New)
	if h := holdOf(f.New); h != nil {
		wanted = brake.Wanted(*h)
	}
	p.annotation(v1beta1.AnnotationHold, brake.Hold(revision.CanonicalBareDigest(template), wanted).String())
	p.value(brake.Path, brake.Read(f.New), brake.On)
}
