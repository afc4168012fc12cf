package reconciler

import (
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/reconciler/revision"
)

// refIndex knows which Canaries need which configs, so that a change of a config wakes them, and a config that nobody needs any more is let go. The
// zero value is empty.
type refIndex struct {
	mu   sync.Mutex
	refs map[types.NamespacedName][]revision.ConfigRef
	// swept are the namespaces that were looked through since a Canary's needs last changed there.
	swept map[string]bool
}

// note stores the configs that a Canary needs.
func (x *refIndex) note(canary types.NamespacedName, refs []revision.ConfigRef) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.refs == nil {
		x.refs = map[types.NamespacedName][]revision.ConfigRef{}
	}
	if before, known := x.refs[canary]; !known || !slices.Equal(before, refs) {
		delete(x.swept, canary.Namespace)
	}
	x.refs[canary] = refs
}

func (x *refIndex) drop(canary types.NamespacedName) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, known := x.refs[canary]; known {
		delete(x.swept, canary.Namespace)
	}
	delete(x.refs, canary)
}

// of returns the Canaries in a namespace that need a config that matches.
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

// isSwept tells that no Canary's needs have changed in a namespace since it was looked through.
func (x *refIndex) isSwept(namespace string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.swept[namespace]
}

// sweep notes that a namespace is looked through from here on, and tells whether the needs of all of the given Canaries are known: only then is it
// certain what nobody needs.
func (x *refIndex) sweep(namespace string, canaries []types.NamespacedName) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, c := range canaries {
		if _, known := x.refs[c]; !known {
			return false
		}
	}
	if x.swept == nil {
		x.swept = map[string]bool{}
	}
	x.swept[namespace] = true
	return true
}

// unsweep has a namespace looked through again.
func (x *refIndex) unsweep(namespace string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.swept, namespace)
}

// noteRefs keeps the index up to date with what the target references now, and what the revisions that run do.
func (r *Reconciler) noteRefs(w *world) error {
	var templates [][]byte
	if w.target != nil {
		template, err := revision.TemplateOf(w.target)
		if err != nil {
			return err
		}
		templates = append(templates, template)
	}
	st := w.canary.Status
	digests := []string{st.PromotedRevision}
	if st.Rollout != nil {
		digests = append(digests, st.Rollout.Revision)
	}
	if p := w.observed.Promoted; p != nil {
		digests = append(digests, p.Digest)
	}
	for _, d := range digests {
		if s := revision.ByDigest(w.snapshots, d); s != nil {
			templates = append(templates, s.Template)
		}
	}
	refs, err := refsIn(templates)
	if err != nil {
		return err
	}
	r.refs.note(client.ObjectKeyFromObject(w.canary), refs)
	return nil
}

// refsIn returns the configs that any of the templates references.
func refsIn(templates [][]byte) ([]revision.ConfigRef, error) {
	var refs []revision.ConfigRef
	for _, t := range templates {
		more, err := revision.ConfigRefs(t)
		if err != nil {
			return nil, err
		}
		for _, ref := range more {
			if !slices.ContainsFunc(refs, func(have revision.ConfigRef) bool { return have.Key() == ref.Key() }) {
				refs = append(refs, ref)
			}
		}
	}
	return refs, nil
}
