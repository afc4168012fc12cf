package httpx

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// MaxAnswer bounds the body of an answer, in bytes.
	MaxAnswer = 1 << 20

	maxErrorBody = 4 << 10 // bytes read of an answer that is an error
	shownDetail  = 200     // bytes of the server's explanation in an error

	pause        = 250 * time.Millisecond // before the second attempt
	longestPause = 2 * time.Second        // that a server may ask for
)

// Call is one request, as a value.
type Call struct {
	Method string // GET when empty
	URL    *url.URL
	Header http.Header
	Body   []byte
	// Once says that a second attempt could do harm.
	Once bool
}

// Caller sends questions to one server and reads the answers. A question changes nothing, so it is sent a second time where the first attempt met
// what may pass (no connection, 429, 5xx).
type Caller struct {
	// HTTP client to use; its redirect policy should be SameHost.
	HTTP *http.Client
	// Timeout of a question, both attempts included.
	Timeout time.Duration
	// UserAgent names the caller; empty leaves Go's.
	UserAgent string
	// Secrets never appear in an error, also where the server repeats them.
	Secrets []string
	// Sign changes a request before it is sent; nil leaves it. body is that of the request.
	Sign func(ctx context.Context, req *http.Request, body []byte) error
	// Explain finds the server's words in the body of a refusal; "" shows the body as it is. Nil looks for the usual fields of JSON.
	Explain func(body []byte) string
}

// Do sends a call and returns the body of an answer of 2xx. Errors say what came back, but no credentials.
func (c *Caller) Do(ctx context.Context, call Call) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("no answer within %s", c.Timeout))
	defer cancel()
	body, again, err := c.attempt(ctx, call)
	if call.Once || again <= 0 || !sleep(ctx, again) {
		return body, err
	}
	body, _, err = c.attempt(ctx, call)
	return body, err
}

// attempt sends a call once. again is how long to wait before another attempt that may help; 0 means none.
func (c *Caller) attempt(ctx context.Context, call Call) (body []byte, again time.Duration, err error) {
	req, err := c.request(ctx, call)
	if err != nil {
		return nil, 0, err
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		if ctx.Err() == nil && Transient(err) {
			again = pause
		}
		return nil, again, c.explain(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, patience(resp), c.refusal(resp)
	}
	body, err = ReadAll(resp.Body, MaxAnswer)
	if errors.Is(err, ErrTooLarge) {
		return nil, 0, fmt.Errorf("%w; aggregate the query to one value", err)
	}
	if err != nil {
		return nil, 0, c.explain(ctx, err)
	}
	return body, 0, nil
}

// request builds what is sent of a call, signed.
func (c *Caller) request(ctx context.Context, call Call) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, cmp.Or(call.Method, http.MethodGet), call.URL.String(), bytes.NewReader(call.Body))
	if err != nil {
		return nil, Cause(err)
	}
	if call.Header != nil {
		req.Header = call.Header.Clone()
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	if c.UserAgent != "" && req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", c.UserAgent)
	}
	if c.Sign != nil {
		if err := c.Sign(ctx, req, call.Body); err != nil {
			return nil, c.explain(ctx, err)
		}
	}
	return req, nil
}

// patience is how long to wait after a refusal that may pass; 0 where waiting does not help, or the server asks for too much of it.
func patience(resp *http.Response) time.Duration {
	if !WorthRepeating(resp.StatusCode) {
		return 0
	}
	seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	switch asked := time.Duration(seconds) * time.Second; {
	case err != nil:
		return pause
	case seconds < 0 || seconds > int(longestPause/time.Second):
		return 0
	default:
		return max(asked, pause)
	}
}

// sleep waits, and tells whether the context lasted as long.
func sleep(ctx context.Context, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// explain prefers the reason why the context ended over the consequences.
func (c *Caller) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w; check the address, the network policy and the server's load", context.Cause(ctx))
	}
	return &Failure{Unsent: unsent(err), text: OneLine(c.Redact(Cause(err).Error()), 2*shownDetail)}
}

// refusal describes an answer outside 2xx.
func (c *Caller) refusal(resp *http.Response) error {
	body := Head(resp.Body, maxErrorBody)
	explain := c.Explain
	if explain == nil {
		explain = words
	}
	detail := explain(body)
	if detail == "" {
		detail = string(body)
	}
	remedy := ""
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		remedy = "; check the credentials in the provider's secretRef"
	case http.StatusNotFound:
		remedy = "; check the address"
	case http.StatusTooManyRequests:
		remedy = "; the server limits requests, lengthen the analysis interval"
	}
	return &Failure{
		Status: resp.StatusCode, After: asked(resp),
		text: fmt.Sprintf("HTTP %d %s%s: %s", resp.StatusCode, http.StatusText(resp.StatusCode), remedy, OneLine(c.Redact(detail), shownDetail)),
	}
}

// words finds an explanation in the usual fields of JSON: message or error, which may be an object or a list in turn.
func words(body []byte) string {
	var answer any
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	return wordsOf(answer, 0)
}

func wordsOf(v any, depth int) string {
	switch v := v.(type) {
	case string:
		if depth > 0 {
			return v
		}
	case []any:
		if len(v) > 0 && depth < 4 {
			return wordsOf(v[0], depth+1)
		}
	case map[string]any:
		for _, key := range []string{"message", "Message", "error", "errors"} {
			if inner, ok := v[key]; ok && depth < 4 {
				if text := wordsOf(inner, depth+1); text != "" {
					return text
				}
			}
		}
	}
	return ""
}

// Redact takes the Secrets out of text, as they are and as a URL carries them, the longest first.
func (c *Caller) Redact(text string) string {
	secrets := slices.Clone(c.Secrets)
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
			text = strings.ReplaceAll(text, form, "***")
		}
	}
	return text
}
