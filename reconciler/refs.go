package reconciler

import (
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/reconciler/revision"
)

// refIndex knows which Canaries' targets reference which configs, so that a change of a config wakes them. The zero value is empty.
type refIndex struct {
	mu   sync.Mutex
	refs map[types.NamespacedName][]revision.ConfigRef
}

// note stores the configs that a Canary's target references.
func (x *refIndex) note(canary types.NamespacedName, refs []revision.ConfigRef) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.refs == nil {
		x.refs = map[types.NamespacedName][]revision.ConfigRef{}
	}
	x.refs[canary] = refs
}

func (x *refIndex) drop(canary types.NamespacedName) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.refs, canary)
}

// of returns the Canaries in a namespace whose targets reference a config that matches.
func (x *refIndex) of(namespace string, match func(revision.ConfigRef) bool) []types.NamespacedName {
	x.mu.Lock()
	defer x.mu.Unlock()
	var out []types.NamespacedName
	for c, refs := range x.refs {
		if c.Namespace == namespace && slices.ContainsFunc(refs, match) {
			out = append(out, c)
		}
	}
	return out
}

// noteRefs keeps the index up to date with the target as it is now, and returns what it references.
func (r *Reconciler) noteRefs(w *world) ([]revision.ConfigRef, error) {
	template, err := revision.TemplateOf(w.target)
	if err != nil {
		return nil, err
	}
	refs, err := revision.ConfigRefs(template)
	if err != nil {
		return nil, err
	}
	r.refs.note(client.ObjectKeyFromObject(w.canary), refs)
	return refs, nil
}
