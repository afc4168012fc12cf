package prometheus_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/analysis/check"
	"github.com/sluice-dev/sluice/analysis/prometheus"
)

func vector(elements string) string {
	return `{"status":"success","data":{"resultType":"vector","result":[` + elements + `]}}`
}

func value(v string) string { return `{"metric":{"pod":"a"},"value":[1700000000.123,"` + v + `"]}` }

// serve answers every request the same way.
func serve(t *testing.T, status int, body string) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(server.Close)
	return server
}

func newClient(t *testing.T, o prometheus.Options) *prometheus.Client {
	t.Helper()
	client, err := prometheus.New(http.DefaultTransport, o)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestQueryValues(t *testing.T) {
	tests := map[string]struct {
		body string
		want float64
	}{
		"one element": {vector(value("99.5")), 99.5},
		"integer":     {vector(value("0")), 0},
		"scalar":      {`{"status":"success","data":{"resultType":"scalar","result":[1700000000,"1"]}}`, 1},
		"NaN":         {vector(value("NaN")), math.NaN()},
		"+Inf":        {vector(value("+Inf")), math.Inf(1)},
		"-Inf":        {vector(value("-Inf")), math.Inf(-1)},
		"warnings":    {`{"status":"success","warnings":["w"],"infos":["i"],"data":{"resultType":"vector","result":[` + value("2") + `]}}`, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, prometheus.Options{Address: serve(t, http.StatusOK, tt.body).URL})
			got, err := client.Query(t.Context(), "up")
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want && !(math.IsNaN(got) && math.IsNaN(tt.want)) {
				t.Errorf("Query = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestQueryErrors(t *testing.T) {
	tests := map[string]struct {
		status int
		body   string
		want   []string
		noData bool
	}{
		"empty":              {200, vector(""), []string{"no values found"}, true},
		"many series":        {200, vector(value("1") + "," + `{"metric":{"pod":"b"},"value":[1,"2"]}`), []string{"2 series answer", `{"pod":"a"}`, `{"pod":"b"}`, "sum()"}, false},
		"native histogram":   {200, vector(`{"metric":{},"histogram":[1,{"count":"3"}]}`), []string{"native histogram", "histogram_quantile"}, false},
		"matrix":             {200, `{"status":"success","data":{"resultType":"matrix","result":[]}}`, []string{`type "matrix"`, "one value"}, false},
		"number, not text":   {200, vector(`{"metric":{},"value":[1,2]}`), []string{"not text"}, false},
		"not a number":       {200, vector(value("many")), []string{`"many"`, "not a number"}, false},
		"short sample":       {200, vector(`{"metric":{},"value":[1]}`), []string{"where a time and a value belong"}, false},
		"error in 200":       {200, `{"status":"error","errorType":"execution","error":"boom"}`, []string{`status "error"`, "execution: boom"}, false},
		"malformed":          {200, `<html>sign in</html>`, []string{"not Prometheus' JSON", "check the address"}, false},
		"no body":            {204, ``, []string{"not Prometheus' JSON"}, false},
		"oversized":          {200, vector(value("1")) + strings.Repeat(" ", 1<<20), []string{"too large", "aggregate"}, false},
		"bad query":          {400, `{"status":"error","errorType":"bad_data","error":"parse error: unexpected end"}`, []string{"HTTP 400 Bad Request", "bad_data: parse error: unexpected end"}, false},
		"not signed in":      {401, "who\nare you", []string{"HTTP 401 Unauthorized; check the credentials", ": who are you"}, false},
		"not there":          {404, "404 page not found", []string{"HTTP 404", "check the address"}, false},
		"too many":           {429, "slow down", []string{"HTTP 429 Too Many Requests; ", ": slow down", "lengthen"}, false},
		"broken":             {500, strings.Repeat("x", 1<<20), []string{"HTTP 500 Internal Server Error: xxx"}, false},
		"bad gateway, empty": {502, "", []string{"HTTP 502 Bad Gateway"}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			server := serve(t, tt.status, tt.body)
			got, err := newClient(t, prometheus.Options{Address: server.URL}).Query(t.Context(), "sum(\n  up)")
			if err == nil {
				t.Fatalf("Query = %v, want an error", got)
			}
			for _, want := range append(tt.want, server.URL, `"sum( up)"`) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not mention %q", err, want)
				}
			}
			if len(err.Error()) > 700 {
				t.Errorf("error has %d bytes: %.100s", len(err.Error()), err)
			}
			if errors.Is(err, check.ErrNoData) != tt.noData {
				t.Errorf("errors.Is(%v, ErrNoData) must be %v", err, tt.noData)
			}
		})
	}
}

func TestQueryTimeout(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(release) })

	client := newClient(t, prometheus.Options{Address: server.URL, Timeout: 20 * time.Millisecond})
	if _, err := client.Query(t.Context(), "up"); err == nil || !strings.Contains(err.Error(), "no answer within 20ms") {
		t.Errorf("error %v, want it to tell the timeout", err)
	}

	cause := errors.New("the rollout is over")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := client.Query(ctx, "up"); !errors.Is(err, cause) {
		t.Errorf("error %v, want the cause of the cancellation", err)
	}
}

// A query changes nothing, so it is sent again where the server is only busy, but once.
func TestQueryTwice(t *testing.T) {
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls++
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(server.Close)
	if _, err := newClient(t, prometheus.Options{Address: server.URL}).Query(t.Context(), "up"); err == nil || calls != 2 {
		t.Errorf("%d calls and error %v, want two calls and an error", calls, err)
	}
}

func TestConnectionRefused(t *testing.T) {
	server := serve(t, 200, "")
	address := server.URL
	server.Close()
	_, err := newClient(t, prometheus.Options{Address: address + "/?token=hunter2"}).Query(t.Context(), "up")
	if err == nil || !strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v, want connection refused and nothing of the address' query", err)
	}
}

func TestRequest(t *testing.T) {
	var got *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		fmt.Fprint(w, vector(value("1")))
	}))
	t.Cleanup(server.Close)
	headers := map[string][]string{"X-Scope-Orgid": {"a", "b"}, "Host": {"metrics.example.com"}}

	tests := map[string]struct {
		secret map[string][]byte
		want   string
	}{
		"no credentials":      {nil, ""},
		"bearer token":        {map[string][]byte{"token": []byte("t0ken\n")}, "Bearer t0ken"},
		"basic":               {map[string][]byte{"username": []byte("ann"), "password": []byte("pw")}, "Basic YW5uOnB3"},
		"token before basic":  {map[string][]byte{"token": []byte("t"), "username": []byte("ann"), "password": []byte("pw")}, "Bearer t"},
		"other keys are left": {map[string][]byte{"token": []byte("t"), "other": []byte("x")}, "Bearer t"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, prometheus.Options{Address: server.URL + "/prom/?x=1", Headers: headers, Secret: tt.secret, UserAgent: "sluice"})
			for range 2 { // a second query must not add to the headers of the first
				if _, err := client.Query(t.Context(), `up{a="b c"}`); err != nil {
					t.Fatal(err)
				}
			}
			if got.Method != http.MethodGet || got.URL.Path != "/prom/api/v1/query" || got.URL.RawQuery != "query=up%7Ba%3D%22b+c%22%7D" {
				t.Errorf("asked %s %s", got.Method, got.URL)
			}
			if auth := got.Header.Values("Authorization"); strings.Join(auth, "|") != tt.want {
				t.Errorf("Authorization %q, want %q", auth, tt.want)
			}
			if scope := got.Header.Values("X-Scope-Orgid"); len(scope) != 2 || got.Host != "metrics.example.com" || got.UserAgent() != "sluice" {
				t.Errorf("headers %v, host %q, user agent %q", scope, got.Host, got.UserAgent())
			}
		})
	}
	if len(headers["Authorization"]) != 0 || len(headers["X-Scope-Orgid"]) != 2 {
		t.Errorf("the caller's headers were changed: %v", headers)
	}
}

func TestCredentialsStayHidden(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "you said %s", r.Header.Get("Authorization"))
	}))
	t.Cleanup(server.Close)
	withUser := strings.Replace(server.URL, "http://", "http://ann:hunter2@", 1)
	for name, o := range map[string]prometheus.Options{
		"token":   {Address: server.URL, Secret: map[string][]byte{"token": []byte("hunter2")}},
		"basic":   {Address: server.URL, Secret: map[string][]byte{"username": []byte("ann"), "password": []byte("hunter2")}},
		"address": {Address: withUser},
	} {
		_, err := newClient(t, o).Query(t.Context(), "up")
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "YW5uOmh1bnRlcjI=") {
			t.Errorf("%s: error %v shows credentials", name, err)
		}
	}
}

func TestRedirects(t *testing.T) {
	elsewhere := 0
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		elsewhere++
		fmt.Fprint(w, vector(value("7")))
	}))
	t.Cleanup(other.Close)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/same/api/v1/query":
			http.Redirect(w, r, "/real/api/v1/query?"+r.URL.RawQuery, http.StatusFound)
		case "/real/api/v1/query":
			fmt.Fprint(w, vector(value("5")))
		case "/loop/api/v1/query":
			http.Redirect(w, r, r.URL.String(), http.StatusFound)
		default:
			http.Redirect(w, r, other.URL, http.StatusFound)
		}
	}))
	t.Cleanup(server.Close)

	if got, err := newClient(t, prometheus.Options{Address: server.URL + "/same"}).Query(t.Context(), "up"); err != nil || got != 5 {
		t.Errorf("on the same host: %v, %v; want 5", got, err)
	}
	if _, err := newClient(t, prometheus.Options{Address: server.URL + "/loop"}).Query(t.Context(), "up"); err == nil || !strings.Contains(err.Error(), "more than 5") {
		t.Errorf("in a loop: %v", err)
	}
	if _, err := newClient(t, prometheus.Options{Address: server.URL}).Query(t.Context(), "up"); err == nil || !strings.Contains(err.Error(), "redirect not followed") {
		t.Errorf("to another host: %v", err)
	}
	if elsewhere != 0 {
		t.Errorf("the other host was asked %d times", elsewhere)
	}
}

func TestNewErrors(t *testing.T) {
	tests := map[string]struct {
		options prometheus.Options
		want    string
	}{
		"empty address":    {prometheus.Options{}, "not an absolute http or https URL"},
		"no scheme":        {prometheus.Options{Address: "prometheus:9090"}, "not an absolute http or https URL"},
		"other scheme":     {prometheus.Options{Address: "ftp://prometheus"}, "not an absolute http or https URL"},
		"unparsable":       {prometheus.Options{Address: "http://ann:hunter2@prome theus"}, "not a URL"},
		"empty secret":     {prometheus.Options{Address: "http://p", Secret: map[string][]byte{}}, "neither token, nor username and password"},
		"missing password": {prometheus.Options{Address: "http://p", Secret: map[string][]byte{"username": []byte("u")}}, "neither token"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := prometheus.New(http.DefaultTransport, tt.options)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v, want it to mention %q and no password", err, tt.want)
			}
		})
	}
}

func TestOnline(t *testing.T) {
	if err := newClient(t, prometheus.Options{Address: serve(t, 200, vector(value("1"))).URL}).Online(t.Context()); err != nil {
		t.Errorf("a server that answers is not online: %v", err)
	}
	if err := newClient(t, prometheus.Options{Address: serve(t, 200, vector(value("2"))).URL}).Online(t.Context()); err == nil {
		t.Error("a server that answers 2 to vector(1) is online")
	}
	if err := newClient(t, prometheus.Options{Address: serve(t, 503, "").URL}).Online(t.Context()); err == nil {
		t.Error("a server that is unavailable is online")
	}
}
