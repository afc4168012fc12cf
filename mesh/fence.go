package mesh

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// annotationLastFence keeps the newest fence of a route when it has been taken off. It makes each fence a version of the route of its own: an
// annotation does not count in metadata.generation, so a route that was fenced and freed again at a canary weight of 0 would otherwise look
// as if nothing had happened, and a decision from before the fence could open it.
const annotationLastFence = "sluice.dev/last-fence"

// Fence marks the Canary's route with f and takes all users to the primary, in one write. While the primary is being rolled it has no capacity
// for all of them; then the route is only marked, which stops whatever was decided before. A newer fence replaces an older one.
//
// The route is read from the API server and not from a cache, so it may be called on a replica that watches nothing. Whoever writes in between is
// waited for until ctx ends. Without a route, with one that is somebody else's, or with a provider that keeps none, it does nothing.
func (r *Router) Fence(ctx context.Context, c *v1beta1.Canary, f v1beta1.Fence) error {
	p, err := r.provider(c)
	if err != nil {
		return err
	}
	objects := p.Objects(c)
	if len(objects) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	carrier := objects[len(objects)-1]
	for {
		err := r.fenceOnce(ctx, c, p, carrier, f)
		if !apierrors.IsConflict(err) {
			return err
		}
		if ended := ctx.Err(); ended != nil {
			return fmt.Errorf("fence %s: %w, last: %w", carrier, ended, err)
		}
	}
}

// fenceOnce fences the route as it is now. A conflict tells that it changed meanwhile.
func (r *Router) fenceOnce(ctx context.Context, c *v1beta1.Canary, p Provider, carrier Object, f v1beta1.Fence) error {
	existing, err := fetch(ctx, r.live, c.Namespace, carrier)
	if meta.IsNoMatchError(err) {
		return nil
	}
	if err != nil || existing == nil || !ours(c, p, existing) {
		return err
	}
	_, err = r.patch(ctx, carrier, existing, fenced(c, p, existing, f))
	return err
}

// ours tells whether a route is the Canary's to write.
func ours(c *v1beta1.Canary, p Provider, existing *unstructured.Unstructured) bool {
	if other, _ := otherCanary(c, existing); other != "" {
		return false
	}
	return claimed(existing, c) || !p.Read(c, existing).ViaApex
}

// fenced returns the route with the fence on it.
func fenced(c *v1beta1.Canary, p Provider, existing *unstructured.Unstructured, f v1beta1.Fence) *unstructured.Unstructured {
	out := existing.DeepCopy()
	if !core.FenceKeepsSplit(c) {
		out = p.Divert(c, out, core.RouteIntent{Split: core.Split{Primary: 100}})
	}
	annotations := orEmpty(out.GetAnnotations())
	annotations[v1beta1.AnnotationFence], annotations[annotationLastFence] = f.String(), f.String()
	setOrRemove(out, annotations, "annotations")
	return out
}

// free takes the fence off.
func free(u *unstructured.Unstructured) {
	annotations := orEmpty(u.GetAnnotations())
	delete(annotations, v1beta1.AnnotationFence)
	setOrRemove(u, annotations, "annotations")
}

// fenceOf returns the fence on a route, nil without one. One that cannot be read counts as one from long ago: it is waited for no longer.
func fenceOf(u *unstructured.Unstructured) *v1beta1.Fence {
	value, found := u.GetAnnotations()[v1beta1.AnnotationFence]
	if !found {
		return nil
	}
	f, err := v1beta1.ParseFence(value)
	if err != nil {
		return &v1beta1.Fence{}
	}
	return &f
}
