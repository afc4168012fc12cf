package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/api/validation"
)

// canaryGate answers requests on Canaries: it refuses what is wrong in itself, and records the baseline of a new target.
type canaryGate struct {
	facts    factFinder
	baseline baseline
	options  validation.Options
}

func (g canaryGate) handle(ctx context.Context, req admission.Request) (answer, error) {
	before, err := decode(req.OldObject)
	if err != nil {
		return answer{}, fmt.Errorf("old object: %w", err)
	}
	after, err := decode(req.Object)
	if err != nil {
		return answer{}, fmt.Errorf("object: %w", err)
	}
	if after == nil || beingDeleted(after) || sameSpec(before, after) {
		return answer{}, nil
	}
	canary := &v1beta1.Canary{}
	if problem := read(req.Object.Raw, canary); problem != "" {
		return answer{denials: []string{problem}}, nil
	}
	return g.judge(ctx, req, canary)
}

// read decodes an object, or says why it cannot be: once stored, such an object would end every list and watch of its kind.
func read(raw []byte, into any) (problem string) {
	err := json.Unmarshal(raw, into)
	var mistyped *json.UnmarshalTypeError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &mistyped):
		return fmt.Sprintf("%s: %s cannot be read as %s; use a value of the type that the schema names", mistyped.Field, mistyped.Value, mistyped.Type)
	default:
		return fmt.Sprintf("the object cannot be read: %s; compare it with the schema", err)
	}
}

func (g canaryGate) judge(ctx context.Context, req admission.Request, canary *v1beta1.Canary) (answer, error) {
	options := g.options
	options.Creating = req.Operation == admissionv1.Create
	if len(req.OldObject.Raw) > 0 {
		// An old object that cannot be read is about to be put right; without it the new one is judged by itself.
		old := &v1beta1.Canary{}
		if read(req.OldObject.Raw, old) == "" {
			options.Old = old
		}
	}
	var err error
	options.Facts, err = g.facts.find(ctx, canary)
	denials, warnings := validation.ValidateCanary(canary, options)
	a := answer{denials: lines("", denials), warnings: lines(warningPrefix, warnings)}
	if options.Creating && canary.Annotations[v1beta1.AnnotationVerb] != "" {
		a.warnings = append(a.warnings, fmt.Sprintf(warningPrefix+"annotation %s is ignored in a new Canary", v1beta1.AnnotationVerb))
	}
	if len(a.denials) > 0 || dryRun(req) || !newTarget(options.Old, canary) {
		return a, err
	}
	if kept := g.baseline.record(ctx, canary); kept != nil {
		a.warnings = append([]string{fmt.Sprintf(
			warningPrefix+"what serves now could not be recorded; a change made in the next second may count as the first version: %s", kept)}, a.warnings...)
	}
	return a, err
}

// newTarget tells whether the Canary takes up a workload that it did not have before.
func newTarget(old, canary *v1beta1.Canary) bool {
	return !leaving(canary) && (old == nil || old.Spec.TargetRef != canary.Spec.TargetRef)
}

func sameSpec(before, after *unstructured.Unstructured) bool {
	return before != nil && equality.Semantic.DeepEqual(before.Object["spec"], after.Object["spec"])
}

func lines(prefix string, issues []validation.Issue) []string {
	out := make([]string, 0, len(issues))
	for _, i := range issues {
		out = append(out, prefix+i.String())
	}
	return out
}
