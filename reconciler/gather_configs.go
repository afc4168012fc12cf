package reconciler

import (
	"context"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// optionalRetry is how often an optional config that does not exist is looked for. Admission announces its creation, so this is a safety net.
const optionalRetry = 5 * time.Minute

// foundConfig is what a look at a config came to; object and content are nil when it does not exist.
type foundConfig struct {
	object  client.Object
	content *revision.Content
	err     error
}

// lookup reads a config and what it holds, once in a decision.
func (r *Reconciler) lookup(ctx context.Context, w *world, ref revision.ConfigRef) foundConfig {
	if found, known := w.configs[ref.Key()]; known {
		return found
	}
	var found foundConfig
	o, err := find(ctx, r, client.ObjectKey{Namespace: w.canary.Namespace, Name: ref.Name}, emptyConfig(ref.Kind))
	switch {
	case err != nil:
		found.err = err
	case o != nil:
		content, err := contentOf(o)
		found = foundConfig{object: o, content: &content, err: err}
		if o.GetLabels()[v1beta1.LabelTracked] != v1beta1.TrackedConfig {
			w.unlabelled = append(w.unlabelled, o)
		}
	}
	w.configs[ref.Key()] = found
	return found
}

// awaited notes which of the target's configs do not exist, and looks again for what admission cannot be relied on to announce.
func (r *Reconciler) awaited(ctx context.Context, w *world, refs []revision.ConfigRef) {
	for _, ref := range refs {
		if found := r.lookup(ctx, w, ref); found.object == nil && found.err == nil {
			w.observed.AwaitedConfigs = append(w.observed.AwaitedConfigs, ref.Key())
			w.recheck = optionalRetry
		}
	}
}

// admitted reads what admission recorded on the target and its configs. What cannot be read as a record is none.
func (w *world) admitted() map[string]v1beta1.Admitted {
	out := map[string]v1beta1.Admitted{}
	note := func(part string, o client.Object) {
		if a, err := v1beta1.ParseAdmitted(o.GetAnnotations()[v1beta1.AnnotationAdmitted]); err == nil {
			out[part] = a
		}
	}
	note(core.PartTemplate, w.target)
	for key, found := range w.configs {
		if found.object != nil {
			note(key, found.object)
		}
	}
	return out
}
