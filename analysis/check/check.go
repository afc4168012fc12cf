// Package check holds the values that travel between those who decide that a metric or hook must be asked and those who ask it. It is
// a pure leaf: values only, so that neither side needs to import the other.
package check

import (
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// ErrNoData says that a query was answered without any value, usually because no requests reached the canary in the interval.
var ErrNoData = errors.New("no values found")

// Request asks one metric or one webhook of a Canary. Nothing in it is changed by the one who answers.
type Request struct {
	// Key identifies the question among those of its Canary: asking the same key again asks nothing.
	Key string
	// Canary on whose behalf the question is asked, never nil.
	Canary *v1beta1.Canary
	// Metric or Webhook is what to ask; exactly one of them is set.
	Metric  *v1beta1.CanaryMetric
	Webhook *v1beta1.CanaryWebhook

	// Provider is the routing provider in force, for built-in metrics.
	Provider string
	// MetricsServer is the Prometheus URL in force, for built-in metrics and inline queries.
	MetricsServer string
	// Template is the metric's MetricTemplate where it is at hand; nil has it looked up.
	Template *v1beta1.MetricTemplate
	// PodTemplateHash narrows built-in metrics to the pods of one revision of a Deployment; empty takes all pods of the canary.
	PodTemplateHash string

	// Phase and Checksum are told to the webhook.
	Phase    v1beta1.CanaryPhase
	Checksum string
	// Metadata is sent to the webhook in addition to its own; on equal keys this one wins.
	Metadata map[string]string
	// IdempotencyKey is sent to the webhook, so that a call repeated after a restart can be recognised; empty sends none.
	IdempotencyKey string
}

// CanaryName returns the namespace and name of the Canary.
func (r Request) CanaryName() types.NamespacedName {
	return types.NamespacedName{Namespace: r.Canary.Namespace, Name: r.Canary.Name}
}

// Result answers a Request.
type Result struct {
	// Key of the Request.
	Key string
	// Kind and Name say what was asked.
	Kind v1beta1.CheckKind
	Name string
	// Verdict is Pass, Fail (the value breaks the threshold, the hook refused), NoData, NaN, Stale, or Error (nothing could be judged).
	Verdict v1beta1.Verdict
	// Value and Threshold are what was measured and what is accepted, such as "98.5" and ">= 99"; empty for hooks and where there is
	// no value.
	Value, Threshold string
	// Message explains the verdict in at most v1beta1.MaxCheckMessage bytes.
	Message string
	// Time of the answer.
	Time time.Time
}
