package v1beta1

import (
	"fmt"
	"time"
)

// Duration is a length of time as written in a manifest, such as 30s or 1m30s. It stays text so that one unparsable
// value cannot break the decoding of every object in a list or watch; the schema and admission refuse such values.
//
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))*$')",message="not a duration; use for example 30s or 1m"
type Duration string

// Parse returns the length of time. Empty, unparsable and negative values are errors.
func (d Duration) Parse() (time.Duration, error) {
	v, err := time.ParseDuration(string(d))
	if err != nil || v < 0 {
		return 0, fmt.Errorf("%q is not a duration; use for example 30s or 1m", string(d))
	}
	return v, nil
}

// Or returns the length of time, or def when it is empty, unparsable or zero.
func (d Duration) Or(def time.Duration) time.Duration {
	v, err := d.Parse()
	if err != nil || v == 0 {
		return def
	}
	return v
}
