package v1beta1

import (
	"encoding/json"
	"fmt"
)

// ParseHold reads the value of AnnotationHold.
func ParseHold(value string) (Hold, error) {
	var h Hold
	if err := json.Unmarshal([]byte(value), &h); err != nil {
		return Hold{}, fmt.Errorf("annotation %s: %q is not a hold: %w", AnnotationHold, value, err)
	}
	if h.Revision == "" {
		return Hold{}, fmt.Errorf("annotation %s: %q names no revision", AnnotationHold, value)
	}
	return h, nil
}

// String is the value for AnnotationHold.
func (h Hold) String() string {
	// A struct of strings and a bool always marshals.
	b, _ := json.Marshal(h)
	return string(b)
}
