package validation

import (
	"fmt"
	"slices"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// metrics denies checks that no provider can answer, and bounds that no value meets.
func (r *review) metrics() {
	for i := range r.canary.Spec.Analysis.Metrics {
		r.metric(fmt.Sprintf("spec.analysis.metrics[%d]", i), &r.canary.Spec.Analysis.Metrics[i])
	}
	if server := r.canary.Spec.MetricsServer; server != "" {
		r.url("spec.metricsServer", server)
	}
}

func (r *review) metric(path string, m *v1beta1.CanaryMetric) {
	switch {
	case m.Name == "":
		r.deny(path+".name", nil, "is required; name the check")
	case m.Query == "" && m.TemplateRef == nil && !m.Builtin():
		r.deny(path+".name", m.Name, "is not built in; use %s or %s, or set templateRef or query",
			v1beta1.MetricRequestSuccessRate, v1beta1.MetricRequestDuration)
	case m.Query != "" && m.TemplateRef != nil:
		r.deny(path, nil, "has both query and templateRef; keep one")
	}
	r.duration(path+".interval", m.Interval, v1beta1.MinInterval)
	r.ascending(path+".thresholdRange", m.ThresholdRange)
	r.bounds(path, m)
	r.query(path, m)
	if m.TemplateRef != nil {
		r.namespace(path+".templateRef.namespace", m.TemplateRef.Namespace)
	}
}

// ascending denies a range that no value meets.
func (r *review) ascending(path string, t *v1beta1.ThresholdRange) {
	if t != nil && t.Min != nil && t.Max != nil && *t.Min > *t.Max {
		r.deny(path+".min", *t.Min, "is above max %v, so no value passes; swap them", *t.Max)
	}
}

// bounds warns where a check can say nothing, or more than was meant.
func (r *review) bounds(path string, m *v1beta1.CanaryMetric) {
	t := m.ThresholdRange
	switch {
	case t != nil && t.Min == nil && t.Max == nil:
		r.warn(path+".thresholdRange", nil, "has neither min nor max, so every value passes")
	case t != nil && m.Threshold != nil:
		r.warn(path+".threshold", *m.Threshold, "has no effect beside thresholdRange; remove it")
	case t != nil || m.Threshold != nil:
	case m.Name == v1beta1.MetricRequestSuccessRate:
		r.warn(path, nil, "has no thresholdRange, so every value passes; set for example thresholdRange.min: 99")
	default:
		r.warn(path, nil, "has no thresholdRange, so any value above 0 fails; set thresholdRange")
	}
}

// hookTypes are the accepted types of webhooks.
func hookTypes() []v1beta1.HookType {
	return []v1beta1.HookType{
		v1beta1.HookConfirmRollout, v1beta1.HookPreRollout, v1beta1.HookRollout, v1beta1.HookConfirmTrafficIncrease,
		v1beta1.HookConfirmPromotion, v1beta1.HookPostRollout, v1beta1.HookRollback, v1beta1.HookEvent,
	}
}

// webhooks denies endpoints that cannot be called.
func (r *review) webhooks() {
	for i := range r.canary.Spec.Analysis.Webhooks {
		w := &r.canary.Spec.Analysis.Webhooks[i]
		path := fmt.Sprintf("spec.analysis.webhooks[%d]", i)
		if w.Name == "" {
			r.deny(path+".name", nil, "is required; name the webhook")
		}
		if !slices.Contains(hookTypes(), w.EffectiveType()) {
			r.deny(path+".type", string(w.Type), "is not a type of webhook; use one of %s", joined(hookTypes()))
		}
		r.url(path+".url", w.URL)
		r.duration(path+".timeout", w.Timeout, 0)
		if w.Retries < 0 {
			r.deny(path+".retries", w.Retries, "is out of range; use 0 or more")
		}
	}
}

// alerts judges where alerts go.
func (r *review) alerts() {
	for i, a := range r.canary.Spec.Analysis.Alerts {
		r.namespace(fmt.Sprintf("spec.analysis.alerts[%d].providerRef.namespace", i), a.ProviderRef.Namespace)
	}
}

func joined(types []v1beta1.HookType) string {
	names := make([]string, 0, len(types))
	for _, t := range types {
		names = append(names, string(t))
	}
	return list(names)
}

// namespace denies another namespace where the controller was told to.
func (r *review) namespace(field, ns string) {
	if r.opts.NoCrossNamespaceRefs && ns != "" && ns != r.canary.Namespace {
		r.deny(field, ns, "is another namespace, which this controller does not allow; use %s", r.canary.Namespace)
	}
}
