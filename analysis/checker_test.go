package analysis_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/analysis/check"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

var now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// sources are MetricTemplates and Secrets by "namespace/name".
type sources struct {
	templates map[string]v1beta1.MetricTemplateSpec
	secrets   map[string]map[string][]byte
}

var errMissing = errors.New("does not exist")

func (s sources) MetricTemplate(_ context.Context, name types.NamespacedName) (*v1beta1.MetricTemplate, error) {
	spec, ok := s.templates[name.String()]
	if !ok {
		return nil, fmt.Errorf("MetricTemplate %s %w", name, errMissing)
	}
	return &v1beta1.MetricTemplate{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}, Spec: spec}, nil
}

func (s sources) SecretData(_ context.Context, name types.NamespacedName) (map[string][]byte, error) {
	data, ok := s.secrets[name.String()]
	if !ok {
		return nil, fmt.Errorf("Secret %s %w", name, errMissing)
	}
	return data, nil
}

// prom is a Prometheus that answers every query with one value, and remembers what it was asked.
type prom struct {
	*httptest.Server
	value   string
	queries []string
	auth    string
}

func newProm(t *testing.T, value string) *prom {
	p := &prom{value: value}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.queries, p.auth = append(p.queries, r.URL.Query().Get("query")), r.Header.Get("Authorization")
		result := `{"metric":{},"value":[1,"` + p.value + `"]}`
		if p.value == "" {
			result = ""
		}
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[%s]}}`, result)
	}))
	t.Cleanup(p.Close)
	return p
}

func canary() *v1beta1.Canary {
	c := &v1beta1.Canary{ObjectMeta: metav1.ObjectMeta{Namespace: "test", Name: "podinfo"}}
	c.Spec.TargetRef = v1beta1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "podinfo"}
	return c
}

func atLeast(v float64) *v1beta1.ThresholdRange { return &v1beta1.ThresholdRange{Min: &v} }

func newChecker(s sources, noCross bool) *analysis.Checker {
	return analysis.NewChecker(analysis.CheckerOptions{
		Sources: s, Clock: clocktesting.NewFakeClock(now), UserAgent: "sluice/test", NoCrossNamespaceRefs: noCross,
	})
}

func metricRequest(server *prom, metric v1beta1.CanaryMetric) check.Request {
	return check.Request{Key: "k", Canary: canary(), Metric: &metric, Provider: "gatewayapi:v1", MetricsServer: server.URL}
}

func TestBuiltinMetric(t *testing.T) {
	server := newProm(t, "98.5")
	req := metricRequest(server, v1beta1.CanaryMetric{Name: "request-success-rate", Interval: "30s", ThresholdRange: atLeast(99)})
	req.PodTemplateHash = "6d4cf56db6"
	got := newChecker(sources{}, false).Check(t.Context(), req)
	want := check.Result{
		Key: "k", Kind: v1beta1.CheckMetric, Name: "request-success-rate", Verdict: v1beta1.VerdictFail,
		Value: "98.5", Threshold: ">= 99", Message: "request-success-rate: 98.5%, accepted >= 99", Time: now,
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if len(server.queries) != 1 || !strings.Contains(server.queries[0], "podinfo-6d4cf56db6-[") || !strings.Contains(server.queries[0], "[30s]") {
		t.Errorf("asked %q", server.queries)
	}

	server.value = "120.7"
	limit := 120.0
	req.Metric = &v1beta1.CanaryMetric{Name: "request-duration", ThresholdRange: &v1beta1.ThresholdRange{Max: &limit}}
	if got := newChecker(sources{}, false).Check(t.Context(), req); got.Verdict != v1beta1.VerdictPass || got.Value != "120" {
		t.Errorf("duration: %+v", got)
	}
	if !strings.Contains(server.queries[1], "[1m]") {
		t.Errorf("asked %q, want the default window", server.queries[1])
	}
}

func TestInlineQuery(t *testing.T) {
	server := newProm(t, "3")
	limit := 2.0
	req := metricRequest(server, v1beta1.CanaryMetric{Name: "request-success-rate", Threshold: &limit, Query: `sum(errors{ns="{{ namespace }}"}[{{ interval }}])`})
	got := newChecker(sources{}, false).Check(t.Context(), req)
	if got.Verdict != v1beta1.VerdictFail || got.Threshold != "<= 2" {
		t.Errorf("an inline query is judged by an upper limit, whatever its name: %+v", got)
	}
	if len(server.queries) != 1 || server.queries[0] != `sum(errors{ns="test"}[1m])` {
		t.Errorf("asked %q", server.queries)
	}
}

func TestTemplate(t *testing.T) {
	server, other := newProm(t, "1"), newProm(t, "7")
	s := sources{
		templates: map[string]v1beta1.MetricTemplateSpec{
			"monitoring/errors": {
				Provider: v1beta1.MetricProvider{Type: "prometheus", Address: other.URL, SecretRef: &v1beta1.SecretReference{Name: "prom"}},
				Query:    `errors{service="{{ service }}", code="{{ variables.code }}"}`,
			},
		},
		secrets: map[string]map[string][]byte{"monitoring/prom": {"token": []byte("t")}, "test/prom": {"token": []byte("wrong")}},
	}
	req := metricRequest(server, v1beta1.CanaryMetric{
		Name: "errors", ThresholdRange: atLeast(7), TemplateVariables: map[string]string{"code": "5.."}, Query: "ignored",
		TemplateRef: &v1beta1.CrossNamespaceReference{Namespace: "monitoring", Name: "errors"},
	})
	if got := newChecker(s, false).Check(t.Context(), req); got.Verdict != v1beta1.VerdictPass || got.Value != "7" {
		t.Errorf("got %+v", got)
	}
	if len(server.queries) != 0 || len(other.queries) != 1 || other.queries[0] != `errors{service="podinfo", code="5.."}` || other.auth != "Bearer t" {
		t.Errorf("asked %q there and %q here, with %q", other.queries, server.queries, other.auth)
	}

	if got := newChecker(s, true).Check(t.Context(), req); got.Verdict != v1beta1.VerdictError || !strings.Contains(got.Message, "across namespaces are switched off") {
		t.Errorf("across namespaces: %+v", got)
	}

	// A template that is at hand is used as it is.
	req.Template = &v1beta1.MetricTemplate{Spec: v1beta1.MetricTemplateSpec{
		Provider: v1beta1.MetricProvider{Type: "prometheus", Address: server.URL}, Query: "up",
	}}
	if got := newChecker(sources{}, false).Check(t.Context(), req); got.Verdict != v1beta1.VerdictFail || server.queries[0] != "up" {
		t.Errorf("with the template at hand: %+v after %q", got, server.queries)
	}
}

func TestMetricTrouble(t *testing.T) {
	server := newProm(t, "1")
	empty, nan := newProm(t, ""), newProm(t, "NaN")
	gone := newProm(t, "1")
	gone.Close()
	spec := func(provider string, ref *v1beta1.SecretReference, text string) v1beta1.MetricTemplateSpec {
		return v1beta1.MetricTemplateSpec{Provider: v1beta1.MetricProvider{Type: provider, Address: server.URL, SecretRef: ref}, Query: text}
	}
	s := sources{templates: map[string]v1beta1.MetricTemplateSpec{
		"test/odd":      spec("promehteus", nil, "up"),
		"test/secret":   spec("prometheus", &v1beta1.SecretReference{Name: "nope"}, "up"),
		"test/variable": spec("prometheus", nil, "{{ variables.nope }}"),
	}}
	ref := func(name string) *v1beta1.CrossNamespaceReference {
		return &v1beta1.CrossNamespaceReference{Name: name}
	}
	tests := map[string]struct {
		server  *prom
		metric  v1beta1.CanaryMetric
		verdict v1beta1.Verdict
		want    string
	}{
		"no data":            {empty, v1beta1.CanaryMetric{Name: "m", Query: "up", ThresholdRange: atLeast(9)}, v1beta1.VerdictNoData, `metric "m": no values found in 1m`},
		"NaN":                {nan, v1beta1.CanaryMetric{Name: "m", Query: "up", ThresholdRange: atLeast(9)}, v1beta1.VerdictNaN, "no requests reached the canary"},
		"server away":        {gone, v1beta1.CanaryMetric{Name: "m", Query: "up"}, v1beta1.VerdictError, "connection refused"},
		"asks nothing":       {server, v1beta1.CanaryMetric{Name: "latency"}, v1beta1.VerdictError, "names neither templateRef nor query"},
		"query does not fit": {server, v1beta1.CanaryMetric{Name: "m", Query: "{{ nope }}"}, v1beta1.VerdictError, `function "nope" not defined`},
		"template missing":   {server, v1beta1.CanaryMetric{Name: "m", TemplateRef: ref("none")}, v1beta1.VerdictError, "MetricTemplate test/none does not exist"},
		"secret missing":     {server, v1beta1.CanaryMetric{Name: "m", TemplateRef: ref("secret")}, v1beta1.VerdictError, "Secret test/nope does not exist"},
		"variable missing":   {server, v1beta1.CanaryMetric{Name: "m", TemplateRef: ref("variable")}, v1beta1.VerdictError, "MetricTemplate test/variable: "},
		"unknown provider":   {server, v1beta1.CanaryMetric{Name: "m", TemplateRef: ref("odd")}, v1beta1.VerdictError, `metric provider type "promehteus" is not supported`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := newChecker(s, false).Check(t.Context(), metricRequest(tt.server, tt.metric))
			if got.Verdict != tt.verdict || !strings.Contains(got.Message, tt.want) {
				t.Errorf("got %s: %s\nwant %s: %s", got.Verdict, got.Message, tt.verdict, tt.want)
			}
			if got.Key != "k" || got.Name != tt.metric.Name || !got.Time.Equal(now) || len(got.Message) > v1beta1.MaxCheckMessage {
				t.Errorf("incomplete result, or too long: %+v", got)
			}
		})
	}
	if len(server.queries) != 0 {
		t.Errorf("asked %q although nothing could be asked", server.queries)
	}

	odd := metricRequest(server, v1beta1.CanaryMetric{Name: "request-success-rate"})
	odd.Provider = "istoi"
	if got := newChecker(s, false).Check(t.Context(), odd); got.Verdict != v1beta1.VerdictError || !strings.Contains(got.Message, `provider "istoi"`) {
		t.Errorf("unknown routing provider: %+v", got)
	}
}

func TestWebhook(t *testing.T) {
	var body string
	var key string
	status := http.StatusAccepted
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		body, key = string(text), r.Header.Get("Idempotency-Key")
		w.WriteHeader(status)
		fmt.Fprint(w, "closed by ann")
	}))
	t.Cleanup(server.Close)
	spec := v1beta1.CanaryWebhook{Name: "gate", URL: server.URL, Metadata: map[string]string{"a": "1", "eventType": "mine"}}
	req := check.Request{
		Key: "k", Canary: canary(), Webhook: &spec, Phase: v1beta1.PhaseProgressing, Checksum: "c",
		Metadata: map[string]string{"eventType": "Normal"}, IdempotencyKey: "id",
	}
	checker := newChecker(sources{}, false)

	got := checker.Check(t.Context(), req)
	if want := (check.Result{Key: "k", Kind: v1beta1.CheckWebhook, Name: "gate", Verdict: v1beta1.VerdictPass, Message: `hook "gate" passed`, Time: now}); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if want := `{"name":"podinfo","namespace":"test","phase":"Progressing","checksum":"c","metadata":{"a":"1","eventType":"Normal"}}`; body != want || key != "id" {
		t.Errorf("sent %s with key %q\nwant %s", body, key, want)
	}
	if spec.Metadata["eventType"] != "mine" {
		t.Error("the Canary's metadata was changed")
	}

	status = http.StatusForbidden
	if got := checker.Check(t.Context(), req); got.Verdict != v1beta1.VerdictFail || !strings.Contains(got.Message, "HTTP 403 Forbidden: closed by ann") {
		t.Errorf("refused: %+v", got)
	}
	server.Close()
	if got := checker.Check(t.Context(), req); got.Verdict != v1beta1.VerdictError || !strings.Contains(got.Message, "connection refused") {
		t.Errorf("away: %+v", got)
	}
	spec.Timeout = "soon"
	if got := checker.Check(t.Context(), req); got.Verdict != v1beta1.VerdictError || !strings.Contains(got.Message, `timeout: "soon" is not a duration`) {
		t.Errorf("bad timeout: %+v", got)
	}
}

func TestRequestForNothing(t *testing.T) {
	got := newChecker(sources{}, false).Check(t.Context(), check.Request{Key: "k", Canary: canary()})
	if got.Verdict != v1beta1.VerdictError || got.Message == "" {
		t.Errorf("got %+v", got)
	}
}
