package revision

import (
	"bytes"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// PodHashLabel is what a Deployment's controller adds to the template of a ReplicaSet.
const PodHashLabel = "pod-template-hash"

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
