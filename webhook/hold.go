package webhook

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// holds are the holds on both sides of an update, and what the user wants spec.paused to be once nothing is held.
type holds struct {
	// old and new are nil where the object carries no hold.
	old, new *v1beta1.Hold
	paused   bool
}

func holdsOf(f Facts) holds {
	h := holds{old: holdOf(f.Old), new: holdOf(f.New)}
	h.paused = wantedPause(f, h)
	return h
}

// holdOf returns the hold that a workload carries. One that does not parse still holds; what it recorded is lost, and a Deployment that stays
// paused for ever would be the worse guess.
func holdOf(workload *unstructured.Unstructured) *v1beta1.Hold {
	value, ok := workload.GetAnnotations()[v1beta1.AnnotationHold]
	if !ok {
		return nil
	}
	h, err := v1beta1.ParseHold(value)
	if err != nil {
		return &v1beta1.Hold{}
	}
	return &h
}

// wantedPause tells the user's own pause from the one that a hold set.
func wantedPause(f Facts, h holds) bool {
	requested := isPaused(f.New)
	switch {
	case !requested:
		// Whatever was recorded, the user has just asked for no pause.
		return false
	case h.new != nil:
		// Kept from the old object, or made by an earlier call for this very request, or exported with the manifest.
		return h.new.Paused
	case h.old == nil:
		return true
	case f.New.GetLabels()[v1beta1.LabelTracked] == "":
		// The annotation is gone and so is the label: the object was replaced as a whole, so the pause stands in the user's manifest.
		return true
	default:
		return h.old.Paused
	}
}

// assert puts a hold on the requested object, or back on it.
func (h holds) assert(p *patch, changed bool, digest string) {
	want := v1beta1.Hold{Revision: digest, Paused: h.paused}
	if !changed && h.old.Revision != "" {
		want.Revision = h.old.Revision
	}
	if h.new == nil || *h.new != want {
		p.annotation(v1beta1.AnnotationHold, want.String())
	}
	p.pause(true)
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
	p.pause(h.paused)
}
