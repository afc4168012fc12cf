package webhook

import (
	"context"
	"errors"
	"fmt"

	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// VerifyConfig looks at an update of a ConfigMap or Secret after all mutating webhooks. It is a pure function.
func VerifyConfig(f ConfigFacts) Verification {
	if !f.unseen() {
		return Verification{}
	}
	var v Verification
	revised := f.revised(f.Old, true)
	var needing []*v1beta1.Canary
	for _, u := range f.staying() {
		if revised {
			v.Snapshot = append(v.Snapshot, u.Canary)
		}
		if u.Fence && revised {
			needing = append(needing, u.Canary)
		}
	}
	if len(needing) == 0 {
		return v
	}
	if guarded(f.Old.Metadata, f.New.Metadata) {
		c := f.New.Content
		return Verification{Denials: []string{fmt.Sprintf("%s %s is guarded by canary %s, and this change reached it unseen: "+
			"exempt objects with the label %s from other admission webhooks, or try again", c.Kind, c.Name, needing[0].Name, v1beta1.LabelGuarded)}}
	}
	v.Unheld, v.Fence = true, needing
	for _, c := range needing {
		v.Warnings = append(v.Warnings, unheldWarning(c))
	}
	return v
}

// unseen tells that content is about to change without a trace of the mutating phase. What the API server refuses anyway does not count.
func (f ConfigFacts) unseen() bool {
	if f.Old == nil || f.New == nil || f.Old.beingDeleted() || f.New.beingDeleted() || f.Old.Immutable {
		return false
	}
	return f.contentChanged() && !freshlyStamped(f.Old.Metadata.GetAnnotations(), f.New.Metadata.GetAnnotations())
}

// verifyConfigs answers requests in the validating phase.
type verifyConfigs struct{ configs configs }

func (h verifyConfigs) handle(ctx context.Context, req admission.Request) (answer, error) {
	if h.configs.ignore {
		return answer{}, nil
	}
	facts, ref, err := h.configs.gather(ctx, req)
	v := VerifyConfig(facts)
	a := answer{denials: v.Denials, warnings: v.Warnings}
	if dryRun(req) || len(v.Denials) > 0 {
		return a, err
	}
	if v.Unheld {
		logf.FromContext(ctx).Info("a change of a config was not seen in the mutating phase", "config", ref.Key(), "user", facts.User)
		h.configs.fences.metrics.unheld.WithLabelValues(req.Kind.Kind).Inc()
		a.warnings = h.configs.fences.fence(ctx, ref.Key(), v.Fence, a.warnings)
	}
	return a, errors.Join(err, h.configs.keep(ctx, ref, facts.Old, v.Snapshot))
}
