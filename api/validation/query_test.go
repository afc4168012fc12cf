package validation

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/analysis/query/promql"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

func checkQuery(text string) error { return promql.Check(text) }

// range0 is a range, so that a case is about its query alone.
const range0 = `thresholdRange: {max: 1}`

func queryDenials() []ruleCase {
	long := strings.Repeat("n", 55)
	var many []string
	for i := range 65 {
		many = append(many, fmt.Sprintf("v%d: a", i))
	}
	return []ruleCase{
		{"a query with an unknown function", `{spec: {analysis: {metrics: [{name: a, query: 'rate(a{n="{{ nmespace }}"}[1m])', ` + range0 + `}]}}}`, []string{
			`spec.analysis.metrics[0].query: cannot be rendered: query template does not parse (known functions: name, namespace, target, service, ` +
				`ingress, route, interval, variables): template: query:1: function "nmespace" not defined`,
		}},
		{"a query with an unknown variable", `{spec: {analysis: {metrics: [{name: a, query: '{{ variables.zone }}', templateVariables: {region: x}, ` + range0 + `}]}}}`, []string{
			`spec.analysis.metrics[0].query: cannot be rendered: query template does not render: template: query:1:3: executing "query" at ` +
				`<variables>: map has no entry for key "zone"`,
		}},
		{"a query with known variables", `{spec: {analysis: {metrics: [{name: a, query: 'sum({{ variables.zone }})', templateVariables: {zone: x}, ` + range0 + `}]}}}`, nil},
		{"too many variables", `{spec: {analysis: {metrics: [{name: a, query: "1", templateVariables: {` + strings.Join(many, ", ") + `}, ` + range0 + `}]}}}`, []string{
			`spec.analysis.metrics[0].templateVariables: has 65 entries; use at most 64`,
		}},
		{"a built-in metric of a long name", `{spec: {targetRef: {name: ` + long + `}, service: {name: a}, analysis: {metrics: [{name: request-duration, ` + range0 + `}]}}}`, []string{
			`spec.analysis.metrics[0].name: "request-duration" cannot be asked: target name "` + long + `" has 55 characters: over 54 Kubernetes cuts pod names ` +
				`so that canary and primary look alike; use a MetricTemplate that selects the pods by label`,
		}},
		{"a built-in metric without target", `{spec: {targetRef: {name: ""}, analysis: {metrics: [{name: request-duration, ` + range0 + `}]}}}`, []string{
			`spec.targetRef.name: is required; name the workload to roll out`,
		}},
	}
}

func queryWarnings() []ruleCase {
	return []ruleCase{
		{"PromQL that does not parse", `{spec: {analysis: {metrics: [{name: a, query: 'sum(rate(a[{{ interval }}])', ` + range0 + `}]}}}`, []string{
			`spec.analysis.metrics[0].query: may fail: not valid PromQL: 1:16: parse error: unclosed left parenthesis`,
		}},
		{"PromQL that gives no number", `{spec: {analysis: {metrics: [{name: a, query: 'a[1m]', ` + range0 + `}]}}}`, []string{
			`spec.analysis.metrics[0].query: may fail: PromQL of type range vector gives no single number: make it an instant vector or a scalar, ` +
				`for example with rate() or sum()`,
		}},
	}
}

// Without a parser nothing is claimed about PromQL.
func TestQueryIsNotCheckedWithoutParser(t *testing.T) {
	o := options()
	o.CheckQuery = nil
	denials, warnings := ValidateCanary(canary(t, `{spec: {analysis: {metrics: [{name: a, query: 'sum(', `+range0+`}]}}}`), o)
	expect(t, "denials", denials)
	expect(t, "warnings", warnings)
}

func metricTemplate(name, namespace, kind, query string) v1beta1.MetricTemplate {
	return v1beta1.MetricTemplate{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec:       v1beta1.MetricTemplateSpec{Provider: v1beta1.MetricProvider{Type: kind, Address: "http://prometheus"}, Query: query},
	}
}

// A template is judged with the values of the Canary that refers to it, and never denies that Canary.
func TestReferredTemplates(t *testing.T) {
	const patch = `{spec: {analysis: {metrics: [{name: a, templateRef: {name: %s}, templateVariables: {zone: b}, ` + range0 + `}]}}}`
	const elsewhere = `{spec: {analysis: {metrics: [{name: a, templateRef: {name: broken, namespace: other}, ` + range0 + `}]}}}`
	facts := []v1beta1.MetricTemplate{
		metricTemplate("good", "default", "prometheus", `sum(a{z="{{ variables.zone }}",t="{{ target }}"})`),
		metricTemplate("wants", "default", "prometheus", `a{z="{{ variables.region }}"}`),
		metricTemplate("broken", "default", "prometheus", `sum(a{{ variables.zone }}`),
		metricTemplate("broken", "other", "prometheus", `sum(`),
		metricTemplate("dog", "default", "datadog", `avg:{`),
	}
	for name, tt := range map[string]struct {
		patch string
		local bool
		want  []string
	}{
		"good":              {fmt.Sprintf(patch, "good"), false, nil},
		"absent":            {fmt.Sprintf(patch, "absent"), false, nil},
		"a variable lacks":  {fmt.Sprintf(patch, "wants"), false, []string{`spec.analysis.metrics[0].templateRef: "wants" cannot be rendered for this Canary, so each check will fail: query template does not render: template: query:1:8: executing "query" at <variables>: map has no entry for key "region"`}},
		"broken":            {fmt.Sprintf(patch, "broken"), false, []string{`spec.analysis.metrics[0].templateRef: "broken" may fail: not valid PromQL: 1:7: parse error: unclosed left parenthesis`}},
		"another provider":  {fmt.Sprintf(patch, "dog"), false, nil},
		"another namespace": {elsewhere, false, []string{`spec.analysis.metrics[0].templateRef: "broken" may fail: not valid PromQL: 1:5: parse error: unclosed left parenthesis`}},
		"not to be read":    {elsewhere, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			o := options()
			o.NoCrossNamespaceRefs, o.Facts.Templates = tt.local, facts
			denials, warnings := ValidateCanary(canary(t, tt.patch), o)
			expect(t, "warnings", warnings, tt.want...)
			if refused := slices.ContainsFunc(denials, func(i Issue) bool { return !strings.HasSuffix(i.Field, ".namespace") }); refused || (len(denials) > 0) != tt.local {
				t.Errorf("denials %v; want one only of the namespace, and only where that is not allowed", lines(denials))
			}
		})
	}
}
