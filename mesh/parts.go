package mesh

import (
	"errors"
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// part is one of the Canary's rules for an intent.
type part struct {
	// cookie is what requests bring that the rule is for; empty for a rule about everybody.
	cookie string
	// limited rules are for requests that meet the conditions of the analysis.
	limited bool
	// intent holds the shares, and the cookies that destinations give.
	intent core.RouteIntent
	// takesBack tells that answers take the cookie back.
	takesBack bool
	// others is the rule beside conditions for everybody else. It does not know the canary.
	others bool
}

// parts lists the rules of an intent in the order in which they take precedence: who brings the cookie of the canary, of the primary, or a revoked
// one; who is shared out; beside conditions, everybody else. The last one is always there. limited is how many conditions the analysis has.
func parts(intent core.RouteIntent, limited int) ([]part, error) {
	if intent.ViaApex {
		return []part{{intent: core.RouteIntent{Split: core.Split{Primary: 100}, ViaApex: true}}}, nil
	}
	if intent.Matched && limited == 0 {
		return nil, errors.New("spec.analysis.match is empty, so there is no condition to limit the canary to; set it or end the analysis")
	}
	shares := func(primary int) core.RouteIntent {
		return core.RouteIntent{Split: core.Split{Primary: primary, Canary: 100 - primary}}
	}
	var out []part
	for _, p := range []part{
		{cookie: intent.Cookie, intent: shares(0)},
		{cookie: intent.PrimaryCookie, intent: shares(100)},
		{cookie: intent.Revoked, intent: shares(intent.Primary), takesBack: true},
	} {
		if p.cookie != "" {
			p.limited = intent.Matched
			out = append(out, p)
		}
	}
	out = append(out, part{limited: intent.Matched, intent: intent})
	if intent.Matched {
		out = append(out, part{intent: shares(100), others: true})
	}
	return out, nil
}

// prepared returns a copy of an object to render into, with its spec; a new one when there is none yet.
func prepared(c *v1beta1.Canary, o Object, existing *unstructured.Unstructured) (out *unstructured.Unstructured, spec map[string]any) {
	out = &unstructured.Unstructured{Object: map[string]any{}}
	if existing != nil {
		out = existing.DeepCopy()
	}
	out.SetGroupVersionKind(o.Kind)
	out.SetNamespace(c.Namespace)
	out.SetName(o.Name)
	spec, ok := out.Object["spec"].(map[string]any)
	if !ok {
		spec = map[string]any{}
		out.Object["spec"] = spec
	}
	return out, spec
}

// setOrDrop sets the fields that have a value and takes out the others.
func setOrDrop(in map[string]any, fields map[string]any) {
	for name, v := range fields {
		if empty(v) {
			delete(in, name)
		} else {
			in[name] = v
		}
	}
}

func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

// asJSON converts a value of the Canary's types, given by its address, to plain JSON; nil for nil.
func asJSON[T any](v *T) map[string]any {
	if v == nil {
		return nil
	}
	// The types are structs of strings, numbers and maps: nothing in them can fail to convert.
	out, err := runtime.DefaultUnstructuredConverter.ToUnstructured(v)
	if err != nil {
		return nil
	}
	return out
}

func anys[T any](in []T) []any {
	out := make([]any, 0, len(in))
	for _, v := range in {
		out = append(out, v)
	}
	return out
}

// with returns a copy of a rule, nil for an empty one, with further fields.
func with(rule, fields map[string]any) map[string]any {
	out := maps.Clone(rule)
	if out == nil {
		out = map[string]any{}
	}
	maps.Copy(out, fields)
	return out
}

// sideService names the Service of a side; the apex Service for none.
func sideService(c *v1beta1.Canary, side core.Side) string {
	apex, primary, canary := c.ServiceNames()
	switch side {
	case core.SidePrimary:
		return primary
	case core.SideTarget:
		return canary
	}
	return apex
}

// onlyWeights refuses what a provider has no words for: left out, it would be done to every request.
func onlyWeights(c *v1beta1.Canary, intent core.RouteIntent) error {
	if len(c.Spec.Analysis.Match) > 0 || intent.Matched {
		return errors.New("spec.analysis.match: this provider knows weights and no conditions; remove it")
	}
	return noCopiesOrCookies(intent)
}
