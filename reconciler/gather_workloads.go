package reconciler

import (
	"context"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// deploymentKind is the kind of target that this version rolls out, and of its primary.
var deploymentKind = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}

// deployment returns an empty object to read a Deployment into. Workloads stay unstructured: fields of a newer Kubernetes must survive being
// read, compared and rendered.
func deployment() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(deploymentKind)
	return u
}

// gatherWorkloads observes target and primary.
func (r *Reconciler) gatherWorkloads(ctx context.Context, w *world) error {
	ref, ns := w.canary.Spec.TargetRef, w.canary.Namespace
	if ref.Kind != deploymentKind.Kind {
		w.problem(true, "TargetUnsupported", "spec.targetRef.kind: %s is not available in this version; use Deployment", ref.Kind)
		return nil
	}
	var err error
	if w.target, err = find(ctx, r, client.ObjectKey{Namespace: ns, Name: ref.Name}, deployment()); err != nil {
		return err
	}
	if w.primary, err = find(ctx, r, client.ObjectKey{Namespace: ns, Name: w.canary.PrimaryName()}, deployment()); err != nil {
		return err
	}
	if w.target != nil {
		w.observed.Target = observeWorkload(w.target)
		if err := r.describeTarget(w); err != nil {
			return err
		}
	}
	if w.primary != nil {
		if by, ok := foreign(w.primary, w.canary); ok {
			w.problem(true, "PrimaryConflict", "Deployment %s exists but belongs to %s; rename or delete it, or give the target another name", w.primary.GetName(), by)
			return nil
		}
		w.observed.Primary = observeWorkload(w.primary)
		w.observed.Primary.Revision = w.primary.GetAnnotations()[revision.AnnotationRevision]
	}
	return nil
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
	w.label, err = revision.FindSelectorLabel(snapshot.Workload, r.SelectorLabels)
	if err != nil {
		w.problem(true, "SelectorLabelMissing", "%s %s: %v", w.target.GetKind(), w.target.GetName(), err)
	}
	return nil
}

func observeWorkload(u *unstructured.Unstructured) core.Workload {
	replicas, found, _ := unstructured.NestedInt64(u.Object, "spec", "replicas")
	if !found {
		replicas = 1
	}
	status := func(field string) int32 {
		n, _, _ := unstructured.NestedInt64(u.Object, "status", field)
		return int32(n)
	}
	seen, _, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	_, held := u.GetAnnotations()[v1beta1.AnnotationHold]
	return core.Workload{
		Exists:     true,
		Generation: u.GetGeneration(),
		Current:    seen >= u.GetGeneration(),
		Held:       held,
		Replicas:   int32(replicas),
		Total:      status("replicas"),
		Updated:    status("updatedReplicas"),
		Available:  status("availableReplicas"),
	}
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
	ro := w.canary.Status.Rollout
	if ro == nil || ro.Stage != v1beta1.StageScalingUp || ro.PodHash != "" || w.live == nil || !w.observed.Target.Current || w.observed.Target.Held {
		return nil
	}
	match, _, err := unstructured.NestedStringMap(w.target.Object, "spec", "selector", "matchLabels")
	if err != nil {
		return fmt.Errorf("read the selector of %s: %w", w.target.GetName(), err)
	}
	sets := &unstructured.UnstructuredList{}
	sets.SetGroupVersionKind(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "ReplicaSetList"})
	if err := r.Live.List(ctx, sets, client.InNamespace(w.canary.Namespace), client.MatchingLabels(match)); err != nil {
		return fmt.Errorf("list the ReplicaSets of %s: %w", w.target.GetName(), err)
	}
	template, err := revision.TemplateOf(w.target)
	if err != nil {
		return err
	}
	w.observed.LivePodHash, err = podHash(sets.Items, w.target, template)
	return err
}

// podHash returns the hash of the target's own ReplicaSet with the given template.
func podHash(sets []unstructured.Unstructured, target *unstructured.Unstructured, template json.RawMessage) (string, error) {
	for i := range sets {
		if !metav1.IsControlledBy(&sets[i], target) {
			continue
		}
		if hash, err := revision.PodHash(&sets[i], template); err != nil || hash != "" {
			return hash, err
		}
	}
	return "", nil
}
