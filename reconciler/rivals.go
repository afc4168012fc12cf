package reconciler

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// Admission refuses a second Canary for a target, but two may be created at once, or while it is away. Then one of them owns the target.

// targetLabel is the label value that identifies a Canary's target.
func targetLabel(c *v1beta1.Canary) string {
	return revision.Selector(targetOf(c))[v1beta1.LabelTarget]
}

// ripening is how long after its second of creation a new Canary waits for rivals of the same second, which may precede it by name, to appear in the
// cache. Later ones never precede it.
const ripening = 500 * time.Millisecond

// unripe returns how long a Canary that was just created has yet to wait; 0 where the clock of the API server is not this one's.
func (r *Reconciler) unripe(c *v1beta1.Canary) time.Duration {
	created, now := c.CreationTimestamp.Time, r.Clock.Now()
	if c.Status.Phase != "" || !c.DeletionTimestamp.IsZero() || controllerutil.ContainsFinalizer(c, v1beta1.Finalizer) || now.Before(created) {
		return 0
	}
	return max(0, created.Add(time.Second+ripening).Sub(now))
}

// winner names the Canary that owns the target of another one; empty when that is the given one. One that is being deleted owns it until it has
// given it back.
func (r *Reconciler) winner(ctx context.Context, c *v1beta1.Canary) (string, error) {
	rivals, err := r.rivals(ctx, c)
	if err != nil {
		return "", err
	}
	best := c
	for _, o := range rivals {
		if o.Precedes(best) {
			best = o
		}
	}
	if best == c {
		return "", nil
	}
	return best.Name, nil
}

// rivals returns the other Canaries with the same target. One that has given it back on request wants it no more.
func (r *Reconciler) rivals(ctx context.Context, c *v1beta1.Canary) ([]*v1beta1.Canary, error) {
	list := &v1beta1.CanaryList{}
	if err := r.Client.List(ctx, list, client.InNamespace(c.Namespace), client.MatchingFields{indexTarget: targetLabel(c)}); err != nil {
		return nil, fmt.Errorf("list the Canaries of %s %s: %w", c.Spec.TargetRef.Kind, c.Spec.TargetRef.Name, err)
	}
	var out []*v1beta1.Canary
	for i := range list.Items {
		// The label may be a shortened name.
		if o := &list.Items[i]; o.UID != c.UID && targetOf(o) == targetOf(c) && !givenBack(o) {
			out = append(out, o)
		}
	}
	return out, nil
}

// forRivals returns the other Canaries with the target of one that came, changed or went.
func (r *Reconciler) forRivals(ctx context.Context, o client.Object) []reconcile.Request {
	c, ok := o.(*v1beta1.Canary)
	if !ok {
		return nil
	}
	return r.canaries(ctx, func(other *v1beta1.Canary) bool { return other.UID != c.UID },
		client.InNamespace(c.Namespace), client.MatchingFields{indexTarget: targetLabel(c)})
}
