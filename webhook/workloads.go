package webhook

import (
	"context"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// workloads answers requests on targets, and on workloads that may become one.
type workloads struct {
	canaries  canaries
	snapshots snapshots
	previews  previews
	// needsHold tells whether a change must be held while a Canary is as it is.
	needsHold func(*v1beta1.Canary) bool
}

func (h workloads) handle(ctx context.Context, req admission.Request) (answer, error) {
	facts, err := h.gather(ctx, req)
	if err != nil {
		return answer{}, err
	}
	out, err := Decide(facts)
	if err != nil {
		return answer{}, err
	}
	if len(out.Patches) > 0 || out.Snapshot {
		logf.FromContext(ctx).Info("a request on a target is acted on", "rule", out.Rule, "operation", req.Operation, "hold", facts.Hold,
			"patches", len(out.Patches), "snapshot", out.Snapshot, "dryRun", dryRun(req))
	}
	a := answer{patches: out.Patches, warnings: out.Warnings}
	if dryRun(req) {
		if lines, foretold := h.previews.ofTarget(ctx, facts); foretold {
			a.warnings = lines
		}
		return a, nil
	}
	if out.Snapshot {
		if err := h.snapshots.keep(ctx, facts.Canary, facts.Old); err != nil {
			// The hold stands all the same: it is what protects users.
			return a, fmt.Errorf("the revision before this change is not stored: %w", err)
		}
	}
	return a, nil
}

// gather decodes the request and finds the workload's Canary.
func (h workloads) gather(ctx context.Context, req admission.Request) (Facts, error) {
	before, err := decode(req.OldObject)
	if err != nil {
		return Facts{}, fmt.Errorf("old object: %w", err)
	}
	after, err := decode(req.Object)
	if err != nil {
		return Facts{}, fmt.Errorf("object: %w", err)
	}
	f := Facts{Operation: req.Operation, Old: before, New: after, User: req.UserInfo.Username}
	if beingDeleted(before) || beingDeleted(after) {
		return f, nil
	}
	ref := workloadRef{kind: req.Kind.Kind, namespace: req.Namespace, name: nameOf(before, after)}
	if req.Operation == admissionv1.Create {
		f.Canary, err = h.canaries.ofNew(ctx, ref)
	} else {
		f.Canary, err = h.canaries.of(ctx, ref)
	}
	if f.Canary != nil {
		// A cache may not know yet what the label on the object says.
		f.Hold = h.needsHold(f.Canary) || guarded(before)
	}
	return f, err
}

// nameOf returns the name in the objects: the request itself names none when a whole collection is deleted.
func nameOf(objects ...*unstructured.Unstructured) string {
	for _, o := range objects {
		if o != nil {
			return o.GetName()
		}
	}
	return ""
}

// decode keeps every field. It returns nil for an absent object.
func decode(raw runtime.RawExtension) (*unstructured.Unstructured, error) {
	if len(raw.Raw) == 0 {
		return nil, nil
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw.Raw); err != nil {
		return nil, err
	}
	if _, ok := u.Object["metadata"].(map[string]any); !ok {
		return nil, errors.New("it has no metadata")
	}
	return u, nil
}

func dryRun(req admission.Request) bool { return req.DryRun != nil && *req.DryRun }
