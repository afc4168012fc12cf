package mesh

import (
	"maps"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// weights is a provider whose object, named like the apex Service, is one list of Services with a weight each. That list is the Canary's; further fields
// of its entries, and all other fields of the object, are left as they are.
type weights struct {
	kind schema.GroupVersionKind
	// goes tells that the object is of no use without the Canary.
	goes bool
	// list is the path of the list, service the field of an entry that names the Service.
	list    []string
	service string
	// entry returns the other fields of an entry; nil for none.
	entry func(c *v1beta1.Canary) map[string]any
	// frame sets the other fields of the spec that are the Canary's; nil for none.
	frame func(c *v1beta1.Canary, spec map[string]any)
	// quantities tells that a weight is written as a string.
	quantities bool
	// absent is the weight of an entry that says none.
	absent int64
}

func (w weights) Objects(c *v1beta1.Canary) []Object {
	apex, _, _ := c.ServiceNames()
	return []Object{{Kind: w.kind, Name: apex, Goes: w.goes}}
}

func (w weights) Render(c *v1beta1.Canary, o Object, existing *unstructured.Unstructured, intent core.RouteIntent) (*unstructured.Unstructured, error) {
	if err := onlyWeights(c, intent); err != nil {
		return nil, err
	}
	out, spec := prepared(c, o, existing)
	if w.frame != nil {
		w.frame(c, spec)
	}
	return out, unstructured.SetNestedSlice(out.Object, w.entries(c, existing, intent), w.list...)
}

func (w weights) Divert(c *v1beta1.Canary, existing *unstructured.Unstructured, intent core.RouteIntent) *unstructured.Unstructured {
	out := existing.DeepCopy()
	if split, _ := w.read(c, existing); split == nil || intent.Matched && intent.Canary > 0 {
		return out
	}
	if err := unstructured.SetNestedSlice(out.Object, w.entries(c, existing, intent), w.list...); err != nil {
		return existing
	}
	return out
}

func (w weights) Read(c *v1beta1.Canary, carrier *unstructured.Unstructured) core.Route {
	split, viaApex := w.read(c, carrier)
	if split == nil {
		return core.Route{Exists: true, ViaApex: true, Problem: carrier.GetKind() + " " + carrier.GetName() + " leads to none of the Canary's Services"}
	}
	return core.Route{Exists: true, Split: *split, ViaApex: viaApex, Accepted: true}
}

// read returns the split, and whether nothing but the apex Service is in it; nil where none of the Canary's Services is.
func (w weights) read(c *v1beta1.Canary, carrier *unstructured.Unstructured) (*core.Split, bool) {
	apex, primary, canary := c.ServiceNames()
	var own, toCanary, total int64
	found, viaApex := false, true
	live, _, _ := unstructured.NestedSlice(carrier.Object, w.list...)
	for _, entry := range mapsIn(live) {
		weight := w.weightOf(entry)
		total += weight
		switch w.leads(c, entry) {
		case canary:
			toCanary += weight
			viaApex = false
		case primary:
			viaApex = false
		case apex:
		default:
			continue
		}
		found, own = true, own+weight
	}
	if !found {
		return nil, true
	}
	split := core.Split{Primary: share(own-toCanary, total), Canary: share(toCanary, total)}
	if own == total && total > 0 {
		split.Primary = 100 - split.Canary
	}
	return &split, viaApex
}

// leads names the Service in the Canary's namespace that an entry is about; empty when it is none there.
func (w weights) leads(c *v1beta1.Canary, entry map[string]any) string {
	kind, namespace := text(entry["kind"]), text(entry["namespace"])
	if kind != "" && kind != "Service" || namespace != "" && namespace != c.Namespace {
		return ""
	}
	return text(entry[w.service])
}

func (w weights) weightOf(entry map[string]any) int64 {
	switch weight := entry["weight"].(type) {
	case int64:
		return weight
	case string:
		if n, err := strconv.ParseInt(weight, 10, 64); err == nil {
			return n
		}
	}
	return w.absent
}

// entries lists the Services of an intent with explicit weights: an absent one may count as 1.
func (w weights) entries(c *v1beta1.Canary, existing *unstructured.Unstructured, intent core.RouteIntent) []any {
	if intent.ViaApex {
		return []any{w.one(c, existing, core.SideUnknown, 100)}
	}
	return []any{w.one(c, existing, core.SidePrimary, intent.Primary), w.one(c, existing, core.SideTarget, intent.Canary)}
}

// one is the entry of a side, with what others put into it, or into the one that it takes the place of.
func (w weights) one(c *v1beta1.Canary, existing *unstructured.Unstructured, side core.Side, weight int) map[string]any {
	name := sideService(c, side)
	out := map[string]any{}
	if existing != nil {
		live, _, _ := unstructured.NestedSlice(existing.Object, w.list...)
		for _, candidate := range append([]string{name}, sideService(c, core.SideUnknown), sideService(c, core.SidePrimary)) {
			if entry := w.find(c, mapsIn(live), candidate); entry != nil {
				out = runtime.DeepCopyJSON(entry)
				break
			}
		}
	}
	if w.entry != nil {
		maps.Copy(out, w.entry(c))
	}
	out[w.service], out["weight"] = name, any(int64(weight))
	if w.quantities {
		out["weight"] = strconv.Itoa(weight)
	}
	return out
}

func (w weights) find(c *v1beta1.Canary, entries []map[string]any, name string) map[string]any {
	for _, entry := range entries {
		if w.leads(c, entry) == name {
			return entry
		}
	}
	return nil
}
