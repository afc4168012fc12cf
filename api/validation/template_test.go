package validation

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/internal/contradiction"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

// ownCase is a ruleCase for a MetricTemplate or AlertProvider.
type ownCase struct {
	name, patch       string
	denials, warnings []string
}

// build turns a patch of the good object of a kind into the object.
func build[T any](t *testing.T, kind, patch string) *T {
	t.Helper()
	var p map[string]any
	if err := yaml.Unmarshal([]byte(patch), &p); err != nil {
		t.Fatal(err)
	}
	o, err := contradiction.Contradiction{Kind: kind, Patch: p}.Object()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := yaml.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	out := new(T)
	if err := yaml.UnmarshalStrict(raw, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func templateCases() []ownCase {
	return []ownCase{
		{"good", `{}`, nil, nil},
		{"good, with all", `{spec: {provider: {headers: {X-Scope-OrgID: [a, b]}, secretRef: {name: a}}, query: 'sum(a{n="{{ namespace }}"})'}}`, nil, nil},
		{"an unknown provider", `{spec: {provider: {type: excel, address: null}}}`, []string{
			`spec.provider.type: "excel" is not a known provider of metrics; use one of prometheus, influxdb, datadog, externalmetrics, stackdriver, cloudwatch, ` +
				`newrelic, graphite, dynatrace, keptn, splunk`,
		}, nil},
		{"a provider that has an address of its own", `{spec: {provider: {type: datadog, address: null, secretRef: {name: a}}, query: "avg:{"}}`, nil, nil},
		{"a provider without its Secret", `{spec: {provider: {type: datadog, address: null}}}`, nil, []string{
			`spec.provider.secretRef: is needed by datadog, so each check will fail; name a Secret with datadog_api_key and datadog_application_key`,
		}},
		{"a provider without its address", `{spec: {provider: {type: graphite, address: null}}}`, nil, []string{
			`spec.provider.address: is needed by graphite, so each check will fail; use for example https://host`,
		}},
		{"a provider without its region", `{spec: {provider: {type: cloudwatch, address: null}}}`, nil, []string{
			`spec.provider.region: is needed by cloudwatch, so each check will fail; use for example eu-west-1`,
		}},
		{"no address", `{spec: {provider: {address: null}}}`, []string{
			`spec.provider.address: is required; use for example http://name.namespace/path`,
		}, nil},
		{"an address without scheme", `{spec: {provider: {address: "prometheus:9090"}}}`, []string{
			`spec.provider.address: "prometheus:9090" is not an http or https URL; use for example http://name.namespace/path`,
		}, nil},
		{"headers", `{spec: {provider: {headers: {"X Y": [a], Authorization: ["Bearer hunter2\nX: y"], "": [b], OK: ["a\tb"]}}}}`, []string{
			`spec.provider.headers: "" is not the name of a header; use letters, digits and hyphens`,
			`spec.provider.headers.Authorization: has a line break or another control character in its value; remove it`,
			`spec.provider.headers: "X Y" is not the name of a header; use letters, digits and hyphens`,
		}, nil},
		{"an unknown function", `{spec: {query: '{{ nmespace }}'}}`, []string{
			`spec.query: cannot be rendered: query template does not parse (known functions: name, namespace, target, service, ingress, route, interval, ` +
				`variables): template: query:1: function "nmespace" not defined`,
		}, nil},
		{"no text", `{spec: {query: ' '}}`, []string{`spec.query: cannot be rendered: query template renders to nothing: a query must have text`}, nil},
		{"PromQL that does not parse", `{spec: {query: 'sum(a{n="{{ namespace }}"}'}}`, nil, []string{
			`spec.query: may fail: not valid PromQL: 1:21: parse error: unclosed left parenthesis`,
		}},
		{"PromQL that depends on variables", `{spec: {query: 'sum(a {{ variables.rest }}'}}`, nil, nil},
		{"a Secret without name", `{spec: {provider: {secretRef: {name: ""}}}}`, []string{`spec.provider.secretRef.name: is required; name the Secret`}, nil},
	}
}

func TestMetricTemplates(t *testing.T) {
	for _, tt := range templateCases() {
		t.Run(tt.name, func(t *testing.T) {
			denials, warnings := ValidateMetricTemplate(build[v1beta1.MetricTemplate](t, v1beta1.MetricTemplateKind, tt.patch), options())
			expect(t, "denials", denials, tt.denials...)
			expect(t, "warnings", warnings, tt.warnings...)
		})
	}
}

// A build may lack providers: their templates are refused, with those that there are.
func TestProviderThatIsLacking(t *testing.T) {
	o := options()
	o.Features.MetricProviders = []string{v1beta1.MetricPrometheus}
	denials, _ := ValidateMetricTemplate(build[v1beta1.MetricTemplate](t, v1beta1.MetricTemplateKind, `{spec: {provider: {type: datadog}}}`), o)
	expect(t, "denials", denials, `spec.provider.type: "datadog" is not available in this version; use one of prometheus`)
}

func alertCases() []ownCase {
	return []ownCase{
		{"good", `{}`, nil, nil},
		{"good, by Secret", `{spec: {address: null, secretRef: {name: a}, proxy: "socks5://p:1080"}}`, nil, nil},
		{"an unknown chat", `{spec: {type: irc}}`, []string{
			`spec.type: "irc" is not a known chat; use one of slack, msteams, discord, rocket, gchat, webhook`,
		}, nil},
		{"neither", `{spec: {address: null}}`, []string{`spec: has neither address nor secretRef; set one of them`}, nil},
		{"both", `{spec: {secretRef: {name: ""}}}`, []string{
			`spec: has both address and secretRef; keep one`,
			`spec.secretRef.name: is required; name the Secret`,
		}, nil},
		{"an address that shows no secret", `{spec: {address: "hooks.slack.com/services/hunter2"}}`, []string{
			`spec.address: is not an http or https URL; use for example http://name.namespace/path`,
		}, nil},
		{"a proxy that shows no secret", `{spec: {proxy: "me:hunter2@proxy"}}`, []string{
			`spec.proxy: is not the URL of a proxy; use for example http://proxy:3128`,
		}, nil},
	}
}

func TestAlertProviders(t *testing.T) {
	for _, tt := range alertCases() {
		t.Run(tt.name, func(t *testing.T) {
			denials, warnings := ValidateAlertProvider(build[v1beta1.AlertProvider](t, v1beta1.AlertProviderKind, tt.patch), options())
			expect(t, "denials", denials, tt.denials...)
			expect(t, "warnings", warnings, tt.warnings...)
		})
	}
}

// What a template or provider names may still arrive.
func TestMissingSecrets(t *testing.T) {
	template := build[v1beta1.MetricTemplate](t, v1beta1.MetricTemplateKind, `{spec: {provider: {secretRef: {name: a}}}}`)
	alert := build[v1beta1.AlertProvider](t, v1beta1.AlertProviderKind, `{spec: {address: null, secretRef: {name: a}}}`)
	for field, refs := range map[string][]Reference{
		"spec.provider.secretRef": TemplateReferences(template), "spec.secretRef": AlertReferences(alert),
	} {
		if want := []Reference{{field, "v1", "Secret", "default", "a"}}; !slices.Equal(refs, want) {
			t.Errorf("references %+v; want %+v", refs, want)
		}
	}
	o := options()
	o.Facts.Missing = TemplateReferences(template)
	denials, warnings := ValidateMetricTemplate(template, o)
	expect(t, "denials of a template", denials)
	expect(t, "warnings of a template", warnings, `spec.provider.secretRef: "Secret/a" does not exist; checks fail until it is created`)
	o.Facts.Missing = AlertReferences(alert)
	denials, warnings = ValidateAlertProvider(alert, o)
	expect(t, "denials of an alert provider", denials)
	expect(t, "warnings of an alert provider", warnings, `spec.secretRef: "Secret/a" does not exist; alerts are lost until it is created`)
}

func TestOwnObjectsBeingDeleted(t *testing.T) {
	now := &metav1.Time{Time: time.Unix(1, 0)}
	template, alert := &v1beta1.MetricTemplate{}, &v1beta1.AlertProvider{}
	template.DeletionTimestamp, alert.DeletionTimestamp = now, now
	d1, w1 := ValidateMetricTemplate(template, options())
	d2, w2 := ValidateAlertProvider(alert, options())
	if all := slices.Concat(lines(d1), lines(w1), lines(d2), lines(w2)); len(all) > 0 {
		t.Errorf("judged while being deleted:\n%s", strings.Join(all, "\n"))
	}
}
