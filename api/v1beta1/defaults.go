package v1beta1

import (
	"math"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// Defaults of optional fields, equal to Flagger's, but for MinInterval: Flagger raises intervals under 10s to 10s.
const (
	DefaultInterval         = time.Minute
	MinInterval             = time.Second
	DefaultMetricInterval   = time.Minute
	DefaultHookTimeout      = 10 * time.Second
	DefaultRetain           = 10 * time.Minute
	DefaultProgressDeadline = 600 * time.Second
	DefaultThreshold        = 1
	DefaultMaxWeight        = 100
	DefaultReadyPercent     = 100
	DefaultPortName         = "http"

	// DefaultIterations are run where weights were asked of a provider that cannot split traffic.
	DefaultIterations = 10
)

// Names of the metrics that need no query.
const (
	MetricRequestSuccessRate = "request-success-rate"
	MetricRequestDuration    = "request-duration"
)

// Strategy is the way in which a change reaches users.
type Strategy string

// Strategies, in the words of Flagger's metrics and events.
const (
	StrategyCanary    Strategy = "canary"
	StrategyABTesting Strategy = "ab-testing"
	StrategyBlueGreen Strategy = "blue-green"
)

// PrimaryName is the name of the primary workload: the target's name with -primary.
func (c *Canary) PrimaryName() string { return c.Spec.TargetRef.Name + "-primary" }

// serviceTarget is the kind of a target that is no workload.
const serviceTarget = "Service"

// TargetsService tells whether the target is a core Service: where it leads to is rolled out, and the workloads behind it are their owners' business.
// A Service of Knative is none.
func (c *Canary) TargetsService() bool {
	return c.Spec.TargetRef.Kind == serviceTarget && !c.TargetsKnative()
}

// TargetsKnative tells whether the target is a Service of Knative, which is a workload.
func (c *Canary) TargetsKnative() bool {
	group, _, _ := strings.Cut(c.Spec.TargetRef.APIVersion, "/")
	return c.Spec.TargetRef.Kind == serviceTarget && group == "serving.knative.dev"
}

// ServiceNames are the names of the three generated Services. They derive from service.name, else the target's name.
func (c *Canary) ServiceNames() (apex, primary, canary string) {
	apex = c.Spec.Service.Name
	if apex == "" {
		apex = c.Spec.TargetRef.Name
	}
	return apex, apex + "-primary", apex + "-canary"
}

// ProgressDeadline bounds the time in which a workload must become ready. Absent and 0 mean 600s.
func (c *Canary) ProgressDeadline() time.Duration {
	if s := c.Spec.ProgressDeadlineSeconds; s != nil && *s > 0 {
		return time.Duration(*s) * time.Second
	}
	return DefaultProgressDeadline
}

// Lifecycle of the primary; Persistent when absent, and of a Service, which has no pods that could be the primary's.
func (c *Canary) Lifecycle() Lifecycle {
	if c.Spec.Primary == nil || c.Spec.Primary.Lifecycle == "" || c.TargetsService() {
		return LifecyclePersistent
	}
	return c.Spec.Primary.Lifecycle
}

// Retain is how long an ephemeral primary outlives a promotion; 10m when absent or unparsable.
func (c *Canary) Retain() time.Duration {
	if c.Spec.Primary == nil {
		return DefaultRetain
	}
	return c.Spec.Primary.Retain.Or(DefaultRetain)
}

// MainPortName is the name of the first port of the generated Services; http when absent.
func (s *CanaryService) MainPortName() string {
	if s.PortName == "" {
		return DefaultPortName
	}
	return s.PortName
}

// ContainerPort is the number or name of the container port behind the Services: targetPort, else port.
func (s *CanaryService) ContainerPort() intstr.IntOrString {
	if s.TargetPort == (intstr.IntOrString{}) || s.TargetPort == intstr.FromString("") {
		return intstr.FromInt32(s.Port)
	}
	return s.TargetPort
}

// CheckInterval is the time between two checks. Empty and unparsable values mean 60s, the floor is 1s.
func (a *CanaryAnalysis) CheckInterval() time.Duration {
	return max(a.Interval.Or(DefaultInterval), MinInterval)
}

// FailureThreshold is the number of failed checks that rolls back, at least 1.
func (a *CanaryAnalysis) FailureThreshold() int { return max(int(a.Threshold), DefaultThreshold) }

// PrimaryReadyPercent of the primary's pods must be available; 100 when absent or 0.
func (a *CanaryAnalysis) PrimaryReadyPercent() int { return readyPercent(a.PrimaryReadyThreshold) }

// CanaryReadyPercent of the canary's pods must be available; 100 when absent or 0.
func (a *CanaryAnalysis) CanaryReadyPercent() int { return readyPercent(a.CanaryReadyThreshold) }

func readyPercent(p *int32) int {
	if p == nil || *p <= 0 {
		return DefaultReadyPercent
	}
	return min(int(*p), 100)
}

// Strategy that the analysis asks for, on a provider that can or cannot split traffic by weight. A provider that
// cannot runs blue/green whatever was asked.
func (a *CanaryAnalysis) Strategy(splits bool) Strategy {
	switch {
	case !splits:
		return StrategyBlueGreen
	case a.Iterations > 0 && len(a.Match) > 0:
		return StrategyABTesting
	case a.Iterations > 0:
		return StrategyBlueGreen
	default:
		return StrategyCanary
	}
}

// IterationCount is the number of checks of A/B testing and blue/green: iterations, or 10 where none were asked for
// and the provider cannot split traffic, or 0.
func (a *CanaryAnalysis) IterationCount(splits bool) int {
	if a.Iterations <= 0 && !splits {
		return DefaultIterations
	}
	return max(int(a.Iterations), 0)
}

// Steps are the canary's shares of traffic in per cent, ascending, each in 1..100; nil when the analysis has none.
//
// With stepWeight they are its multiples up to maxWeight, which is the last step even where it is no multiple: Flagger
// overshoots there (20 up to 50 ends at 60), this ends at 50. With stepWeights they are the list, and maxWeight has no
// say; entries that do not ascend are left out.
func (a *CanaryAnalysis) Steps() []int {
	if a.StepWeight > 0 {
		return multiples(int(a.StepWeight), a.maxWeight())
	}
	var steps []int
	last := 0
	for _, w := range a.StepWeights {
		if v := min(int(w), 100); v > last {
			steps, last = append(steps, v), v
		}
	}
	return steps
}

func (a *CanaryAnalysis) maxWeight() int {
	if a.MaxWeight <= 0 {
		return DefaultMaxWeight
	}
	return min(int(a.MaxWeight), 100)
}

func multiples(step, end int) []int {
	n := int(math.Ceil(float64(end) / float64(step)))
	steps := make([]int, 0, n)
	for i := 1; i <= n; i++ {
		steps = append(steps, min(i*step, end))
	}
	return steps
}

// Hooks are the webhooks of one type, in order. A webhook without a type counts as HookRollout.
func (a *CanaryAnalysis) Hooks(t HookType) []CanaryWebhook {
	var hooks []CanaryWebhook
	for _, w := range a.Webhooks {
		if w.EffectiveType() == t {
			hooks = append(hooks, w)
		}
	}
	return hooks
}

// EffectiveType is the type of the webhook; rollout when empty.
func (w *CanaryWebhook) EffectiveType() HookType {
	if w.Type == "" {
		return HookRollout
	}
	return w.Type
}

// CallTimeout bounds one call; 10s when absent or unparsable.
func (w *CanaryWebhook) CallTimeout() time.Duration { return w.Timeout.Or(DefaultHookTimeout) }

// Window is the time over which the metric is taken; 1m when absent or unparsable.
func (m *CanaryMetric) Window() time.Duration { return m.Interval.Or(DefaultMetricInterval) }

// Builtin tells whether the metric's query is the provider's own.
func (m *CanaryMetric) Builtin() bool {
	return m.Query == "" && m.TemplateRef == nil &&
		(m.Name == MetricRequestSuccessRate || m.Name == MetricRequestDuration)
}
