package provider_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

const (
	address            = "https://metrics.example.com/base"
	keptnAnalysisQuery = "analysis/Test/web/30s/version=v2;tier=a"
	span               = 10 * time.Minute // that a query covers with an interval of 1m
)

var sampled = now.Add(-time.Minute)

// serviceAccountKey is a key of Google's kind.
var serviceAccountKey = sync.OnceValue(func() string {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	raw, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "sluice@example.iam.gserviceaccount.com", "private_key_id": "1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"token_uri":   "https://oauth2.googleapis.com/token",
	})
	if err != nil {
		panic(err)
	}
	return string(raw)
})

// want compares parts of a request, given as got, wanted, got, wanted.
func want(pairs ...string) error {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] != pairs[i+1] {
			return fmt.Errorf("asked with %q, want %q", pairs[i], pairs[i+1])
		}
	}
	return nil
}

func headerIs(name, value string) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.Header.Get(name) == value }
}

func millis(t time.Time) string  { return fmt.Sprint(t.UnixMilli()) }
func seconds(t time.Time) string { return fmt.Sprint(t.Unix()) }
func at(body string) string {
	return strings.NewReplacer("MS", millis(sampled), "SECONDS", seconds(sampled), "RFC", sampled.Format(time.RFC3339)).Replace(body)
}

func fixtures() map[string]*fixture {
	return map[string]*fixture{
		"prometheus": {
			spec:      v1beta1.MetricProvider{Type: v1beta1.MetricPrometheus, Address: address},
			secret:    map[string]string{"token": hidden},
			query:     `sum(up{app="web"})`,
			authentic: headerIs("Authorization", "Bearer "+hidden),
			well: func(r *http.Request, _ string) error {
				return want(r.Header.Get("X-Asked")+r.URL.Path, "https://metrics.example.com/base/api/v1/query", r.URL.Query().Get("query"), `sum(up{app="web"})`)
			},
			value: promVector(`{"metric":{},"value":[1,"42.5"]}`), empty: promVector(), nan: promVector(`{"metric":{},"value":[1,"NaN"]}`),
			many:    promVector(`{"metric":{"pod":"a"},"value":[1,"1"]}`, `{"metric":{"pod":"b"},"value":[1,"2"]}`),
			refusal: `{"status":"error","errorType":"bad_data","error":"refused $"}`, words: ": bad_data: refused ***",
		},
		"datadog": {
			spec:   v1beta1.MetricProvider{Type: v1beta1.MetricDatadog},
			secret: map[string]string{"datadog_api_key": hidden + "-api", "datadog_application_key": hidden + "-app"},
			query:  "avg:requests{app:web}",
			authentic: func(r *http.Request) bool {
				return r.Header.Get("DD-API-KEY") == hidden+"-api" && r.Header.Get("DD-APPLICATION-KEY") == hidden+"-app"
			},
			well: func(r *http.Request, _ string) error {
				q := r.URL.Query()
				return want(r.Header.Get("X-Asked")+r.URL.Path, "https://api.datadoghq.com/api/v1/query", q.Get("query"), "avg:requests{app:web}",
					q.Get("from"), seconds(now.Add(-span)), q.Get("to"), seconds(now), r.Method, "GET")
			},
			value: at(`{"status":"ok","series":[{"expression":"avg","scope":"app:web",` +
				`"pointlist":[[1.0,1.5],[MS.0,42.5],[9999999999999,null]]}]}`),
			empty: `{"status":"ok","series":[]}`,
			// A point that cannot be computed, such as 0/0, is null.
			nan: at(`{"status":"ok","series":[{"scope":"app:web","pointlist":[[MS.0,null]]}]}`), nanIs: noData,
			many:    at(`{"status":"ok","series":[{"scope":"a","pointlist":[[MS,1]]},{"scope":"b","pointlist":[[MS,2]]}]}`),
			sampled: sampled, refusal: `{"errors":["Forbidden $-api"]}`, words: "Forbidden ***",
		},
		"newrelic": {
			spec:      v1beta1.MetricProvider{Type: v1beta1.MetricNewRelic},
			secret:    map[string]string{"newrelic_account_id": "123", "newrelic_query_key": hidden},
			query:     "SELECT average(duration) FROM Transaction",
			authentic: headerIs("X-Query-Key", hidden),
			well: func(r *http.Request, _ string) error {
				return want(r.Header.Get("X-Asked")+r.URL.Path, "https://insights-api.newrelic.com/v1/accounts/123/query",
					r.URL.Query().Get("nrql"), "SELECT average(duration) FROM Transaction SINCE 60 seconds ago")
			},
			value: `{"results":[{"average":42.5}],"metadata":{}}`, empty: `{"results":[{"average":null}]}`,
			nan: `{"results":[{"result":"NaN"}]}`, many: `{"results":[{"average":1},{"average":2}]}`,
			refusal: `{"error":"Invalid key $"}`, words: ": Invalid key ***",
		},
		"graphite": {
			spec:   v1beta1.MetricProvider{Type: v1beta1.MetricGraphite, Address: address},
			secret: map[string]string{"username": "ann", "password": hidden},
			query:  "target=sum(\n  a.b)&from=-1min",
			authentic: func(r *http.Request) bool {
				user, password, _ := r.BasicAuth()
				return user == "ann" && password == hidden
			},
			well: func(r *http.Request, _ string) error {
				q := r.URL.Query()
				return want(r.Header.Get("X-Asked")+r.URL.Path, "https://metrics.example.com/base/render", q.Get("target"), "sum(a.b)",
					q.Get("from"), "-1min", q.Get("format"), "json")
			},
			value: at(`[{"target":"a","datapoints":[[7,1],[42.5,SECONDS],[null,9999999999]]},{"target":"b","datapoints":[[null,1]]}]`),
			empty: `[]`, nan: at(`[{"target":"a","datapoints":[["NaN",SECONDS]]}]`),
			many:    at(`[{"target":"a","datapoints":[[7,1]]},{"target":"b","datapoints":[[8,1]]}]`),
			sampled: sampled, refusal: "no such metric $", words: "no such metric ***",
		},
		"influxdb": {
			spec:      v1beta1.MetricProvider{Type: v1beta1.MetricInfluxDB, Address: address},
			secret:    map[string]string{"token": hidden, "org": "acme"},
			query:     `from(bucket: "a") |> range(start: -1m)`,
			authentic: headerIs("Authorization", "Token "+hidden),
			well: func(r *http.Request, body string) error {
				return want(r.Method, "POST", r.URL.Path, "/base/api/v2/query", r.URL.Query().Get("org"), "acme", body, `from(bucket: "a") |> range(start: -1m)`,
					r.Header.Get("Content-Type"), "application/vnd.flux", r.Header.Get("Accept"), "application/csv")
			},
			value: at(",result,table,_time,_value\r\n,_result,0,2030-01-01T00:00:00Z,1\r\n,_result,0,RFC,42.5\r\n\r\n"),
			empty: "\r\n", nan: at(",result,table,_time,_value\r\n,_result,0,RFC,NaN\r\n"),
			many:    at(",result,table,_time,_value\r\n,_result,0,RFC,1\r\n,_result,1,RFC,2\r\n"),
			sampled: sampled, refusal: `{"code":"unauthorized","message":"unauthorized access $"}`, words: ": unauthorized access ***",
		},
		"dynatrace": {
			spec:      v1beta1.MetricProvider{Type: v1beta1.MetricDynatrace, Address: address},
			secret:    map[string]string{"dynatrace_token": hidden},
			query:     "builtin:service.errors:avg",
			authentic: headerIs("Authorization", "Api-Token "+hidden),
			well: func(r *http.Request, _ string) error {
				q := r.URL.Query()
				return want(r.URL.Path, "/base/api/v2/metrics/query", q.Get("metricSelector"), "builtin:service.errors:avg", q.Get("resolution"), "Inf",
					q.Get("from"), millis(now.Add(-span)), q.Get("to"), millis(now))
			},
			value: at(`{"totalCount":1,"nextPageKey":null,"result":[{"metricId":"m","data":[{"dimensions":["a"],"timestamps":[1,MS],"values":[null,42.5]}]}]}`),
			empty: `{"nextPageKey":null,"result":[{"metricId":"m","data":[{"timestamps":[1],"values":[null]}]}]}`,
			nan:   at(`{"result":[{"data":[{"timestamps":[MS],"values":["NaN"]}]}]}`),
			many:  `{"result":[{"metricId":"m","data":[{"dimensions":["a"],"timestamps":[1],"values":[1]},{"dimensions":["b"],"timestamps":[1],"values":[2]}]}]}`,

			sampled: sampled, refusal: `{"error":{"code":401,"message":"Token $ is missing"}}`, words: ": Token *** is missing",
		},
		"splunk": {
			spec:      v1beta1.MetricProvider{Type: v1beta1.MetricSplunk, Address: "https://api.eu0.signalfx.com"},
			secret:    map[string]string{"sf_token_key": hidden},
			query:     "data('errors').sum().publish()",
			authentic: headerIs("X-SF-TOKEN", hidden),
			well: func(r *http.Request, body string) error {
				q := r.URL.Query()
				return want(r.Method, "POST", r.Header.Get("X-Asked")+r.URL.Path, "https://stream.eu0.signalfx.com/v2/signalflow/execute",
					q.Get("start"), millis(now.Add(-span)), q.Get("stop"), millis(now), q.Get("immediate"), "true", body, "data('errors').sum().publish()")
			},
			value: signalFlow(`{"data":[{"tsId":"A","value":7}],"logicalTimestampMs":1}`,
				at("{\ndata:  \"data\" : [ {\"tsId\":\"A\",\ndata: \"value\":42.5} ],\ndata: \"logicalTimestampMs\":MS }"),
				`{"data":[{"tsId":"A","value":null}],"logicalTimestampMs":9999999999999}`),
			empty: signalFlow(), nan: signalFlow(`{"data":[{"tsId":"A","value":"NaN"}],"logicalTimestampMs":1}`),
			many:    signalFlow(`{"data":[{"tsId":"A","value":1},{"tsId":"B","value":2}],"logicalTimestampMs":1}`),
			sampled: sampled, refusal: `{"code":401,"message":"Unauthorized $"}`, words: ": Unauthorized ***",
		},
		"stackdriver": {
			spec:      v1beta1.MetricProvider{Type: v1beta1.MetricStackdriver},
			secret:    map[string]string{"project": "acme", "serviceAccountKey": serviceAccountKey()},
			query:     "fetch k8s_container",
			authentic: headerIs("Authorization", "Bearer "+hidden+"-google"),
			well: func(r *http.Request, body string) error {
				return want(r.Method, "POST", r.Header.Get("X-Asked")+r.URL.Path, "https://monitoring.googleapis.com/v3/projects/acme/timeSeries:query",
					body, `{"pageToken":"","query":"fetch k8s_container"}`)
			},
			value:   at(`{"timeSeriesData":[{"labelValues":[{"stringValue":"a"}],"pointData":[{"values":[{"doubleValue":42.5}],"timeInterval":{"endTime":"RFC"}}]}]}`),
			empty:   `{}`,
			nan:     at(`{"timeSeriesData":[{"pointData":[{"values":[{"doubleValue":"NaN"}],"timeInterval":{"endTime":"RFC"}}]}]}`),
			many:    `{"timeSeriesData":[{"pointData":[{"values":[{"int64Value":"1"}]}]},{"pointData":[{"values":[{"int64Value":"2"}]}]}]}`,
			sampled: sampled, refusal: `{"error":{"code":401,"message":"Request had $-google","status":"UNAUTHENTICATED"}}`, words: ": Request had ***",
		},
		"cloudwatch": {
			spec:    v1beta1.MetricProvider{Type: v1beta1.MetricCloudWatch, Region: "eu-west-1"},
			ambient: true,
			query:   `[{"Id":"e1","Expression":"m1/m2"}]`,
			authentic: func(r *http.Request) bool {
				return strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20300102/eu-west-1/monitoring/aws4_request, SignedHeaders=") &&
					r.Header.Get("X-Amz-Security-Token") == hidden+"-session" && r.Header.Get("X-Amz-Date") == "20300102T030405Z"
			},
			well: func(r *http.Request, body string) error {
				return want(r.Header.Get("X-Asked"), "https://monitoring.eu-west-1.amazonaws.com", r.Header.Get("X-Amz-Target"),
					"GraniteServiceVersion20100801.GetMetricData", body, fmt.Sprintf(`{"MetricDataQueries":[{"Id":"e1","Expression":"m1/m2"}],"StartTime":%s,`+
						`"EndTime":%s,"ScanBy":"TimestampDescending","MaxDatapoints":20}`, seconds(now.Add(-span)), seconds(now)))
			},
			value: at(`{"MetricDataResults":[{"Id":"e1","Label":"rate","StatusCode":"Complete","Timestamps":[SECONDS,1.0],"Values":[42.5,7]}],"Messages":[]}`),
			empty: `{"MetricDataResults":[{"Id":"e1","StatusCode":"Complete","Timestamps":[],"Values":[]}]}`,
			// JSON has no NaN: AWS writes it as text.
			nan:  at(`{"MetricDataResults":[{"Id":"e1","StatusCode":"Complete","Timestamps":[SECONDS],"Values":["NaN"]}]}`),
			many: at(`{"MetricDataResults":[{"Id":"e1","Timestamps":[SECONDS],"Values":[1]},{"Id":"m1","Timestamps":[SECONDS],"Values":[2]}]}`),

			sampled: sampled, refusal: `{"__type":"AccessDenied","message":"not authorized $-session"}`, words: ": not authorized ***",
		},
		"externalmetrics at an address": {
			spec:      v1beta1.MetricProvider{Type: v1beta1.MetricExternalMetrics, Address: address},
			secret:    map[string]string{"token": hidden},
			query:     "prod/queue?labelSelector=app%3Dweb",
			authentic: headerIs("Authorization", "Bearer "+hidden),
			well: func(r *http.Request, _ string) error {
				return want(r.Header.Get("X-Asked")+r.URL.Path, "https://metrics.example.com/base/apis/external.metrics.k8s.io/v1beta1/namespaces/prod/queue",
					r.URL.Query().Get("labelSelector"), "app=web")
			},
			value: externalList(`{"metricName":"queue","timestamp":"RFC","value":"42500m"}`), empty: externalList(),
			nan: externalList(`{"metricName":"queue","value":"NaN"}`), nanIs: notTheirs, // a quantity is a number
			many:    externalList(`{"metricName":"a","value":"1"}`, `{"metricName":"b","value":"2"}`),
			sampled: sampled, refusal: `{"kind":"Status","message":"Unauthorized $"}`, words: ": Unauthorized ***",
		},
		"externalmetrics of the cluster": {
			spec:      v1beta1.MetricProvider{Type: v1beta1.MetricExternalMetrics},
			query:     "queue",
			authentic: headerIs("Authorization", "Bearer "+hidden+"-controller"),
			well: func(r *http.Request, _ string) error {
				return want(r.URL.Path, "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/queue")
			},
			value: externalList(`{"metricName":"queue","timestamp":"RFC","value":"42500m"}`), empty: externalList(),
			nan: externalList(`{"metricName":"queue","value":"NaN"}`), nanIs: notTheirs, // a quantity is a number
			sampled: sampled, refusal: `{"kind":"Status","message":"forbidden"}`, words: ": forbidden",
		},
		"keptn, a metric": {
			spec:      v1beta1.MetricProvider{Type: v1beta1.MetricKeptn},
			query:     "KeptnMetric/test/response-time",
			authentic: headerIs("Authorization", "Bearer "+hidden+"-controller"),
			well: func(r *http.Request, _ string) error {
				return want(r.URL.Path, "/apis/metrics.keptn.sh/v1beta1/namespaces/test/keptnmetrics/response-time")
			},
			value: at(`{"kind":"KeptnMetric","status":{"value":"42.5","lastUpdated":"RFC"}}`), empty: `{"kind":"KeptnMetric","status":{}}`,
			nan:     `{"kind":"KeptnMetric","status":{"value":"NaN"}}`,
			sampled: sampled, refusal: `{"kind":"Status","message":"not found"}`, words: ": not found",
		},
	}
}

func signalFlow(data ...string) string {
	out := "event: control-message\ndata: {\ndata:   \"event\" : \"STREAM_START\"\ndata: }\n\n" +
		"event: metadata\nid: data-1\ndata: {\"properties\":{\"sf_key\":[\"a\"]},\"tsId\":\"A\"}\n\n"
	for _, d := range data {
		out += "event: data\ndata: " + d + "\n\n"
	}
	return out + "event: control-message\ndata: {\"event\":\"END_OF_CHANNEL\"}\n\n"
}

func promVector(elements ...string) string {
	return `{"status":"success","data":{"resultType":"vector","result":[` + strings.Join(elements, ",") + `]}}`
}

func externalList(items ...string) string {
	return at(`{"kind":"ExternalMetricValueList","apiVersion":"external.metrics.k8s.io/v1beta1","metadata":{},"items":[` + strings.Join(items, ",") + `]}`)
}
