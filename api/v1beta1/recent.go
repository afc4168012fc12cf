package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MaxRecent bounds CheckResult.Recent.
const MaxRecent = 10

// CheckValue is one answer to a metric in the course of a rollout.
type CheckValue struct {
	// Value answered, rounded as in the result; empty where there was none.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Value string `json:"value,omitempty"`
	// Verdict on it.
	//
	// +kubebuilder:validation:Enum=Pass;Fail;Error;NoData;NaN;Stale
	Verdict Verdict `json:"verdict"`
	// Step of the analysis, from 0, and Weight in per cent at which it was asked.
	//
	// +optional
	Step int32 `json:"step"`
	// +optional
	Weight int32 `json:"weight"`
	// Time of the answer.
	//
	// +optional
	Time metav1.Time `json:"time,omitzero"`
}

// remember gives a metric's newest result the last answers to that metric, its own the last, and takes them off the result that had them. The
// values are those of a status that nobody else holds.
func (r *CheckResult) remember(older []CheckResult) {
	r.Recent = nil
	if r.Kind != CheckMetric {
		return
	}
	for i := range older {
		if o := &older[i]; o.Name == r.Name && o.Kind == r.Kind {
			r.Recent = append(r.Recent, o.Recent[max(len(o.Recent)-MaxRecent+1, 0):]...)
			o.Recent = nil
			break
		}
	}
	r.Recent = append(r.Recent, CheckValue{Value: r.Value, Verdict: r.Verdict, Step: r.Step, Weight: r.Weight, Time: r.Time})
}
