// Package hook calls the webhooks of a Canary: Flagger's payload, sent with a deadline and bounded retries. When a hook is called,
// and what its answer means for the rollout, is decided elsewhere.
package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"k8s.io/utils/clock"

	"github.com/sluice-dev/sluice/analysis/internal/httpx"
)

const (
	// DefaultTimeout bounds one attempt.
	DefaultTimeout = 10 * time.Second

	maxErrorBody = 4 << 10 // bytes read of a refusal
	shownBody    = 160     // bytes of it in an error
)

// Payload is what a hook receives, in Flagger's shape.
type Payload struct {
	// Name and Namespace of the Canary.
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	// Phase of the Canary.
	Phase string `json:"phase"`
	// Checksum identifies the revision with its configs; opaque.
	Checksum string `json:"checksum"`
	// Metadata is the hook's own, as written in the Canary.
	Metadata map[string]string `json:"metadata,omitempty"`
}

// Call is one webhook to call.
type Call struct {
	// Name of the hook, for errors.
	Name string
	// URL to POST to, absolute http or https.
	URL string
	// Timeout of one attempt; 0 means DefaultTimeout.
	Timeout time.Duration
	// Retries after a first attempt that failed without being refused: no connection, 429, and 5xx other than 501.
	Retries int
	// SkipVerify accepts any certificate.
	SkipVerify bool
	// IdempotencyKey is the same for every attempt, so that the receiver can recognise a repeated call; empty sends none.
	IdempotencyKey string
	// Payload to send.
	Payload Payload
}

// Refused says that the hook answered, and not with 200, 201 or 202.
type Refused struct {
	// Hook is the name of the hook, Status the HTTP status, Body the beginning of the answer in one line.
	Hook   string
	Status int
	Body   string
}

func (r *Refused) Error() string {
	text := fmt.Sprintf("hook %q answered HTTP %d %s", r.Hook, r.Status, http.StatusText(r.Status))
	if r.Body != "" {
		text += ": " + r.Body
	}
	return text
}

// Options are the outside of a Sender.
type Options struct {
	// Transport serves ordinary calls, Insecure those that accept any certificate.
	Transport, Insecure http.RoundTripper
	// Clock times the pauses between attempts.
	Clock clock.Clock
	// UserAgent names the caller.
	UserAgent string
}

// Sender calls hooks. It is safe for concurrent use.
type Sender struct{ o Options }

// NewSender returns a Sender.
func NewSender(o Options) *Sender { return &Sender{o: o} }

// Send calls a hook and returns nil when it answered 200, 201 or 202, as with Flagger. Any other answer is *Refused, an empty one (204) too: a gate
// that says nothing has not said yes. Anything else is an error that names the hook and never repeats its URL's path or query. The context
// bounds all attempts and the pauses between them, which start at 1 s, double up to 30 s, and follow Retry-After (up to 30 s) where the hook
// gives it.
func (s *Sender) Send(ctx context.Context, call Call) error {
	target, err := httpx.ParseURL("url", call.URL)
	if err != nil {
		return fmt.Errorf("hook %q: %w", call.Name, err)
	}
	body, err := json.Marshal(call.Payload)
	if err != nil {
		return fmt.Errorf("hook %q: encode payload: %w", call.Name, err)
	}
	client := s.client(call)
	for attempt := 0; ; attempt++ {
		again, pause, err := s.attempt(ctx, client, target, call, body)
		if err == nil {
			return nil
		}
		if !again || attempt >= call.Retries {
			return describe(call, attempt, err)
		}
		if waitErr := s.wait(ctx, backoff(attempt, pause)); waitErr != nil {
			return fmt.Errorf("hook %q: gave up after %d attempts: %w; the last one: %w", call.Name, attempt+1, waitErr, err)
		}
	}
}

func (s *Sender) client(call Call) *http.Client {
	transport := s.o.Transport
	if call.SkipVerify {
		transport = s.o.Insecure
	}
	return &http.Client{Transport: transport, CheckRedirect: httpx.SameHost}
}

// attempt calls once. again tells whether another attempt may help, after pause where the hook asked for one.
func (s *Sender) attempt(ctx context.Context, client *http.Client, target *url.URL, call Call, body []byte) (again bool, pause time.Duration, err error) {
	timeout := call.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	attemptCtx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %s", timeout))
	defer cancel()

	req, err := http.NewRequestWithContext(attemptCtx, http.MethodPost, target.String(), bytes.NewReader(body))
	if err != nil {
		return false, 0, httpx.Cause(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", s.o.UserAgent)
	if call.IdempotencyKey != "" {
		req.Header.Set("Idempotency-Key", call.IdempotencyKey)
	}
	resp, err := client.Do(req)
	if err != nil {
		if attemptCtx.Err() != nil {
			return ctx.Err() == nil, 0, context.Cause(attemptCtx)
		}
		return httpx.Transient(err), 0, httpx.Cause(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusOK && resp.StatusCode <= http.StatusAccepted {
		return false, 0, nil
	}
	refused := &Refused{
		Hook:   call.Name,
		Status: resp.StatusCode,
		Body:   httpx.OneLine(string(httpx.Head(resp.Body, maxErrorBody)), shownBody),
	}
	return httpx.WorthRepeating(resp.StatusCode), retryAfter(resp, s.o.Clock.Now()), refused
}

// wait pauses for d, or until the context ends.
func (s *Sender) wait(ctx context.Context, d time.Duration) error {
	timer := s.o.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// describe names the hook and the attempts in an error of the last attempt. A refusal keeps its type.
func describe(call Call, attempt int, err error) error {
	if refused, ok := errors.AsType[*Refused](err); ok {
		return refused
	}
	times := ""
	if attempt > 0 {
		times = fmt.Sprintf(" after %d attempts", attempt+1)
	}
	return fmt.Errorf("hook %q could not be called%s: %w; check url and timeout", call.Name, times, err)
}
