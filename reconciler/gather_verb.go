package reconciler

import (
	"context"

	"github.com/go-logr/logr"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// gatherVerb reads what an operator asks for, and whether admission has found that they may. While that cannot be told, the verb waits.
func (r *Reconciler) gatherVerb(ctx context.Context, w *world) error {
	annotations := w.canary.GetAnnotations()
	text, asked := annotations[v1beta1.AnnotationVerb]
	if !asked || r.VerbKey == nil {
		return nil
	}
	req := &core.VerbRequest{Text: text}
	w.observed.Verb = req
	value, stamped := annotations[v1beta1.AnnotationVerbStamp]
	if !stamped {
		req.Problem = "it was set while admission was away, or in a new Canary, so nobody has looked whether its user may do that; set it again"
		return nil
	}
	stamp, err := v1beta1.ParseVerbStamp(value)
	if err != nil {
		req.Problem = err.Error()
		return nil
	}
	key, err := r.VerbKey(ctx)
	if err != nil {
		logr.FromContextOrDiscard(ctx).Error(err, "a verb waits, its stamp cannot be verified yet", "verb", text)
		w.observed.Verb, w.recheck = nil, missingRetry
		return nil
	}
	if err := stamp.Verify(key, w.canary, text); err != nil {
		req.Problem = "annotation " + v1beta1.AnnotationVerbStamp + ": " + err.Error() + "; take both annotations off and set the verb again"
		return nil
	}
	req.ID, req.By, req.At = stamp.ID, stamp.By, stamp.At.Time
	return nil
}
