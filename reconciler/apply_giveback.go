package reconciler

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// givenBack tells that a Canary was left on request and nothing of Sluice is left to work on. A new Canary that asks for it is never taken up.
func givenBack(c *v1beta1.Canary) bool {
	return c.DeletionTimestamp.IsZero() && c.Annotations[v1beta1.AnnotationLeave] == "true" &&
		!controllerutil.ContainsFinalizer(c, v1beta1.Finalizer) && c.Status.Phase == ""
}

// giveBack takes away what Sluice made and its marks on what others made. Users are on the target by then. Each step may be repeated; the
// finalizer goes last, so that a crash on the way is made up for.
func (r *Reconciler) giveBack(ctx context.Context, w *world) error {
	if !w.observed.NamespaceTerminating {
		for _, e := range []struct {
			name string
			do   func(context.Context, *world) error
		}{
			{"give the route back", func(ctx context.Context, w *world) error { return r.Router.GiveBack(ctx, w.canary) }},
			{"give the apex Service back", r.returnApex},
			{"release the target", r.returnTarget},
			{"give the autoscaler back", r.returnScalers},
			{"remove the generated objects", r.removeGenerated},
			{"remove the snapshots", r.removeSnapshots},
		} {
			if err := e.do(ctx, w); err != nil {
				return fmt.Errorf("%s: %w", e.name, err)
			}
		}
	}
	r.forget(client.ObjectKeyFromObject(w.canary))
	return r.letGo(ctx, w)
}

func (r *Reconciler) returnApex(ctx context.Context, w *world) error {
	if w.apex == nil {
		return nil
	}
	_, err := r.patch(ctx, w.apex, release(w.apex, w.canary))
	return err
}

// returnTarget takes hold and labels off the target, and the labels off configs that no other Canary needs.
func (r *Reconciler) returnTarget(ctx context.Context, w *world) error {
	refs, err := configsOf(w)
	if err != nil {
		return err
	}
	if err := r.releaseTarget(ctx, w); err != nil {
		return err
	}
	r.refs.drop(client.ObjectKeyFromObject(w.canary))
	for _, ref := range refs {
		same := func(other revision.ConfigRef) bool { return other.Key() == ref.Key() }
		if len(r.refs.of(w.canary.Namespace, same)) > 0 {
			continue
		}
		o, err := find(ctx, r, client.ObjectKey{Namespace: w.canary.Namespace, Name: ref.Name}, emptyConfig(ref.Kind))
		if err != nil {
			return err
		}
		if o == nil || o.GetLabels()[v1beta1.LabelTracked] != v1beta1.TrackedConfig {
			continue
		}
		next := o.DeepCopyObject().(client.Object)
		label(next, "")
		if _, err := r.patch(ctx, o, next); err != nil {
			return err
		}
	}
	return nil
}

// releaseTarget takes hold and labels off the target, if there is one.
func (r *Reconciler) releaseTarget(ctx context.Context, w *world) error {
	if w.target == nil {
		return nil
	}
	next := w.target.DeepCopy()
	label(next, "")
	if w.targetService == nil {
		if err := revision.Release(next); err != nil {
			return err
		}
	}
	return r.patchTarget(ctx, w, next)
}

// configsOf returns the configs that the target's template, or a stored one, references.
func configsOf(w *world) ([]revision.ConfigRef, error) {
	var templates [][]byte
	if w.target != nil {
		template, err := revision.TemplateOf(w.target)
		if err != nil {
			return nil, err
		}
		templates = append(templates, template)
	}
	for _, s := range w.snapshots {
		templates = append(templates, s.Template)
	}
	return refsIn(templates)
}

// removeGenerated deletes the primary and the Services that only rollouts use.
func (r *Reconciler) removeGenerated(ctx context.Context, w *world) error {
	if w.primary != nil {
		if err := r.removeOurs(ctx, w, w.primary); err != nil {
			return err
		}
	}
	for _, s := range []*corev1.Service{w.primaryService, w.canaryService} {
		if s == nil {
			continue
		}
		if err := r.removeOurs(ctx, w, s); err != nil {
			return err
		}
	}
	return nil
}

// removeOurs deletes an object unless it is somebody else's.
func (r *Reconciler) removeOurs(ctx context.Context, w *world, o client.Object) error {
	if _, others := foreign(o, w.canary); others {
		return nil
	}
	return r.remove(ctx, o)
}

// removeSnapshots deletes what is stored of the target, with the copies that nothing else refers to.
func (r *Reconciler) removeSnapshots(ctx context.Context, w *world) error {
	objects, err := r.snapshotObjects(ctx, w.canary.Namespace, revision.Selector(targetOf(w.canary)))
	if err != nil {
		return err
	}
	dropped := map[string]bool{}
	for _, o := range objects {
		dropped[o.Name] = true
	}
	if err := r.sweepCopies(ctx, w.canary.Namespace, dropped); err != nil {
		return err
	}
	for _, o := range objects {
		if err := r.remove(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// letGo takes the finalizer off. A Canary that stays gets an empty status, so that removing the request starts from the beginning.
func (r *Reconciler) letGo(ctx context.Context, w *world) error {
	c := w.canary
	if c.DeletionTimestamp.IsZero() {
		next := c.DeepCopy()
		next.Status = v1beta1.CanaryStatus{}
		next.Status.ObservedGeneration = c.Generation
		next.Status.SetCondition(v1beta1.Condition{
			Type: v1beta1.ConditionReady, Status: metav1.ConditionFalse, Reason: "GivenBack",
			Message: "the application runs without Sluice; remove the annotation " + v1beta1.AnnotationLeave + " to take it up again",
		}, metav1.NewTime(r.Clock.Now()))
		if !equality.Semantic.DeepEqual(c.Status, next.Status) {
			if err := r.Client.Status().Patch(ctx, next, client.MergeFromWithOptions(c, client.MergeFromWithOptimisticLock{}), fieldManager); err != nil {
				return err
			}
			r.written.wrote(next)
		}
		c = next
	}
	if !controllerutil.ContainsFinalizer(c, v1beta1.Finalizer) {
		return nil
	}
	next := c.DeepCopy()
	controllerutil.RemoveFinalizer(next, v1beta1.Finalizer)
	_, err := r.patch(ctx, c, next)
	return client.IgnoreNotFound(err)
}
