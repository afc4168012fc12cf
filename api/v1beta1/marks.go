package v1beta1

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Admitted is the value of AnnotationAdmitted. Whoever changes an object while admission is away leaves it as it was, so a digest that is not
// that of the object's content tells of a change that passed unseen. It informs people; the API server's audit log is the authority.
type Admitted struct {
	// By is the user name of who made the change, as the API server authenticated it.
	By string `json:"by"`
	// Digest is the content address of what was admitted: of a target's pod template alone, or of a config's type and data.
	Digest string `json:"digest"`
}

// ParseAdmitted reads the value of AnnotationAdmitted. An empty value is an error too.
func ParseAdmitted(value string) (Admitted, error) {
	var a Admitted
	if err := json.Unmarshal([]byte(value), &a); err != nil {
		return Admitted{}, fmt.Errorf("annotation %s: not a record of an admitted change: %w", AnnotationAdmitted, err)
	}
	return a, nil
}

// String is the value for AnnotationAdmitted.
func (a Admitted) String() string {
	// A struct of strings always marshals.
	b, _ := json.Marshal(a)
	return string(b)
}

// Fence is the value of AnnotationFence. Admission writes it together with a canary weight of 0 before it lets a change through that cannot be
// held; the reconciler takes it off once it has seen the change land, or has waited long enough for it.
type Fence struct {
	// Cause is what is about to change: "configmap/NAME", "secret/NAME", "deployment/NAME" or "daemonset/NAME".
	Cause string `json:"cause"`
	// At is when the change was admitted, by the clock of the replica that admitted it.
	At metav1.MicroTime `json:"at"`
}

// ParseFence reads the value of AnnotationFence. A time that String could not write, in UTC, is an error too.
func ParseFence(value string) (Fence, error) {
	var f Fence
	if err := json.Unmarshal([]byte(value), &f); err != nil {
		return Fence{}, fmt.Errorf("annotation %s: %q is not a fence: %w", AnnotationFence, value, err)
	}
	if year := f.At.UTC().Year(); year < 0 || year > 9999 {
		return Fence{}, fmt.Errorf("annotation %s: %q is not a fence: year %d", AnnotationFence, value, year)
	}
	return f, nil
}

// String is the value for AnnotationFence.
func (f Fence) String() string {
	// A struct of a string and a time of this age always marshals.
	b, _ := json.Marshal(f)
	return string(b)
}

// Precedes tells which of two Canaries with the same target it belongs to: the one that was created first, and of two created in the same
// second the one whose name comes first.
func (c *Canary) Precedes(other *Canary) bool {
	if !c.CreationTimestamp.Time.Equal(other.CreationTimestamp.Time) {
		return c.CreationTimestamp.Time.Before(other.CreationTimestamp.Time)
	}
	return c.Name < other.Name
}
