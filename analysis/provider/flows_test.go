package provider_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/analysis/provider"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

// client asks a provider whose every host is one handler.
func client(t *testing.T, f *fixture, h http.HandlerFunc, edit func(*provider.Source)) (*provider.Client, error) {
	t.Helper()
	_, source := start(t, f, http.StatusOK, "")
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	to, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	source.Transport, source.Cluster = everywhere{to}, &provider.Cluster{URL: to, Transport: serviceAccount{http.DefaultTransport}}
	if edit != nil {
		edit(&source)
	}
	return provider.New(source)
}

// pages of an answer belong together: a value may be on a later one, and a second series too.
func TestPages(t *testing.T) {
	for name, pages := range map[string][]string{
		"dynatrace":   {`{"nextPageKey":"k2","result":[]}`, fixtures()["dynatrace"].value},
		"stackdriver": {`{"timeSeriesData":[],"nextPageToken":"k2"}`, fixtures()["stackdriver"].value},
		"cloudwatch":  {`{"MetricDataResults":[],"NextToken":"k2"}`, fixtures()["cloudwatch"].value},
	} {
		f := fixtures()[name]
		ask := func(pages []string) (provider.Sample, []string, error) {
			var asked []string
			c, err := client(t, f, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/token" {
					w.Header().Set("Content-Type", "application/json")
					io.WriteString(w, `{"access_token":"t","token_type":"Bearer"}`)
					return
				}
				body, _ := io.ReadAll(r.Body)
				asked = append(asked, r.URL.RawQuery+string(body))
				io.WriteString(w, pages[min(len(asked), len(pages))-1])
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			s, err := c.Query(t.Context(), f.query)
			return s, asked, err
		}
		if s, asked, err := ask(pages); err != nil || s.Value != 42.5 || len(asked) != 2 || !strings.Contains(asked[1], "k2") {
			t.Errorf("%s: %+v, %v after %q", name, s, err, asked)
		}
		if s, _, err := ask([]string{strings.Replace(pages[0], "[]", firstList(pages[1]), 1), f.many}); err == nil || !strings.Contains(err.Error(), "series answer") {
			t.Errorf("%s with series on both pages: %+v, %v", name, s, err)
		}
		if _, asked, err := ask(pages[:1]); err == nil || !strings.Contains(err.Error(), "not complete after 10 requests") || len(asked) != 10 {
			t.Errorf("%s without an end: %v after %d requests", name, err, len(asked))
		}
	}
}

// firstList returns the first JSON list in a text.
func firstList(text string) string {
	var list json.RawMessage
	if err := json.NewDecoder(strings.NewReader(text[strings.Index(text, ":[")+1:])).Decode(&list); err != nil {
		return "[]"
	}
	return string(list)
}

func TestKeptnAnalysis(t *testing.T) {
	f := &fixture{spec: v1beta1.MetricProvider{Type: v1beta1.MetricKeptn}, query: keptnAnalysisQuery}
	for name, tt := range map[string]struct {
		answers []string // to looks, the last one again and again
		want    float64
		err     string
	}{
		"passes":      {[]string{`"state":"Progressing"`, `"state":"Completed","pass":true`}, 1, ""},
		"fails":       {[]string{`"state":"Completed","pass":false`}, 0, ""},
		"is given up": {[]string{`"state":"Pending"`}, 0, "the step is over"},
	} {
		t.Run(name, func(t *testing.T) {
			var spec map[string]any
			looks, left := 0, map[string]bool{}
			c, err := client(t, f, func(w http.ResponseWriter, r *http.Request) {
				const base = "/apis/metrics.keptn.sh/v1beta1/namespaces/test/analyses"
				switch r.Method + " " + r.URL.Path {
				case "POST " + base:
					var made struct{ Spec map[string]any }
					if err := json.NewDecoder(r.Body).Decode(&made); err != nil {
						t.Error(err)
					}
					spec, left["web-x"] = made.Spec, true
					io.WriteString(w, `{"kind":"Analysis","metadata":{"name":"web-x"},"status":{}}`)
				case "GET " + base + "/web-x":
					looks++
					fmt.Fprintf(w, `{"kind":"Analysis","metadata":{"name":"web-x"},"status":{%s}}`, tt.answers[min(looks, len(tt.answers))-1])
				case "DELETE " + base + "/web-x":
					delete(left, "web-x")
				default:
					t.Errorf("asked %s %s", r.Method, r.URL)
				}
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeoutCause(t.Context(), 4*time.Second, errors.New("the step is over"))
			defer cancel()
			got, err := c.Query(ctx, f.query)
			if got.Value != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("Query = %+v, %v; want %v and error %q", got, err, tt.want, tt.err)
			}
			if len(left) != 0 {
				t.Errorf("left behind %v", left)
			}
			if got := fmt.Sprint(spec); got != "map[analysisDefinition:map[name:web namespace:test] args:map[tier:a version:v2] timeframe:map[recent:30s]]" {
				t.Errorf("made %s", got)
			}
		})
	}
}

// What is the controller's own goes only where it belongs.
func TestAmbientCredentialsStay(t *testing.T) {
	var auth []string
	record := func(w http.ResponseWriter, r *http.Request) {
		auth = append(auth, r.Header.Get("Authorization"))
		io.WriteString(w, externalList(`{"metricName":"queue","value":"1"}`))
	}
	f := &fixture{spec: v1beta1.MetricProvider{Type: v1beta1.MetricExternalMetrics, Address: "https://evil.example.com"}, query: "queue"}
	c, err := client(t, f, record, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Query(t.Context(), "queue"); err != nil || len(auth) != 1 || auth[0] != "" {
		t.Errorf("an address without a Secret was sent %q, %v", auth, err)
	}

	refused := func(name string, f *fixture, want string) {
		c, err := client(t, f, record, func(s *provider.Source) { s.OnlyNamespace = true })
		if err == nil {
			_, err = c.Query(t.Context(), f.query)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", name, err, want)
		}
	}
	auth = nil
	refused("a region that is a host", &fixture{spec: v1beta1.MetricProvider{Type: v1beta1.MetricCloudWatch, Region: "evil.example.com/"}, query: "[{}]"}, "not one of AWS")
	refused("another namespace", &fixture{spec: v1beta1.MetricProvider{Type: v1beta1.MetricExternalMetrics}, query: "other/queue"}, "across namespaces")
	refused("a KeptnMetric elsewhere", &fixture{spec: v1beta1.MetricProvider{Type: v1beta1.MetricKeptn}, query: "keptnmetric/other/m"}, "across namespaces")
	google := func(key string) *fixture {
		return &fixture{spec: v1beta1.MetricProvider{Type: v1beta1.MetricStackdriver}, secret: map[string]string{"project": "p", "serviceAccountKey": key}, query: "fetch x"}
	}
	refused("credentials that name a file", google(`{"type":"external_account","token_url":"https://evil.example.com","credential_source":`+
		`{"file":"/var/run/secrets/kubernetes.io/serviceaccount/token"}}`), "not the JSON key of a service account")
	refused("a foreign place for tokens", google(strings.Replace(serviceAccountKey(), "oauth2.googleapis.com", "evil.example.com", 1)), "not Google's")
	if len(auth) != 0 {
		t.Errorf("what was refused was asked with %q", auth)
	}
}

// A query that cannot be sent says how to write it.
func TestQueriesThatCannotBeSent(t *testing.T) {
	for name, tt := range map[string]struct{ fixture, query, want string }{
		"graphite without target":   {"graphite", "from=-1min", "names no target"},
		"graphite, no query":        {"graphite", "target=%zz", "no query string"},
		"cloudwatch, no JSON":       {"cloudwatch", "SELECT 1", "not a JSON list"},
		"external metric, a path":   {"externalmetrics of the cluster", "a/b/c", "does not name a metric"},
		"external metric, labels":   {"externalmetrics of the cluster", "m?labelSelector=a%3D%3D%3Db%21", "labelSelector does not parse"},
		"keptn, unknown kind":       {"keptn, a metric", "thing/test/m", "unknown kind"},
		"keptn, no name":            {"keptn, a metric", "analysis/test", "names no object"},
		"keptn, bad timeframe":      {"keptn, a metric", "analysis/test/a/soon", "not a duration"},
		"keptn, argument, no value": {"keptn, a metric", "analysis/test/a/1m/x", "has no value"},
	} {
		asked := 0
		c, err := client(t, fixtures()[tt.fixture], func(http.ResponseWriter, *http.Request) { asked++ }, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Query(t.Context(), tt.query); err == nil || !strings.Contains(err.Error(), tt.want) || asked != 0 {
			t.Errorf("%s: error %v after %d requests, want %q", name, err, asked, tt.want)
		}
	}
}

// What a vendor says inside an answer of 200 is an error too.
func TestErrorsInGoodAnswers(t *testing.T) {
	for name, tt := range map[string]struct{ fixture, body, want string }{
		"datadog":     {"datadog", `{"status":"error","error":"Rule 'x' not found"}`, "Rule 'x' not found"},
		"influxdb":    {"influxdb", ",error,reference\r\n,bucket not found,897\r\n", "bucket not found"},
		"splunk":      {"splunk", "event: control-message\ndata: {\"event\":\"CHANNEL_ABORT\",\"abortInfo\":{\"sf_job_abortReason\":\"no quota\"}}\n\n", "aborted: no quota"},
		"keptn":       {"keptn, a metric", `{"kind":"KeptnMetric","status":{"errMsg":"no provider"}}`, "no provider"},
		"cloudwatch":  {"cloudwatch", `{"MetricDataResults":[{"Id":"e1","StatusCode":"Forbidden"}]}`, "could not be computed: Forbidden"},
		"stackdriver": {"stackdriver", `{"timeSeriesData":[{"pointData":[{"values":[{"distributionValue":{}}]}]}]}`, "aggregate distributions"},
		"newrelic":    {"newrelic", `{"facets":[{}]}`, "remove FACET"},
	} {
		f := fixtures()[tt.fixture]
		_, source := start(t, f, http.StatusOK, tt.body)
		if got, err := query(t, f, source); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %+v, %v; want %q", name, got, err, tt.want)
		}
	}
}
