package webhook

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/api/validation"
)

// canaries finds the Canary of a workload.
type canaries struct {
	cache client.Reader
	live  client.Reader
}

// workloadRef names a workload as a Canary's targetRef does.
type workloadRef struct{ kind, namespace, name string }

func (w workloadRef) targetOf(c *v1beta1.Canary) bool {
	return c.Namespace == w.namespace && c.Spec.TargetRef.Kind == w.kind && c.Spec.TargetRef.Name == w.name
}

// byReference finds the Canary that names the workload; nil when there is none. Where several do, which admission denies, the one that
// validation puts in charge counts.
func byReference(ctx context.Context, from client.Reader, w workloadRef) (*v1beta1.Canary, error) {
	var list v1beta1.CanaryList
	if err := from.List(ctx, &list, client.InNamespace(w.namespace)); err != nil {
		return nil, fmt.Errorf("list the Canaries of namespace %s: %w", w.namespace, err)
	}
	var best *v1beta1.Canary
	for i := range list.Items {
		c := &list.Items[i]
		if w.targetOf(c) && (best == nil || inCharge(c, best)) {
			best = c
		}
	}
	return best, nil
}

// inCharge tells whether a comes before b. One that is being deleted comes last.
func inCharge(a, b *v1beta1.Canary) bool {
	if leavingA, leavingB := a.DeletionTimestamp != nil, b.DeletionTimestamp != nil; leavingA != leavingB {
		return leavingB
	}
	return validation.PeerOf(a).Precedes(validation.PeerOf(b))
}

// of finds the Canary of a workload that carries Sluice's labels: the labelled one in the cache, else any other in the cache that names the
// workload, else one on the API server, for the cache may not have seen it yet. Nil means that there is none.
func (f canaries) of(ctx context.Context, w workloadRef, label string) (*v1beta1.Canary, error) {
	if label != "" {
		if c, err := f.labelled(ctx, w, label); c != nil || err != nil {
			return c, err
		}
	}
	if c, err := byReference(ctx, f.cache, w); c != nil || err != nil {
		return c, err
	}
	return byReference(ctx, f.live, w)
}

// labelled reads the Canary that a label names from the cache; nil when it does not exist or names another workload. A label that holds a
// shortened name finds none.
func (f canaries) labelled(ctx context.Context, w workloadRef, label string) (*v1beta1.Canary, error) {
	var c v1beta1.Canary
	key := types.NamespacedName{Namespace: w.namespace, Name: label}
	switch err := f.cache.Get(ctx, key, &c); {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read canary %s: %w", key, err)
	case !w.targetOf(&c):
		return nil, nil
	}
	return &c, nil
}
