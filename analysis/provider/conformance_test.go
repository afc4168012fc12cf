package provider_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/analysis/check"
	"github.com/sluice-dev/sluice/analysis/prometheus"
	"github.com/sluice-dev/sluice/analysis/provider"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

var now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// hidden is in each credential, so that none can appear unnoticed.
const hidden = "hunter2"

// fixture is one provider as its vendor documents it.
type fixture struct {
	spec    v1beta1.MetricProvider // its address is that of the server unless the provider has its own
	secret  map[string]string
	ambient bool // asks with what the environment gives
	query   string
	// authentic tells whether a request carries the credentials; well asks the rest of it. Both are of the vendor's documentation.
	authentic func(*http.Request) bool
	well      func(*http.Request, string) error
	// value answers 42.5, or with what the vendor writes; sampled is the time of it, zero where it does not tell. nan is how the vendor writes a
	// number that is none; nanIs judges the error where that is no value, nil where it is read as NaN. many is "" where there is always one series.
	value, empty, nan, many string
	nanIs                   func(error) bool
	sampled                 time.Time
	// refusal is the body of a refusal, and words what it says.
	refusal, words string
}

// fake is a vendor that answers every request alike.
type fake struct {
	*httptest.Server
	t       *testing.T
	fixture *fixture
	status  int
	body    string
	asked   int
	hang    chan struct{}
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/token" { // of Google: a signed assertion for a token
		_ = r.ParseForm()
		if len(strings.Split(r.PostForm.Get("assertion"), ".")) != 3 {
			http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"%s-google","token_type":"Bearer","expires_in":3600}`, hidden)
		return
	}
	f.asked++
	if f.hang != nil {
		<-f.hang
		return
	}
	body, _ := io.ReadAll(r.Body)
	if !f.fixture.authentic(r) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if err := f.fixture.well(r, string(body)); err != nil {
		f.t.Errorf("%s %s: %v", r.Method, r.URL, err)
	}
	w.WriteHeader(f.status)
	io.WriteString(w, f.body)
}

// everywhere leads each host to one server, so that providers with hosts of their own can be asked too.
type everywhere struct{ to *url.URL }

func (e everywhere) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Asked", r.URL.Scheme+"://"+r.URL.Host)
	r.URL.Scheme, r.URL.Host = e.to.Scheme, e.to.Host
	return http.DefaultTransport.RoundTrip(r)
}

func start(t *testing.T, f *fixture, status int, body string) (*fake, provider.Source) {
	t.Helper()
	s := &fake{t: t, fixture: f, status: status, body: body}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	to, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	source := provider.Source{
		Spec: f.spec, Namespace: "test", Interval: time.Minute, Transport: everywhere{to}, Now: now, UserAgent: "sluice/test",
		Cluster: &provider.Cluster{URL: to, Transport: serviceAccount{http.DefaultTransport}},
	}
	if f.ambient {
		source.Ambient = &provider.Ambient{}
		t.Setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
		t.Setenv("AWS_SECRET_ACCESS_KEY", hidden)
		t.Setenv("AWS_SESSION_TOKEN", hidden+"-session")
	}
	if f.secret != nil {
		source.Secret = map[string][]byte{}
		for k, v := range f.secret {
			source.Secret[k] = []byte(v + "\n")
		}
	}
	return s, source
}

// serviceAccount speaks as the controller.
type serviceAccount struct{ http.RoundTripper }

func (s serviceAccount) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+hidden+"-controller")
	return s.RoundTripper.RoundTrip(r)
}

// asker is a client of any provider.
type asker func(ctx context.Context, query string) (provider.Sample, error)

func newAsker(s provider.Source) (asker, error) {
	if s.Spec.Type != v1beta1.MetricPrometheus {
		c, err := provider.New(s)
		if err != nil {
			return nil, err
		}
		return c.Query, nil
	}
	c, err := prometheus.New(s.Transport, prometheus.Options{Address: s.Spec.Address, Headers: s.Spec.Headers, Secret: s.Secret, UserAgent: s.UserAgent})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, query string) (provider.Sample, error) {
		value, err := c.Query(ctx, query)
		return provider.Sample{Value: value}, err
	}, nil
}

func query(t *testing.T, f *fixture, source provider.Source) (provider.Sample, error) {
	t.Helper()
	ask, err := newAsker(source)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ask(t.Context(), f.query)
	if err != nil && strings.Contains(err.Error(), hidden) {
		t.Errorf("error %q shows a credential", err)
	}
	return s, err
}

// cases are what each provider must survive. All of them are tried with every fixture, so none can be left out for one.
var cases = []struct {
	name string
	try  func(*testing.T, *fixture)
}{
	{"value", tryValue},
	{"empty", tryEmpty},
	{"NaN", tryNaN},
	{"401", refused(http.StatusUnauthorized, 1)},
	{"429", refused(http.StatusTooManyRequests, 2)},
	{"500", refused(http.StatusInternalServerError, 2)},
	{"timeout", tryTimeout},
	{"malformed", tryMalformed},
	{"oversized", tryOversized},
}

func TestConformance(t *testing.T) {
	for name, f := range fixtures() {
		t.Run(name, func(t *testing.T) {
			if f.value == "" || f.empty == "" || f.nan == "" || f.refusal == "" || f.words == "" {
				t.Fatal("the fixture lacks an answer that every provider is tried with")
			}
			for _, c := range cases {
				t.Run(c.name, func(t *testing.T) { c.try(t, f) })
			}
			t.Run("many series", func(t *testing.T) { tryMany(t, f) })
			t.Run("without credentials", func(t *testing.T) { tryWithout(t, f) })
		})
	}
}

func tryValue(t *testing.T, f *fixture) {
	s, source := start(t, f, http.StatusOK, f.value)
	got, err := query(t, f, source)
	if err != nil || got.Value != 42.5 || !got.Time.Equal(f.sampled) {
		t.Errorf("Query = %+v, %v; want 42.5 of %s", got, err, f.sampled)
	}
	if s.asked != 1 {
		t.Errorf("asked %d times", s.asked)
	}
}

func tryEmpty(t *testing.T, f *fixture) {
	_, source := start(t, f, http.StatusOK, f.empty)
	if got, err := query(t, f, source); !noData(err) {
		t.Errorf("Query = %+v, %v; want no data", got, err)
	}
}

func noData(err error) bool { return errors.Is(err, check.ErrNoData) }

// notTheirs tells whether an answer was refused as not the provider's.
func notTheirs(err error) bool {
	return err != nil && strings.Contains(err.Error(), "the answer is not")
}

func tryNaN(t *testing.T, f *fixture) {
	_, source := start(t, f, http.StatusOK, f.nan)
	got, err := query(t, f, source)
	if f.nanIs == nil && (err != nil || !math.IsNaN(got.Value)) {
		t.Errorf("Query = %+v, %v; want NaN", got, err)
	}
	if f.nanIs != nil && !f.nanIs(err) {
		t.Errorf("Query = %+v, %v; want no value", got, err)
	}
}

// refused has every request refused with a status, and counts them.
func refused(status, calls int) func(*testing.T, *fixture) {
	return func(t *testing.T, f *fixture) {
		s, source := start(t, f, status, strings.ReplaceAll(f.refusal, "$", hidden))
		_, err := query(t, f, source)
		for _, want := range []string{fmt.Sprintf("HTTP %d", status), f.words, f.spec.Type + " http", "(query "} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want it to have %q", err, want)
			}
		}
		if s.asked != calls {
			t.Errorf("asked %d times, want %d", s.asked, calls)
		}
	}
}

func tryTimeout(t *testing.T, f *fixture) {
	s, source := start(t, f, http.StatusOK, f.value)
	s.hang = make(chan struct{})
	t.Cleanup(func() { close(s.hang) })
	ask, err := newAsker(source)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("the step is over"))
	defer cancel()
	if _, err := ask(ctx, f.query); err == nil || !strings.Contains(err.Error(), "the step is over") {
		t.Errorf("error %v, want the cause", err)
	}
}

func tryMalformed(t *testing.T, f *fixture) {
	bodies := map[string]string{"a page": `<html>sign in</html>`, "cut": f.value[:len(f.value)/2]}
	if f.spec.Type != v1beta1.MetricInfluxDB { // an answer of InfluxDB without rows has no text
		bodies["nothing"] = ""
	} else {
		bodies["cut within a number"] = f.value[:strings.LastIndex(f.value, ".5")]
	}
	for what, body := range bodies {
		_, source := start(t, f, http.StatusOK, body)
		if got, err := query(t, f, source); !notTheirs(err) {
			t.Errorf("%s: Query = %+v, %v; want the answer refused", what, got, err)
		}
	}
}

func tryOversized(t *testing.T, f *fixture) {
	_, source := start(t, f, http.StatusOK, f.value+strings.Repeat(" ", 1<<20))
	if _, err := query(t, f, source); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("error %v, want it to say that the answer is too large", err)
	}
}

func tryMany(t *testing.T, f *fixture) {
	if f.many == "" {
		return
	}
	_, source := start(t, f, http.StatusOK, f.many)
	if got, err := query(t, f, source); err == nil || !strings.Contains(err.Error(), "one value is needed") {
		t.Errorf("Query = %+v, %v; want it refused", got, err)
	}
}

func tryWithout(t *testing.T, f *fixture) {
	_, source := start(t, f, http.StatusOK, f.value)
	source.Secret, source.Cluster, source.Ambient = nil, nil, nil
	ask, err := newAsker(source)
	if err == nil {
		_, err = ask(t.Context(), f.query)
	}
	if err == nil {
		t.Error("a provider that must know who asks answered nobody")
	}
	needs, err := check.NeedsOf(f.spec.Type)
	if err != nil || len(needs.Keys) == 0 {
		return
	}
	source.Secret = map[string][]byte{needs.Keys[0][0]: []byte(" \n")}
	if _, err := newAsker(source); err == nil || !strings.Contains(err.Error(), needs.Keys[0][0]) {
		t.Errorf("an empty Secret: error %v, want it to name the key %s", err, needs.Keys[0][0])
	}
}

// Each type that may be written has a client that is tried here, and the other way round.
func TestEveryTypeIsTried(t *testing.T) {
	tried := map[string]bool{}
	for _, f := range fixtures() {
		tried[f.spec.Type] = true
	}
	for _, kind := range check.Providers() {
		if !tried[kind] {
			t.Errorf("%s is not tried", kind)
		}
	}
	if len(tried) != len(check.Providers()) {
		t.Errorf("tried %v, known %v", tried, check.Providers())
	}
	if _, err := provider.New(provider.Source{Spec: v1beta1.MetricProvider{Type: "excel"}}); err == nil || !strings.Contains(err.Error(), "prometheus, influxdb") {
		t.Errorf("an unknown type: %v, want the list", err)
	}
}
