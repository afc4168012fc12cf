package traffic

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// app is a server whose version and status can be changed while it serves.
type app struct {
	*httptest.Server
	connections atomic.Int64
	serve       atomic.Pointer[http.HandlerFunc]
}

func newApp(t *testing.T, handler http.HandlerFunc) *app {
	t.Helper()
	a := &app{}
	a.serve.Store(&handler)
	a.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(*a.serve.Load())(w, r)
	}))
	a.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			a.connections.Add(1)
		}
	}
	a.Start()
	t.Cleanup(a.Close)
	return a
}

func answer(version string, status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Version", version)
		w.WriteHeader(status)
	}
}

func (a *app) config() Config {
	return Config{
		Dial:    (&net.Dialer{}).DialContext,
		URL:     a.URL + "/",
		Version: func(_ int, header http.Header, _ []byte) string { return header.Get("Version") },
		Rate:    500,
	}
}

// patience bounds how long anything may take to come about on a busy machine.
const patience = 2 * time.Minute

// until sends traffic until the recording is as wanted.
func until(t *testing.T, config Config, done func(Recording) bool) Recording {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	g, err := Start(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for !done(g.Recording()) {
		select {
		case <-poll.C:
		case <-ctx.Done():
			s := g.Stop().Summary()
			t.Fatalf("the traffic never became as wanted: %+v", s)
		}
	}
	return g.Stop()
}

func TestEachRequestIsRecordedWithItsVersionAndOutcome(t *testing.T) {
	a := newApp(t, answer("v1", http.StatusOK))
	ctx := t.Context()
	g, err := Start(ctx, a.config())
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return len(g.Recording().Results) >= 20 })
	changed := time.Now()
	bad := answer("v2", http.StatusInternalServerError)
	a.serve.Store(&bad)
	switched := time.Now()
	waitFor(t, func() bool { return g.Recording().Summary().ByVersion["v2"].Requests >= 20 })
	all := g.Stop()

	// Who asked before the change and was answered after it may have met either.
	answered := slices.DeleteFunc(slices.Clone(all.Results), func(r Result) bool { return r.Start.Add(r.Latency).After(changed) })
	before, after := Recording{Results: answered}.Summary(), all.Between(switched, time.Time{}).Summary()
	if before.Failed != 0 || before.ByVersion["v1"].Requests < 20 {
		t.Errorf("before the change: %+v, want only v1 without failures", before)
	}
	if after.Failed != after.Requests || after.ByVersion["v2"].Failed != after.Requests || after.SuccessRate() != 0 {
		t.Errorf("after the change: %+v, want only failures of v2", after)
	}
	if got := after.Failure(); !strings.HasSuffix(got, " x HTTP 500") {
		t.Errorf("failures are described as %q", got)
	}
	if n := len(g.Stop().Results); n != len(all.Results) {
		t.Errorf("traffic went on after it was stopped: %d requests, then %d", len(all.Results), n)
	}
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.After(patience)
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for !done() {
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatal("what was waited for did not come in time")
		}
	}
}

func TestConnectionsAreKeptOrFresh(t *testing.T) {
	for name, test := range map[string]struct {
		fresh float64
		ok    func(connections, requests int64) bool
	}{
		"kept":  {-1, func(c, n int64) bool { return c < n/2 }},
		"fresh": {1, func(c, n int64) bool { return c == n }},
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, answer("v1", http.StatusOK))
			config := a.config()
			config.Fresh = test.fresh
			n := int64(len(until(t, config, func(r Recording) bool { return len(r.Results) >= 50 }).Results))
			if c := a.connections.Load(); !test.ok(c, n) {
				t.Errorf("%d connections for %d requests", c, n)
			}
		})
	}
}

func TestRequestsUnderWayAreBounded(t *testing.T) {
	release := make(chan struct{})
	var inside, most atomic.Int64
	a := newApp(t, func(http.ResponseWriter, *http.Request) {
		for n := inside.Add(1); ; {
			if old := most.Load(); n <= old || most.CompareAndSwap(old, n) {
				break
			}
		}
		<-release
		inside.Add(-1)
	})
	config := a.config()
	config.MaxInFlight = 3
	g, err := Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return len(g.Recording().Skipped) >= 10 })
	close(release)
	r := g.Stop()
	if got := most.Load(); got != 3 {
		t.Errorf("%d requests were under way at once, want 3", got)
	}
	if s := r.Summary(); s.Skipped < 10 || s.Failed != 0 {
		t.Errorf("%d skipped and %d failed: what was not sent must be counted apart", s.Skipped, s.Failed)
	}
}

func TestTrafficEndsByItself(t *testing.T) {
	a := newApp(t, answer("v1", http.StatusOK))
	config := a.config()
	config.MaxRequests = 7
	g, err := Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	<-g.stopped
	if n := len(g.Recording().Results); n != 7 {
		t.Errorf("%d requests, want 7", n)
	}
	config = a.config()
	config.MaxDuration = 50 * time.Millisecond
	if g, err = Start(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		select {
		case <-g.stopped:
			return true
		default:
			return false
		}
	})
}

func TestUnreachableIsAFailure(t *testing.T) {
	a := newApp(t, answer("v1", http.StatusOK))
	config := a.config()
	a.Close()
	s := until(t, config, func(r Recording) bool { return len(r.Results) >= 3 }).Summary()
	if s.Failed != s.Requests || s.ByVersion[""].Requests != s.Requests || len(s.Versions()) != 0 {
		t.Errorf("%+v, want only failures by nobody", s)
	}
}

func TestBadConfigurationIsNamed(t *testing.T) {
	a := newApp(t, answer("v1", http.StatusOK))
	for name, change := range map[string]func(*Config){
		"no dialer":      func(c *Config) { c.Dial = nil },
		"relative URL":   func(c *Config) { c.URL = "/path" },
		"negative rate":  func(c *Config) { c.Rate = -1 },
		"share over one": func(c *Config) { c.Fresh = 2 },
	} {
		config := a.config()
		change(&config)
		if _, err := Start(t.Context(), config); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
