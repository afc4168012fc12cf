package harness

import (
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// rewatch is the pause before a watch that ended is opened again.
const rewatch = 200 * time.Millisecond

// NoRoute is a weight where there is no route, or it names no canary.
const NoRoute = -1

// Moment is how a Canary and its route were from a time on.
type Moment struct {
	// At is when the change arrived here.
	At time.Time
	// Canary as it was; nil while there is none. Not to be changed.
	Canary *v1beta1.Canary
	// RouteWeight is the canary's share by the HTTPRoute, 0 to 100, or NoRoute.
	RouteWeight int
	// RouteVersion is the resource version of the HTTPRoute; "" while there is none.
	RouteVersion string
}

// Stored is when the Canary was given this status, rounded down to seconds: what was done for it was done later. However late the change arrived here,
// this is no later. Without a status that anybody has written it is At.
func (m Moment) Stored() time.Time {
	at := m.At
	if m.Canary == nil {
		return at
	}
	var stored time.Time
	for _, f := range m.Canary.ManagedFields {
		if f.Subresource == "status" && f.Time != nil && f.Time.After(stored) {
			stored = f.Time.Time
		}
	}
	if stored.IsZero() || stored.After(at) {
		return at
	}
	return stored
}

// Phase of the Canary; "" while there is none.
func (m Moment) Phase() v1beta1.CanaryPhase {
	if m.Canary == nil {
		return ""
	}
	return m.Canary.Status.Phase
}

// Stage of its rollout; "" outside of one.
func (m Moment) Stage() v1beta1.Stage {
	if m.Canary == nil || m.Canary.Status.Rollout == nil {
		return ""
	}
	return m.Canary.Status.Rollout.Stage
}

// Timeline is all that was seen of a Canary and its HTTPRoute, in order. It is
// safe for concurrent use.
type Timeline struct {
	mu      sync.Mutex
	moments []Moment
	changed chan struct{}
}

// Follow begins to record a Canary and the HTTPRoute of its name, until ctx
// ends. Neither has to exist yet.
func (h *Harness) Follow(ctx context.Context, key types.NamespacedName) *Timeline {
	t := &Timeline{
		moments: []Moment{{At: time.Now(), RouteWeight: NoRoute}},
		changed: make(chan struct{}),
	}
	go follow(ctx, h.Client, key, &v1beta1.CanaryList{}, func(o client.Object) {
		canary, is := o.(*v1beta1.Canary)
		if !is {
			canary = nil
		}
		t.add(func(m *Moment) { m.Canary = canary })
	})
	go follow(ctx, h.Client, key, &gatewayv1.HTTPRouteList{}, func(o client.Object) {
		weight, version := NoRoute, ""
		if route, is := o.(*gatewayv1.HTTPRoute); is {
			weight, version = canaryWeight(route, key.Name+"-canary"), route.ResourceVersion
		}
		t.add(func(m *Moment) { m.RouteWeight, m.RouteVersion = weight, version })
	})
	return t
}

// follow calls seen with the object now and at each change, and with nil when
// there is none. A watch that ends is opened again.
func follow(ctx context.Context, c client.WithWatch, key types.NamespacedName, list client.ObjectList, seen func(client.Object)) {
	for ctx.Err() == nil {
		one := &client.ListOptions{
			Namespace:     key.Namespace,
			FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, key.Name),
		}
		// Without a resource version a watch begins with what there is.
		if w, err := c.Watch(ctx, list, one); err == nil {
			consume(ctx, w, seen)
		}
		select {
		case <-ctx.Done():
		case <-time.After(rewatch):
		}
	}
}

func consume(ctx context.Context, w watch.Interface, seen func(client.Object)) {
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case event, open := <-w.ResultChan():
			if !open || event.Type == watch.Error {
				return
			}
			object, is := event.Object.(client.Object)
			if event.Type == watch.Deleted || !is {
				object = nil
			}
			seen(object)
		}
	}
}

// canaryWeight reads the canary's share from the first rule that names it.
func canaryWeight(route *gatewayv1.HTTPRoute, canary string) int {
	for _, rule := range route.Spec.Rules {
		sum, weight, found := 0, 0, false
		for _, backend := range rule.BackendRefs {
			w := 1
			if backend.Weight != nil {
				w = int(*backend.Weight)
			}
			sum += w
			if string(backend.Name) == canary {
				weight, found = w, true
			}
		}
		if found && sum > 0 {
			return weight * 100 / sum
		}
	}
	return NoRoute
}

func (t *Timeline) add(change func(*Moment)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := t.moments[len(t.moments)-1]
	next.At = time.Now()
	change(&next)
	t.moments = append(t.moments, next)
	close(t.changed)
	t.changed = make(chan struct{})
}

// Moments returns all that was seen, in order; there is always one.
func (t *Timeline) Moments() []Moment {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]Moment(nil), t.moments...)
}

// Last returns how it is now.
func (t *Timeline) Last() Moment {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.moments[len(t.moments)-1]
}

// Since returns what was seen from a time on, beginning with how it was then.
func (t *Timeline) Since(at time.Time) []Moment {
	moments := t.Moments()
	first := 0
	for i, m := range moments {
		if m.At.After(at) {
			break
		}
		first = i
	}
	return moments[first:]
}

// Changed returns a channel that is closed at the next change.
func (t *Timeline) Changed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

// Wait returns the first moment from now on that is as wanted. The error wraps
// that of ctx.
func (t *Timeline) Wait(ctx context.Context, done func(Moment) bool) (Moment, error) {
	for next := len(t.Moments()) - 1; ; {
		changed := t.Changed()
		for moments := t.Moments(); next < len(moments); next++ {
			if done(moments[next]) {
				return moments[next], nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			last := t.Last()
			return last, fmt.Errorf("last seen in phase %q at weight %d: %w", last.Phase(), last.RouteWeight, ctx.Err())
		}
	}
}

// Span is a time in which the route had one weight.
type Span struct {
	From time.Time
	// To is when the weight was changed; zero if it is still in force.
	To time.Time
	// Weight of the canary, 0 to 100, or NoRoute.
	Weight int
}

// Spans cuts moments into times of equal route weight.
func Spans(moments []Moment) []Span {
	var out []Span
	for _, m := range moments {
		if len(out) > 0 && out[len(out)-1].Weight == m.RouteWeight {
			continue
		}
		if len(out) > 0 {
			out[len(out)-1].To = m.At
		}
		out = append(out, Span{From: m.At, Weight: m.RouteWeight})
	}
	return out
}
