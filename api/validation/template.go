package validation

import (
	"maps"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/analysis/query"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

// metricProviders are the accepted types of metric providers.
func metricProviders() []string {
	return []string{
		v1beta1.MetricPrometheus, v1beta1.MetricInfluxDB, v1beta1.MetricDatadog, v1beta1.MetricExternalMetrics, v1beta1.MetricStackdriver,
		v1beta1.MetricCloudWatch, v1beta1.MetricNewRelic, v1beta1.MetricGraphite, v1beta1.MetricDynatrace, v1beta1.MetricKeptn, v1beta1.MetricSplunk,
	}
}

// TemplateReferences lists what a MetricTemplate names.
func TemplateReferences(t *v1beta1.MetricTemplate) []Reference {
	return secretReferences("spec.provider.secretRef", t.Namespace, t.Spec.Provider.SecretRef)
}

func secretReferences(field, namespace string, ref *v1beta1.SecretReference) []Reference {
	if ref == nil {
		return nil
	}
	return []Reference{{field, "v1", "Secret", namespace, ref.Name}}
}

// ValidateMetricTemplate judges a MetricTemplate by itself, as ValidateCanary does a Canary. Of the options it looks at CheckQuery, Features and
// Facts.Missing.
func ValidateMetricTemplate(t *v1beta1.MetricTemplate, opts Options) (denials, warnings []Issue) {
	if t.DeletionTimestamp != nil {
		return nil, nil
	}
	f := &findings{}
	p := &t.Spec.Provider
	switch {
	case !slices.Contains(metricProviders(), p.Type):
		f.deny("spec.provider.type", p.Type, "is not a known provider of metrics; use one of %s", list(metricProviders()))
	case !slices.Contains(opts.Features.MetricProviders, p.Type):
		f.deny("spec.provider.type", p.Type, "is not available in this version; use one of %s", list(opts.Features.MetricProviders))
	}
	if p.Type == v1beta1.MetricPrometheus {
		f.url("spec.provider.address", p.Address)
	}
	f.headers("spec.provider.headers", p.Headers)
	text, exact, err := query.Sample(t.Spec.Query)
	switch {
	case err != nil:
		f.deny("spec.query", nil, "cannot be rendered: %s", err)
	case exact && p.Type == v1beta1.MetricPrometheus:
		f.promql("spec.query", nil, opts.CheckQuery, text)
	}
	f.secret("spec.provider.secretRef", p.SecretRef)
	f.needs(p)
	for _, m := range opts.Facts.Missing {
		f.warn(m.Field, m.Kind+"/"+m.Name, "does not exist; checks fail until it is created")
	}
	return f.denials, f.warnings
}

// secret denies a reference without a name.
func (f *findings) secret(field string, ref *v1beta1.SecretReference) {
	if ref != nil && ref.Name == "" {
		f.deny(field+".name", nil, "is required; name the Secret")
	}
}

// headers denies what HTTP cannot carry. Values are not repeated: they may be credentials.
func (f *findings) headers(field string, headers map[string][]string) {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		if name == "" || strings.ContainsFunc(name, notInToken) {
			f.deny(field, name, "is not the name of a header; use letters, digits and hyphens")
			continue
		}
		if slices.ContainsFunc(headers[name], func(v string) bool { return strings.ContainsFunc(v, control) }) {
			f.deny(field+"."+name, nil, "has a line break or another control character in its value; remove it")
		}
	}
}

// notInToken tells what cannot stand in a header's name.
func notInToken(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
}

func control(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
