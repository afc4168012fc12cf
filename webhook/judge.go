package webhook

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sluice-dev/sluice/api/validation"
)

// objectGate answers requests on objects that only have to be right in themselves. It reads and writes nothing but the facts.
type objectGate[T any] struct {
	references func(*T) []validation.Reference
	judge      func(*T, validation.Options) (denials, warnings []validation.Issue)
	facts      factFinder
	options    validation.Options
}

func (g objectGate[T]) handle(ctx context.Context, req admission.Request) (answer, error) {
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
	object := new(T)
	if problem := read(req.Object.Raw, object); problem != "" {
		return answer{denials: []string{problem}}, nil
	}
	options := g.options
	options.Facts.Missing, _ = g.facts.look(ctx, g.references(object))
	denials, warnings := g.judge(object, options)
	return answer{denials: lines("", denials), warnings: lines(warningPrefix, warnings)}, nil
}
