package mesh

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// annotationApplied lists the keys that came from spec.service.apex, so that a key that is taken out there is taken off the object too. Whose a
// key is cannot be seen otherwise: caches drop managedFields.
const annotationApplied = "sluice.dev/applied-metadata"

// fluxOptOut keeps Flux from writing over a route whose weights are moving.
func fluxOptOut() map[string]string {
	return map[string]string{
		"kustomize.toolkit.fluxcd.io/reconcile": "disabled",
		"helm.toolkit.fluxcd.io/driftDetection": "disabled",
	}
}

// otherCanary returns the name of another Canary that the object belongs to, and the mark that says so; empty when there is none.
func otherCanary(c *v1beta1.Canary, existing *unstructured.Unstructured) (name, mark string) {
	name, mark = existing.GetLabels()[v1beta1.LabelCanary], "label "+v1beta1.LabelCanary
	for _, ref := range existing.GetOwnerReferences() {
		if isCanary(ref) && ref.Name != c.Name {
			name, mark = ref.Name, "owner reference"
		}
	}
	if name == c.Name {
		return "", ""
	}
	return name, mark
}

// refuseOthers returns an error when the object belongs to another Canary: two would fight over its weights.
func refuseOthers(c *v1beta1.Canary, o Object, existing *unstructured.Unstructured) error {
	if existing == nil {
		return nil
	}
	other, mark := otherCanary(c, existing)
	if other == "" {
		return nil
	}
	return fmt.Errorf("spec.service.name: %s in namespace %s belongs to the Canary %q; "+
		"give this Canary another service name, or remove the %s if that Canary is gone", o, c.Namespace, other, mark)
}

// claim marks an object as the Canary's: labels, annotations and, where Sluice created it, ownership. What others put there stays. Metadata of
// spec.service.apex is for what users know, not for an object that is of no use without the Canary.
func claim(u *unstructured.Unstructured, c *v1beta1.Canary, o Object, created bool) {
	labels, annotations := orEmpty(u.GetLabels()), orEmpty(u.GetAnnotations())
	dropApplied(labels, annotations)
	var applied []string
	if apex := c.Spec.Service.Apex; apex != nil && !o.Goes {
		maps.Copy(labels, apex.Labels)
		maps.Copy(annotations, apex.Annotations)
		applied = append(prefixed("label/", apex.Labels), prefixed("annotation/", apex.Annotations)...)
	}
	maps.Copy(annotations, fluxOptOut())
	delete(annotations, annotationApplied)
	if len(applied) > 0 {
		annotations[annotationApplied] = strings.Join(applied, ",")
	}
	// A Canary's name may be longer than a label allows; the owner reference then has to do.
	if len(validation.IsValidLabelValue(c.Name)) == 0 {
		labels[v1beta1.LabelCanary] = c.Name
	}
	setOrRemove(u, labels, "labels")
	setOrRemove(u, annotations, "annotations")
	own(u, c, created)
}

// own sets the owner reference on an object that Sluice creates, and renews it where the Canary was recreated, for example from a backup: an
// owner that no longer exists has the object deleted.
func own(u *unstructured.Unstructured, c *v1beta1.Canary, created bool) {
	refs := u.GetOwnerReferences()
	i := slices.IndexFunc(refs, isCanary)
	ref := *metav1.NewControllerRef(c, v1beta1.GroupVersion.WithKind(v1beta1.CanaryKind))
	switch {
	case i >= 0 && refs[i].UID != c.UID:
		refs[i] = ref
	case i < 0 && created:
		refs = append(refs, ref)
	default:
		return
	}
	u.SetOwnerReferences(refs)
}

// release takes the Canary's marks off an object. Metadata from spec.service.apex stays: others may rely on it, such as a DNS controller.
func release(u *unstructured.Unstructured, c *v1beta1.Canary) {
	labels, annotations := orEmpty(u.GetLabels()), orEmpty(u.GetAnnotations())
	delete(labels, v1beta1.LabelCanary)
	for _, key := range []string{annotationApplied, annotationLastFence, v1beta1.AnnotationFence} {
		delete(annotations, key)
	}
	for k, v := range fluxOptOut() {
		if annotations[k] == v {
			delete(annotations, k)
		}
	}
	setOrRemove(u, labels, "labels")
	setOrRemove(u, annotations, "annotations")

	refs := slices.DeleteFunc(u.GetOwnerReferences(), func(ref metav1.OwnerReference) bool { return isCanary(ref) && ref.Name == c.Name })
	if len(refs) == 0 {
		unstructured.RemoveNestedField(u.Object, "metadata", "ownerReferences")
		return
	}
	u.SetOwnerReferences(refs)
}

// claimed tells whether the object carries a mark of the Canary.
func claimed(u *unstructured.Unstructured, c *v1beta1.Canary) bool {
	return u.GetLabels()[v1beta1.LabelCanary] == c.Name || slices.ContainsFunc(u.GetOwnerReferences(), isCanary)
}

func isCanary(ref metav1.OwnerReference) bool {
	return ref.Kind == v1beta1.CanaryKind && strings.HasPrefix(ref.APIVersion, v1beta1.GroupVersion.Group+"/")
}

// dropApplied removes the keys that an earlier spec.service.apex asked for.
func dropApplied(labels, annotations map[string]string) {
	for entry := range strings.SplitSeq(annotations[annotationApplied], ",") {
		switch kind, key, _ := strings.Cut(entry, "/"); kind {
		case "label":
			delete(labels, key)
		case "annotation":
			delete(annotations, key)
		}
	}
}

func prefixed(prefix string, m map[string]string) []string {
	out := make([]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, prefix+k)
	}
	return out
}

func setOrRemove(u *unstructured.Unstructured, m map[string]string, field string) {
	if len(m) == 0 {
		unstructured.RemoveNestedField(u.Object, "metadata", field)
		return
	}
	values := make(map[string]any, len(m))
	for k, v := range m {
		values[k] = v
	}
	u.Object["metadata"].(map[string]any)[field] = values
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
