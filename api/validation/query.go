package validation

import (
	"slices"

	"github.com/sluice-dev/sluice/analysis/query"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

// query denies a metric whose query can never be sent, and warns of one that will not be understood.
func (r *review) query(path string, m *v1beta1.CanaryMetric) {
	if n := len(m.TemplateVariables); n > query.MaxVariables {
		r.deny(path+".templateVariables", nil, "has %d entries; use at most %d", n, query.MaxVariables)
		return
	}
	switch {
	case m.TemplateRef != nil:
		r.template(path+".templateRef", m)
	case m.Query != "":
		text, err := query.Render(m.Query, query.VarsOf(r.canary, m))
		if err != nil {
			r.deny(path+".query", nil, "cannot be rendered: %s", err)
			return
		}
		r.promql(path+".query", nil, r.opts.CheckQuery, text)
	case m.Builtin():
		r.builtin(path, m.Name)
	}
}

// builtin denies a built-in metric that has no query for this provider or target.
func (r *review) builtin(path, metric string) {
	target := r.canary.Spec.TargetRef
	if !r.known || target.Name == "" || !slices.Contains(r.opts.Features.TargetKinds, target.Kind) {
		return
	}
	if !query.Observes(r.can.Name) {
		r.deny(path+".name", metric, "has no query for provider %s; set templateRef or query", r.can.Name)
		return
	}
	if _, err := query.Pods(target.Kind, target.Name, ""); err != nil {
		r.deny(path+".name", metric, "cannot be asked: %s", err)
	}
}

// template warns where the MetricTemplate of a metric will not do for this Canary. It is no denial: the template may be put right by the
// same apply.
func (r *review) template(field string, m *v1beta1.CanaryMetric) {
	namespace := orDefault(m.TemplateRef.Namespace, r.canary.Namespace)
	if r.opts.NoCrossNamespaceRefs && namespace != r.canary.Namespace {
		return
	}
	for _, t := range r.opts.Facts.Templates {
		if t.Namespace == namespace && t.Name == m.TemplateRef.Name {
			r.found(field, m, &t)
			return
		}
	}
}

func (r *review) found(field string, m *v1beta1.CanaryMetric, t *v1beta1.MetricTemplate) {
	kind := t.Spec.Provider.Type
	if !slices.Contains(r.opts.Features.MetricProviders, kind) {
		r.warn(field, t.Name, "asks %s, which is not available in this version, so each check will fail; use one of %s",
			kind, list(r.opts.Features.MetricProviders))
		return
	}
	text, err := query.Render(t.Spec.Query, query.VarsOf(r.canary, m))
	if err != nil {
		r.warn(field, t.Name, "cannot be rendered for this Canary, so each check will fail: %s", err)
		return
	}
	if kind == v1beta1.MetricPrometheus {
		r.promql(field, t.Name, r.opts.CheckQuery, text)
	}
}
