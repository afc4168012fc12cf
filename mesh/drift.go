package mesh

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// This file tells what somebody else changed in an object of a route from what the plan changes. A write puts both right; only the former is drift.

// settled holds the objects as they were when they last were what the plan wanted. After a restart it is empty: what was changed while nobody
// looked is put back, and not told.
type settled struct {
	mu    sync.Mutex
	notes map[memoryKey]settledNote
}

type settledNote struct {
	canary types.UID
	object *unstructured.Unstructured
}

// note keeps what counts of an object that is as the Canary wants it.
func (s *settled) note(c *v1beta1.Canary, o Object, u *unstructured.Unstructured) {
	kept := &unstructured.Unstructured{Object: maps.Clone(u.Object)}
	delete(kept.Object, "status")
	kept = kept.DeepCopy()
	kept.SetManagedFields(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.notes == nil {
		s.notes = map[memoryKey]settledNote{}
	}
	s.notes[memoryKey{o, c.Namespace}] = settledNote{c.UID, kept}
}

// last returns what was noted for this very Canary; nil when nothing was.
func (s *settled) last(c *v1beta1.Canary, o Object) *unstructured.Unstructured {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.notes[memoryKey{o, c.Namespace}]; n.canary == c.UID {
		return n.object
	}
	return nil
}

func (s *settled) drop(c *v1beta1.Canary, o Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.notes, memoryKey{o, c.Namespace})
}

// drifted returns what a write of desired puts back of what somebody else changed; nil for nothing. It is asked before the write, which takes the fields
// over from whoever changed them.
func (r *Router) drifted(
	ctx context.Context, c *v1beta1.Canary, p Provider, o Object, existing, desired *unstructured.Unstructured, intent core.RouteIntent,
) *core.Drift {
	last := r.settled.last(c, o)
	if r.Drifted == nil || last == nil {
		return nil
	}
	if existing == nil {
		return &core.Drift{Kind: o.Kind.Kind, Name: o.Name, Deleted: true}
	}
	put := differences(existing, desired)
	if len(put) == 0 || fencedSince(last, existing) {
		return nil
	}
	planned, err := p.Render(c, o, last, intent)
	if err != nil {
		return nil
	}
	claim(planned, c, o, false)
	if !intent.KeepFence {
		free(planned)
	}
	own := map[string]bool{}
	for _, d := range differences(last, planned) {
		own[d.key()] = true
	}
	put = slices.DeleteFunc(put, func(d difference) bool { return own[d.key()] })
	if len(put) == 0 {
		return nil
	}
	drift := &core.Drift{Kind: o.Kind.Kind, Name: o.Name, By: r.changer(ctx, c, o, put)}
	for _, d := range put {
		drift.Fields = append(drift.Fields, core.DriftField{Path: d.name(), Was: d.from, Now: d.to})
	}
	return drift
}

// fencedSince tells whether a fence was put up or taken down: that changes weights, too, and is no drift.
func fencedSince(last, existing *unstructured.Unstructured) bool {
	a, b := last.GetAnnotations(), existing.GetAnnotations()
	return a[v1beta1.AnnotationFence] != b[v1beta1.AnnotationFence] || a[annotationLastFence] != b[annotationLastFence]
}

// difference is one field with two values, as compact JSON.
type difference struct {
	path     []any
	from, to string
}

// name writes the path for people.
func (d difference) name() string {
	var b strings.Builder
	for i, at := range d.path {
		switch at := at.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", at)
		case string:
			switch {
			case strings.ContainsAny(at, "./"):
				fmt.Fprintf(&b, "[%s]", at)
			case i > 0:
				b.WriteString("." + at)
			default:
				b.WriteString(at)
			}
		}
	}
	return b.String()
}

// key identifies a difference wherever in a list it is: somebody may have put a rule before the Canary's.
func (d difference) key() string {
	var b strings.Builder
	for _, at := range d.path {
		if name, ok := at.(string); ok {
			b.WriteString(name + "\x00")
		}
	}
	return b.String() + "\x00" + d.from + "\x00" + d.to
}

// differences lists the fields of spec, labels and annotations that differ, in the order of their names.
func differences(from, to *unstructured.Unstructured) []difference {
	var out []difference
	for _, path := range [][]string{{"metadata", "annotations"}, {"metadata", "labels"}, {"spec"}} {
		a, _, _ := unstructured.NestedFieldNoCopy(from.Object, path...)
		b, _, _ := unstructured.NestedFieldNoCopy(to.Object, path...)
		out = compare(out, anys(path), a, b)
	}
	return out
}

func compare(out []difference, path []any, a, b any) []difference {
	at := func(next any) []any { return append(slices.Clone(path), next) }
	mapA, aIsMap := a.(map[string]any)
	mapB, bIsMap := b.(map[string]any)
	listA, aIsList := a.([]any)
	listB, bIsList := b.([]any)
	switch {
	case aIsMap && bIsMap:
		names := map[string]any{}
		maps.Copy(names, mapA)
		maps.Copy(names, mapB)
		for _, name := range slices.Sorted(maps.Keys(names)) {
			out = compare(out, at(name), mapA[name], mapB[name])
		}
	case aIsList && bIsList && len(listA) == len(listB):
		for i := range listA {
			out = compare(out, at(i), listA[i], listB[i])
		}
	case !equalJSON(a, b):
		out = append(out, difference{path, compact(a), compact(b)})
	}
	return out
}

func equalJSON(a, b any) bool { return compact(a) == compact(b) }

func compact(v any) string {
	if v == nil {
		return ""
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

// changer names the field manager of the first of the fields that another one than Sluice manages, from the API server: caches drop who
// manages what. Empty where that cannot be told.
func (r *Router) changer(ctx context.Context, c *v1beta1.Canary, o Object, fields []difference) string {
	if r.live == nil {
		return ""
	}
	u := &metav1.PartialObjectMetadata{}
	u.SetGroupVersionKind(o.Kind)
	if err := r.live.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: o.Name}, u); err != nil {
		return ""
	}
	for _, d := range fields {
		for _, entry := range u.GetManagedFields() {
			if entry.Manager == string(fieldManager) || entry.Subresource != "" || entry.FieldsV1 == nil {
				continue
			}
			managed := map[string]any{}
			if json.Unmarshal(entry.FieldsV1.GetRawBytes(), &managed) == nil && covers(managed, d.path) {
				return entry.Manager
			}
		}
	}
	return ""
}

// covers tells whether a manager's fields hold the path, or a list or value that it is in.
func covers(managed map[string]any, path []any) bool {
	for _, at := range path {
		if len(managed) == 0 {
			return true
		}
		name, ok := at.(string)
		if !ok {
			// Items of lists are known by what is in them; which one it is does not matter for a name in an event.
			return true
		}
		if managed, ok = managed["f:"+name].(map[string]any); !ok {
			return false
		}
	}
	return true
}
