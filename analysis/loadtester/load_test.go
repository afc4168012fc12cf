package loadtester

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// app is a server that remembers what it was sent.
type app struct {
	*httptest.Server
	handle func(http.ResponseWriter, *http.Request)
	calls  atomic.Int64
	open   atomic.Int64 // connections
	mu     sync.Mutex
	last   *http.Request
	body   string
}

func newApp(t *testing.T, handle func(http.ResponseWriter, *http.Request)) *app {
	a := &app{handle: handle}
	a.Server = httptest.NewUnstartedServer(a)
	a.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			a.open.Add(1)
		case http.StateClosed:
			a.open.Add(-1)
		}
	}
	a.Start()
	t.Cleanup(a.Close)
	return a
}

func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	a.last, a.body = r, string(body)
	a.mu.Unlock()
	a.calls.Add(1)
	if a.handle != nil {
		a.handle(w, r)
	}
}

func command(t *testing.T, text string) *Load {
	t.Helper()
	l, err := ParseCommand(text)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for tick := time.Tick(time.Millisecond); !condition(); {
		select {
		case <-deadline:
			t.Fatalf("never: %s", what)
		case <-tick:
		}
	}
}

func TestSend(t *testing.T) {
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("bad") != "" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	summary, err := command(t, `hey -n 20 -c 4 -m PUT -host app.example.com -H 'X-Canary: always' -d '{"a":1}' `+a.URL+"/x").Send(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if a.calls.Load() != 20 || summary.Requests != 20 || summary.Codes["200"] != 20 || summary.Failed() != 0 {
		t.Errorf("%d calls, summary %+v", a.calls.Load(), summary)
	}
	if a.last.Method != http.MethodPut || a.last.Host != "app.example.com" || a.last.URL.Path != "/x" || a.last.Header.Get("X-Canary") != "always" || a.body != `{"a":1}` {
		t.Errorf("the app got %+v with body %s", a.last, a.body)
	}
	summary, err = command(t, `hey -n 2 -c 1 '`+a.URL+"/?bad=1'").Send(t.Context())
	if err != nil || summary.Codes["500"] != 2 {
		t.Errorf("summary %+v, %v", summary, err)
	}
	if text := summary.String(); !strings.HasPrefix(text, "2 requests in ") || !strings.Contains(text, ", 500: 2") {
		t.Errorf("summary reads %q", text)
	}
}

// The app does not close idle connections, so only the load can have done it.
func TestSendClosesConnections(t *testing.T) {
	a := newApp(t, nil)
	// One worker: with more, net/http opens connections in advance that are never used.
	if _, err := command(t, `hey -n 5 -c 1 `+a.URL).Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all connections are closed", func() bool { return a.open.Load() == 0 })
}

func TestSendForAWhile(t *testing.T) {
	a := newApp(t, nil)
	began := time.Now()
	summary, err := command(t, `hey -z 300ms -q 20 -c 2 `+a.URL).Send(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 250*time.Millisecond || took > 5*time.Second {
		t.Errorf("took %s", took)
	}
	// Two workers at 20 a second for 0.3 s are 12 requests; a busy machine may lose some.
	if n := summary.Requests; n < 2 || n > 16 || int64(n) != a.calls.Load() {
		t.Errorf("%d requests, of which %d arrived", n, a.calls.Load())
	}
}

func TestSendEndsWithContext(t *testing.T) {
	a := newApp(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := command(t, `hey -z 1h -t 0 -c 3 `+a.URL).Send(ctx)
		done <- err
	}()
	eventually(t, "the load runs", func() bool { return a.calls.Load() == 3 })
	cancel(cause)
	select {
	case err := <-done:
		if !errors.Is(err, cause) {
			t.Errorf("Send = %v, want the cause", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the load goes on after the end of its context")
	}
}

func TestSendToNobody(t *testing.T) {
	a := newApp(t, nil)
	a.Close()
	summary, err := command(t, `hey -n 3 -c 1 `+a.URL).Send(t.Context())
	if err != nil || summary.Requests != 3 || summary.Failed() != 3 {
		t.Errorf("summary %+v, %v", summary, err)
	}
	if text := summary.String(); !strings.Contains(text, "connection refused") {
		t.Errorf("summary reads %q", text)
	}
}

func TestTotal(t *testing.T) {
	tests := map[string]int{
		`hey -n 7 -c 1 http://x`:            7,
		`hey -z 1m -q 10 -c 2 http://x`:     1204,
		`hey -z 1m http://x`:                math.MaxInt32,
		`hey -z 999h -q 100000 http://x`:    math.MaxInt32,
		`hey -z 100ms -q 0.1 -c 1 http://x`: 3,
	}
	for text, want := range tests {
		if got := command(t, text).total(); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}

func TestLoadDescription(t *testing.T) {
	l := command(t, `hey -z 1m -q 10 -c 2 -H 'Authorization: s3cret' -d s3cret 'http://u:s3cret@app.test:80/path?token=s3cret'`)
	if got, want := l.String(), "GET http://app.test:80/path, for 1m0s, 2 workers at 10/s each"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
