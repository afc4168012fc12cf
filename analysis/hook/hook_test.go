package hook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-dev/sluice/analysis/hook"
	"github.com/sluice-dev/sluice/analysis/internal/httpx"
)

var start = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func newSender() (*hook.Sender, *clocktesting.FakeClock) {
	clock := clocktesting.NewFakeClock(start)
	return hook.NewSender(hook.Options{
		Transport: httpx.NewTransport(false),
		Insecure:  httpx.NewTransport(true),
		Clock:     clock,
		UserAgent: "sluice/1.2.3",
	}), clock
}

// script is a hook that answers one status after the other, the last one for ever.
type script struct {
	*httptest.Server
	mu       sync.Mutex
	statuses []int
	header   http.Header
	requests []*http.Request
	bodies   []string
}

func newScript(t *testing.T, statuses ...int) *script {
	s := &script{statuses: statuses, header: http.Header{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	s.requests, s.bodies = append(s.requests, r), append(s.bodies, string(body))
	status := s.statuses[0]
	if len(s.statuses) > 1 {
		s.statuses = s.statuses[1:]
	}
	maps.Copy(w.Header(), s.header)
	w.WriteHeader(status)
	if status != http.StatusNoContent {
		fmt.Fprintf(w, "answer\n%d", status)
	}
}

func (s *script) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

func TestSendStatuses(t *testing.T) {
	for status, ok := range map[int]bool{
		200: true, 201: true, 202: true, 203: false, 204: false, 299: false,
		300: false, 304: false, 400: false, 403: false, 404: false, 429: false, 500: false, 501: false, 503: false,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			server := newScript(t, status)
			sender, _ := newSender()
			err := sender.Send(t.Context(), hook.Call{Name: "gate", URL: server.URL})
			if ok != (err == nil) {
				t.Fatalf("Send = %v", err)
			}
			if server.calls() != 1 {
				t.Errorf("%d calls, want 1", server.calls())
			}
			if ok {
				return
			}
			var refused *hook.Refused
			if !errors.As(err, &refused) || refused.Status != status || refused.Hook != "gate" {
				t.Fatalf("error %v is not a refusal with status %d", err, status)
			}
			if want := fmt.Sprintf(`hook "gate" answered HTTP %d`, status); !strings.Contains(err.Error(), want) {
				t.Errorf("error %q does not mention %q", err, want)
			}
		})
	}
}

func TestSendRequest(t *testing.T) {
	server := newScript(t, 200)
	sender, _ := newSender()
	call := hook.Call{
		Name:           "load",
		URL:            server.URL + "/path?x=1",
		IdempotencyKey: "uid/rev/rollout/load/3/1",
		Payload: hook.Payload{
			Name: "podinfo", Namespace: "test", Phase: "Progressing", Checksum: "abc",
			Metadata: map[string]string{"cmd": "hey http://x"},
		},
	}
	if err := sender.Send(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	r := server.requests[0]
	if r.Method != http.MethodPost || r.URL.String() != "/path?x=1" {
		t.Errorf("asked %s %s", r.Method, r.URL)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "sluice/1.2.3", "Idempotency-Key": "uid/rev/rollout/load/3/1", "Authorization": "",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	const want = `{"name":"podinfo","namespace":"test","phase":"Progressing","checksum":"abc","metadata":{"cmd":"hey http://x"}}`
	if server.bodies[0] != want {
		t.Errorf("body %s\nwant %s", server.bodies[0], want)
	}

	call.Payload.Metadata, call.IdempotencyKey = nil, ""
	if err := sender.Send(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	var body map[string]any
	if err := json.Unmarshal([]byte(server.bodies[1]), &body); err != nil || len(body) != 4 {
		t.Errorf("body %s: metadata must be omitted when empty", server.bodies[1])
	}
	if _, sent := server.requests[1].Header["Idempotency-Key"]; sent {
		t.Error("an empty idempotency key was sent")
	}
}

// stepThrough moves the clock over each pause as soon as the sender waits in it. The sender must stay in it to its last moment.
func stepThrough(t *testing.T, clock *clocktesting.FakeClock, done <-chan error, calls func() int, pauses ...time.Duration) error {
	t.Helper()
	for i, pause := range pauses {
		waitFor(t, done, fmt.Sprintf("pause %d begins", i), clock.HasWaiters)
		clock.Step(pause - time.Nanosecond)
		if !clock.HasWaiters() || calls() != i+1 {
			t.Fatalf("pause %d is shorter than %s", i, pause)
		}
		clock.Step(time.Nanosecond)
		if i < len(pauses)-1 {
			waitFor(t, done, fmt.Sprintf("pause %d ends after %s", i, pause), func() bool { return calls() == i+2 })
		}
	}
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		t.Fatal("the call does not end")
		return nil
	}
}

func waitFor(t *testing.T, done <-chan error, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for tick := time.Tick(time.Millisecond); !condition(); {
		select {
		case err := <-done:
			t.Fatalf("the call ended before this: %s: %v", what, err)
		case <-deadline:
			t.Fatalf("never: %s", what)
		case <-tick:
		}
	}
}

func send(ctx context.Context, sender *hook.Sender, call hook.Call) <-chan error {
	done := make(chan error, 1)
	go func() { done <- sender.Send(ctx, call) }()
	return done
}

func TestRetries(t *testing.T) {
	const s = time.Second
	tests := map[string]struct {
		statuses   []int
		retryAfter string
		retries    int
		pauses     []time.Duration
		status     int // of the refusal; 0 for success
	}{
		"second attempt":           {[]int{500, 200}, "", 3, []time.Duration{s}, 0},
		"pauses double up to 30 s": {[]int{500}, "", 7, []time.Duration{s, 2 * s, 4 * s, 8 * s, 16 * s, 30 * s, 30 * s}, 500},
		"too many requests":        {[]int{429, 202}, "", 1, []time.Duration{s}, 0},
		"retry after seconds":      {[]int{503, 200}, "7", 1, []time.Duration{7 * s}, 0},
		"retry after a date":       {[]int{429, 200}, start.Add(9 * s).Format(http.TimeFormat), 1, []time.Duration{9 * s}, 0},
		"retry after much":         {[]int{429, 200}, "86400", 1, []time.Duration{30 * s}, 0},
		"retry after, other error": {[]int{500, 200}, "7", 1, []time.Duration{s}, 0},
		"refusals are final":       {[]int{403, 200}, "", 5, nil, 403},
		"not implemented is final": {[]int{501, 200}, "", 5, nil, 501},
		"refused later":            {[]int{502, 400, 200}, "", 5, []time.Duration{s}, 400},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			server := newScript(t, tt.statuses...)
			if tt.retryAfter != "" {
				server.header.Set("Retry-After", tt.retryAfter)
			}
			sender, clock := newSender()
			call := hook.Call{Name: "gate", URL: server.URL, Retries: tt.retries, IdempotencyKey: "k"}
			err := stepThrough(t, clock, send(t.Context(), sender, call), server.calls, tt.pauses...)
			var refused *hook.Refused
			switch {
			case tt.status == 0 && err != nil:
				t.Errorf("Send = %v", err)
			case tt.status != 0 && (!errors.As(err, &refused) || refused.Status != tt.status):
				t.Errorf("Send = %v, want a refusal with %d", err, tt.status)
			}
			if server.calls() != len(tt.pauses)+1 {
				t.Errorf("%d calls, want %d", server.calls(), len(tt.pauses)+1)
			}
			for i, r := range server.requests {
				if r.Header.Get("Idempotency-Key") != "k" || server.bodies[i] != server.bodies[0] {
					t.Errorf("attempt %d differs from the first", i)
				}
			}
		})
	}
}

func TestContextEndsPauses(t *testing.T) {
	server := newScript(t, 500)
	sender, clock := newSender()
	cause := errors.New("the rollout is over")
	ctx, cancel := context.WithCancelCause(t.Context())
	done := send(ctx, sender, hook.Call{Name: "gate", URL: server.URL, Retries: 5})
	waitFor(t, done, "a pause", clock.HasWaiters)
	cancel(cause)
	err := <-done
	var refused *hook.Refused
	if !errors.Is(err, cause) || !errors.As(err, &refused) || server.calls() != 1 {
		t.Errorf("after %d calls: %v; want the cause and the last refusal", server.calls(), err)
	}
}

func TestTimeoutOfAnAttempt(t *testing.T) {
	release := make(chan struct{})
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		calls.Add(1)
		<-release
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(release) })
	sender, clock := newSender()
	call := hook.Call{Name: "slow", URL: server.URL + "/secret-path", Timeout: 20 * time.Millisecond, Retries: 1}
	err := stepThrough(t, clock, send(t.Context(), sender, call), func() int { return int(calls.Load()) }, time.Second)
	if err == nil || !strings.Contains(err.Error(), `hook "slow" could not be called after 2 attempts: no answer within 20ms`) {
		t.Errorf("error %v", err)
	}
	if strings.Contains(err.Error(), "secret-path") {
		t.Errorf("error %v shows the URL's path", err)
	}
	if _, ok := errors.AsType[*hook.Refused](err); ok {
		t.Error("silence is taken for a refusal")
	}
	if calls.Load() != 2 {
		t.Errorf("%d calls, want 2", calls.Load())
	}
}

func TestLongRefusalIsCut(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, "closed\x00\n\tby ünsafe\xff "+strings.Repeat("é", 1<<20))
	}))
	t.Cleanup(server.Close)
	sender, _ := newSender()
	err := sender.Send(t.Context(), hook.Call{Name: "gate", URL: server.URL})
	if err == nil || len(err.Error()) > 256 || !strings.Contains(err.Error(), "closed by ünsafe éé") {
		t.Errorf("error %.300q", err)
	}
}

func TestRedirects(t *testing.T) {
	other := newScript(t, 200)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/here":
			http.Redirect(w, r, "/there", http.StatusPermanentRedirect)
		case "/there":
			if body, _ := io.ReadAll(r.Body); r.Method != http.MethodPost || len(body) == 0 {
				w.WriteHeader(http.StatusBadRequest)
			}
		default:
			http.Redirect(w, r, other.URL, http.StatusPermanentRedirect)
		}
	}))
	t.Cleanup(server.Close)
	sender, _ := newSender()
	if err := sender.Send(t.Context(), hook.Call{Name: "gate", URL: server.URL + "/here"}); err != nil {
		t.Errorf("on the same host: %v", err)
	}
	err := sender.Send(t.Context(), hook.Call{Name: "gate", URL: server.URL, Retries: 3})
	if err == nil || !strings.Contains(err.Error(), "redirect not followed") || other.calls() != 0 {
		t.Errorf("to another host: %v after %d calls there", err, other.calls())
	}
}

func TestTLS(t *testing.T) {
	calls := 0
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls++ }))
	t.Cleanup(server.Close)
	sender, _ := newSender()
	// A certificate that is not accepted stays so: this ends without the clock ever moving.
	err := sender.Send(t.Context(), hook.Call{Name: "gate", URL: server.URL, Retries: 3})
	if err == nil || !strings.Contains(err.Error(), "certificate") || calls != 0 {
		t.Errorf("an unknown authority: %v after %d calls", err, calls)
	}
	if err := sender.Send(t.Context(), hook.Call{Name: "gate", URL: server.URL, SkipVerify: true}); err != nil || calls != 1 {
		t.Errorf("with disableTLS: %v after %d calls", err, calls)
	}
}

func TestUnusableURL(t *testing.T) {
	sender, _ := newSender()
	for _, url := range []string{"", "gate", "://x", "ftp://x/y", "http://"} {
		err := sender.Send(t.Context(), hook.Call{Name: "gate", URL: url, Retries: 3})
		if err == nil || !strings.Contains(err.Error(), `hook "gate": url`) {
			t.Errorf("%q: %v", url, err)
		}
	}
}
