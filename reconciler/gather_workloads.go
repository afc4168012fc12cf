package reconciler

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// gatherWorkloads observes target and primary.
func (r *Reconciler) gatherWorkloads(ctx context.Context, w *world) error {
	ref, ns := w.canary.Spec.TargetRef, w.canary.Namespace
	kind, known := adapters[ref.Kind]
	if !known || w.canary.TargetsKnative() {
		w.problem(true, "TargetUnsupported", "spec.targetRef.kind: %s %s is not available in this version; use %s",
			ref.APIVersion, ref.Kind, strings.Join(adaptable(), " or "))
		// Nothing is decided on it; what there is of Services is described as that of a Deployment.
		w.kind = deployments{}
		return nil
	}
	w.kind = kind
	if w.canary.TargetsService() {
		return r.gatherTargetService(ctx, w)
	}
	var err error
	if w.target, err = find(ctx, r, client.ObjectKey{Namespace: ns, Name: ref.Name}, empty(kind)); err != nil {
		return err
	}
	if w.primary, err = find(ctx, r, client.ObjectKey{Namespace: ns, Name: w.canary.PrimaryName()}, empty(kind)); err != nil {
		return err
	}
	if w.target != nil {
		w.observed.Target = observeWorkload(kind, w.target)
		w.reportObstacles()
		if err := r.describeTarget(w); err != nil {
			return err
		}
	}
	if w.primary != nil {
		if by, ok := foreign(w.primary, w.canary); ok {
			w.problem(true, "PrimaryConflict", "%s %s exists but belongs to %s; rename or delete it, or give the target another name",
				w.primary.GetKind(), w.primary.GetName(), by)
			return nil
		}
		w.observed.Primary = observeWorkload(kind, w.primary)
		w.observed.Primary.Revision = w.primary.GetAnnotations()[revision.AnnotationRevision]
		w.observed.RotatedConfigs = slices.Sorted(maps.Keys(revision.RotatedIn(w.primary)))
	}
	return nil
}

// reportObstacles reports what of the target keeps it from being rolled out. It keeps a Canary from taking such a target over; one that became so
// later is rolled out as far as that goes, and what serves goes on being looked after.
func (w *world) reportObstacles() {
	phase := w.canary.Status.Phase
	blocks := phase == "" || phase == v1beta1.PhaseInitializing
	for _, o := range w.kind.obstacles(w.target) {
		w.problem(blocks, "TargetUnsuited", "%s %s: %s", w.target.GetKind(), w.target.GetName(), o)
	}
}

// describeTarget finds out the selector label and the digest of the template.
func (r *Reconciler) describeTarget(w *world) error {
	snapshot, _, err := revision.Take(w.target, nil)
	if err != nil {
		return err
	}
	if w.observed.Target.Template, err = snapshot.TemplateDigest(); err != nil {
		return err
	}
	if w.canary.TargetsService() {
		return nil
	}
	w.label, err = revision.FindSelectorLabel(snapshot.Workload, r.SelectorLabels)
	if err != nil {
		w.problem(true, "SelectorLabelMissing", "%s %s: %v", w.target.GetKind(), w.target.GetName(), err)
	}
	return nil
}

func observeWorkload(k adapter, u *unstructured.Unstructured) core.Workload {
	w := k.counts(u)
	seen, _, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	w.Exists = true
	w.Generation, w.Current = u.GetGeneration(), seen >= u.GetGeneration()
	_, w.Held = u.GetAnnotations()[v1beta1.AnnotationHold]
	// Of a DaemonSet the like is an obstacle.
	w.Paused = u.GetKind() == revision.Deployment && !revision.RollsOut(u)
	return w
}

// foreign tells that an object with a name that the Canary generates belongs to somebody else, and to whom. An owner of the Canary's own name
// but another UID is the same Canary before it was restored from a backup.
func foreign(o client.Object, c *v1beta1.Canary) (string, bool) {
	owner := metav1.GetControllerOf(o)
	if owner == nil {
		if l := o.GetLabels()[v1beta1.LabelCanary]; l == revision.LabelValue(c.Name) {
			return "", false
		}
		return "nobody that Sluice knows", true
	}
	if isCanary(*owner) && owner.Name == c.Name {
		return "", false
	}
	return fmt.Sprintf("%s %s", owner.Kind, owner.Name), true
}

func isCanary(ref metav1.OwnerReference) bool {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	return err == nil && gv.Group == v1beta1.GroupVersion.Group && ref.Kind == v1beta1.CanaryKind
}

// gatherPodHash asks for the hash that the target's controller gave to the pods of the revision that is being rolled out. It costs a read
// from the API server, so it is asked while it is needed only: once the controller has seen the target, until status holds the hash.
func (r *Reconciler) gatherPodHash(ctx context.Context, w *world) error {
	if !core.NeedsPodHash(w.canary) || w.live == nil || !w.observed.Target.Current || w.observed.Target.Held {
		return nil
	}
	if w.kind.history().Empty() {
		w.observed.LivePodHash = w.observed.Live.Digest
		return nil
	}
	var err error
	w.observed.LivePodHash, err = r.ownHash(ctx, w, w.target)
	return err
}

// ownHash asks for the hash that a workload's controller gave to the pods of its present template; empty until it has made them.
func (r *Reconciler) ownHash(ctx context.Context, w *world, workload *unstructured.Unstructured) (string, error) {
	match, _, err := unstructured.NestedStringMap(workload.Object, "spec", "selector", "matchLabels")
	if err != nil {
		return "", fmt.Errorf("read the selector of %s: %w", workload.GetName(), err)
	}
	list := &unstructured.UnstructuredList{}
	kind := w.kind.history()
	kind.Kind += "List"
	list.SetGroupVersionKind(kind)
	if err := r.Live.List(ctx, list, client.InNamespace(w.canary.Namespace), client.MatchingLabels(match)); err != nil {
		return "", fmt.Errorf("list the history of %s: %w", workload.GetName(), err)
	}
	return podHash(w.kind, list.Items, workload)
}

// podHash returns the hash that the target's own controller gave to the pods of its template.
func podHash(k adapter, history []unstructured.Unstructured, target *unstructured.Unstructured) (string, error) {
	for i := range history {
		if !metav1.IsControlledBy(&history[i], target) {
			continue
		}
		if hash, err := k.hash(&history[i], target); err != nil || hash != "" {
			return hash, err
		}
	}
	return "", nil
}
