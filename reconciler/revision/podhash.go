package revision

import (
	"bytes"
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// PodHashLabel is what a Deployment's controller adds to the template of a ReplicaSet.
const PodHashLabel = "pod-template-hash"

// RevisionHashLabel is what a DaemonSet's controller adds to its pods and to the ControllerRevision that holds their template.
const RevisionHashLabel = "controller-revision-hash"

// PodHash returns the hash label of a ReplicaSet when its template is the given one, and "" when it is another.
func PodHash(replicaSet *unstructured.Unstructured, template []byte) (string, error) {
	raw, err := TemplateOf(replicaSet)
	if err != nil {
		return "", err
	}
	t, err := decodeTemplate(raw)
	if err != nil {
		return "", err
	}
	labels := object(object(t, "metadata"), "labels")
	hash, _ := labels[PodHashLabel].(string)
	delete(labels, PodHashLabel)
	have, err := canonicalValue(t)
	if err != nil {
		return "", err
	}
	want, err := Canonical(template)
	if err != nil {
		return "", err
	}
	if !bytes.Equal(have, want) {
		return "", nil
	}
	return hash, nil
}

// RevisionHash returns the hash label of a ControllerRevision that a DaemonSet's controller made when its template is the given one, and "" when
// it is another. The template is the whole of it: one that is scaled to zero has pods, and a hash, of its own.
func RevisionHash(controllerRevision *unstructured.Unstructured, template []byte) (string, error) {
	t := object(object(object(controllerRevision.Object, "data"), "spec"), "template")
	if t == nil {
		return "", nil
	}
	t = maps.Clone(t)
	// The controller stores a patch, which tells how it is to be applied.
	delete(t, "$patch")
	have, err := canonicalValue(t)
	if err != nil {
		return "", err
	}
	want, err := Canonical(template)
	if err != nil || !bytes.Equal(have, want) {
		return "", err
	}
	return controllerRevision.GetLabels()[RevisionHashLabel], nil
}
