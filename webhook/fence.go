package webhook

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Fencer takes users off a canary at once, for a change that cannot be held.
type Fencer interface {
	// Fence marks the Canary's route with f and, unless its primary is being rolled and needs the canary's capacity, sets its canary weight to 0,
	// in one write. Without a route, or with a provider that has none, it does nothing.
	Fence(ctx context.Context, c *v1beta1.Canary, f v1beta1.Fence) error
}

const (
	// fenceBudget is the part of Budget that fences may take, so that time is left to store the revision that is replaced.
	fenceBudget = time.Second
	// maxFences bounds how many routes are written at a time for one request.
	maxFences = 16
)

// fences writes the fences of one request.
type fences struct {
	fencer  Fencer
	metrics *metrics
	now     func() time.Time
}

// fence fences the routes of Canaries before a change lands. The first warnings are about these Canaries, one for each; where a fence fails, what
// really follows takes the warning's place, at the front.
func (f fences) fence(ctx context.Context, cause string, canaries []*v1beta1.Canary, warnings []string) []string {
	if len(canaries) == 0 {
		return warnings
	}
	failed := f.raise(ctx, canaries, cause)
	if len(failed) == 0 {
		return warnings
	}
	var unfenced, rest []string
	for i, c := range canaries {
		err := failed[c.Name]
		if err == nil {
			rest = append(rest, warnings[i])
			continue
		}
		logf.FromContext(ctx).Error(err, "users could not be taken off a canary before a change lands", "canary", c.Name, "cause", cause)
		unfenced = append(unfenced, fmt.Sprintf(warningPrefix+"users could not be taken off the canary of %s before this change lands; "+
			"the controller does so as soon as it sees the change: %s", c.Name, err))
	}
	return append(append(unfenced, rest...), warnings[len(canaries):]...)
}

// raise fences the routes of Canaries before a change lands, and returns those that could not be fenced in time, with the reason. A Fencer
// that neither answers nor heeds the context is left behind.
func (f fences) raise(ctx context.Context, canaries []*v1beta1.Canary, cause string) map[string]error {
	ctx, cancel := spend(ctx, fenceBudget)
	defer cancel()
	type result struct {
		canary string
		err    error
	}
	fence := v1beta1.Fence{Cause: cause, At: metav1.NewMicroTime(f.now())}
	failed := map[string]error{}
	// Buffered, so that nobody who is late waits for ever.
	results, slots := make(chan result, len(canaries)), make(chan struct{}, maxFences)
	for _, c := range canaries {
		failed[c.Name] = errors.New("not done in time")
		go func() {
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
				results <- result{c.Name, f.one(ctx, c, fence)}
			case <-ctx.Done():
			}
		}()
	}
	for range canaries {
		select {
		case r := <-results:
			if delete(failed, r.canary); r.err != nil {
				failed[r.canary] = r.err
			}
		case <-ctx.Done():
			f.metrics.fenced(len(canaries)-len(failed), len(failed))
			return failed
		}
	}
	f.metrics.fenced(len(canaries)-len(failed), len(failed))
	return failed
}

// one survives a panic: it runs outside the request's own goroutine, where nothing else would.
func (f fences) one(ctx context.Context, c *v1beta1.Canary, fence v1beta1.Fence) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return f.fencer.Fence(ctx, c, fence)
}
