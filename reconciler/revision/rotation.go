package revision

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AnnotationRotated on a primary lists the digests of the rotated configs that its pods were made with, by key, as JSON; on its pod template it is
// one digest of all of them, so that the workload's controller replaces the pods when one changes.
const AnnotationRotated = "sluice.dev/rotated"

// markRotated writes what the primary's pods were made with. Without rotated configs nothing is written.
func (o PrimaryOptions) markRotated(template map[string]any, annotations map[string]string) error {
	if len(o.Rotated) == 0 {
		return nil
	}
	all := map[string]any{}
	for k, v := range o.Rotated {
		all[k] = v
	}
	combined, err := digest(all)
	if err != nil {
		return err
	}
	raw, err := canonicalValue(all)
	if err != nil {
		return fmt.Errorf("encode the digests of the rotated configs: %w", err)
	}
	annotations[AnnotationRotated] = string(raw)
	ensureObject(ensureObject(template, "metadata"), "annotations")[AnnotationRotated] = combined
	return nil
}

// RotatedIn returns what a primary's pods were made with; empty where that is not known.
func RotatedIn(primary metav1.Object) map[string]string {
	out := map[string]string{}
	if json.Unmarshal([]byte(primary.GetAnnotations()[AnnotationRotated]), &out) != nil {
		return map[string]string{}
	}
	return out
}
