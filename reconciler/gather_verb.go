package reconciler

import (
	"context"

	"github.com/go-logr/logr"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// gatherVerb reads what an operator asks for, and whether admission has found that they may. While that cannot be told, the verb waits.
func (r *Reconciler) gatherVerb(ctx context.Context, w *world) error {
	text, asked := w.canary.GetAnnotations()[v1beta1.AnnotationVerb]
	if !asked || r.VerbKey == nil {
		return nil
	}
	req := &core.VerbRequest{Text: text}
	w.observed.Verb = req
	stamp, problem := stampOf(w.canary)
	if problem != "" {
		req.Problem = problem
		return nil
	}
	key, err := r.VerbKey(ctx)
	if err != nil {
		logr.FromContextOrDiscard(ctx).Error(err, "a verb waits, its stamp cannot be verified yet", "verb", text)
		w.observed.Verb, w.recheck = nil, missingRetry
		return nil
	}
	if req.Problem = mismatch(stamp, key, w.canary, text); req.Problem == "" {
		req.ID, req.By, req.At = stamp.ID, stamp.By, stamp.At.Time
	}
	return nil
}

// stampOf reads what admission wrote beside a verb. The problem, if there is one, is for the operator and ends the verb: trying again would not mend it.
func stampOf(c *v1beta1.Canary) (stamp v1beta1.VerbStamp, problem string) {
	value, stamped := c.GetAnnotations()[v1beta1.AnnotationVerbStamp]
	if !stamped {
		return stamp, "it was set while admission was away, or in a new Canary, so nobody has looked whether its user may do that; set it again"
	}
	stamp, err := v1beta1.ParseVerbStamp(value)
	if err != nil {
		return stamp, err.Error()
	}
	return stamp, ""
}

// mismatch says, to the operator too, that a stamp was made for something else, or not by admission; "" when it is of this verb of this Canary.
func mismatch(stamp v1beta1.VerbStamp, key []byte, c *v1beta1.Canary, text string) string {
	if err := stamp.Verify(key, c, text); err != nil {
		return "annotation " + v1beta1.AnnotationVerbStamp + ": " + err.Error() + "; take both annotations off and set the verb again"
	}
	return ""
}
