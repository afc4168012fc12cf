// Package prometheus asks a Prometheus-compatible server for single values. It knows the HTTP API and its failures; what a value
// means is judged elsewhere.
package prometheus

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/analysis/check"
	"github.com/sluice-dev/sluice/analysis/internal/httpx"
)

const (
	// DefaultTimeout bounds one query.
	DefaultTimeout = 5 * time.Second

	shownQuery  = 80  // bytes of the query in an error
	shownDetail = 200 // bytes of the server's explanation in an error
)

// Options describe a server.
type Options struct {
	// Address is the server's URL; a path in it is kept, a query string dropped.
	Address string
	// Headers are sent with every query.
	Headers map[string][]string
	// Secret holds credentials: token (bearer), or username and password (basic). Nil sends none.
	Secret map[string][]byte
	// Timeout bounds one query; 0 means DefaultTimeout.
	Timeout time.Duration
	// UserAgent names the caller; empty leaves Go's.
	UserAgent string
}

// Client asks one server.
type Client struct {
	caller   httpx.Caller
	endpoint *url.URL
	header   http.Header
}

// New returns a client for a server. The transport decides about TLS and proxies. A bad address, and a Secret without usable
// credentials, are errors.
func New(transport http.RoundTripper, o Options) (*Client, error) {
	address, err := httpx.ParseURL("prometheus address", o.Address)
	if err != nil {
		return nil, err
	}
	endpoint := address.JoinPath("api/v1/query")
	endpoint.RawQuery, endpoint.Fragment, endpoint.User = "", "", nil
	c := &Client{
		caller: httpx.Caller{
			HTTP:      &http.Client{Transport: transport, CheckRedirect: httpx.SameHost},
			Timeout:   cmp.Or(o.Timeout, DefaultTimeout),
			UserAgent: o.UserAgent,
			Explain:   explanation,
		},
		endpoint: endpoint,
		header:   http.Header{},
	}
	for name, values := range o.Headers {
		for _, value := range values {
			c.header.Add(name, value)
		}
	}
	if password, ok := address.User.Password(); ok {
		c.basic(address.User.Username(), password)
	}
	return c, c.authenticate(o.Secret)
}

// basic sends a user name and password, and remembers what must never be shown.
func (c *Client) basic(username, password string) {
	req := http.Request{Header: http.Header{}}
	req.SetBasicAuth(username, password)
	_, encoded, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	c.header.Set("Authorization", req.Header.Get("Authorization"))
	c.caller.Secrets = append(c.caller.Secrets, password, encoded)
}

// authenticate takes credentials as Flagger's secrets hold them. Nil means that there are none.
func (c *Client) authenticate(secret map[string][]byte) error {
	if secret == nil {
		return nil
	}
	text := func(key string) string { return strings.TrimSpace(string(secret[key])) }
	token, username, password := text("token"), text("username"), text("password")
	switch {
	case token != "":
		c.header.Set("Authorization", "Bearer "+token)
		c.caller.Secrets = append(c.caller.Secrets, token)
	case username != "" && password != "":
		c.basic(username, password)
	case text("ca.crt") != "" || text("tls.crt") != "": // what the transport was made of
	default:
		return errors.New("prometheus credentials: the Secret has neither token, nor username and password; add one of the two")
	}
	return nil
}

// Query returns the value of an instant query: that of a scalar, or of a vector with exactly one element. It may be NaN or infinite.
// An empty vector is check.ErrNoData; several elements, other result types and answers that are not Prometheus' are errors. Errors
// say what was asked and what came back, but no credentials.
func (c *Client) Query(ctx context.Context, query string) (float64, error) {
	value, err := c.query(ctx, query)
	if err != nil {
		return 0, fmt.Errorf("prometheus %s: %w (query %q)", httpx.Origin(c.endpoint), err, httpx.OneLine(query, shownQuery))
	}
	return value, nil
}

// Online asks for a constant, to tell whether the server answers at all.
func (c *Client) Online(ctx context.Context) error {
	value, err := c.Query(ctx, "vector(1)")
	if err == nil && value != 1 {
		return fmt.Errorf("prometheus %s answered %v to vector(1): is this a Prometheus server?", httpx.Origin(c.endpoint), value)
	}
	return err
}

func (c *Client) query(ctx context.Context, query string) (float64, error) {
	target := *c.endpoint
	target.RawQuery = url.Values{"query": {query}}.Encode()
	body, err := c.caller.Do(ctx, httpx.Call{URL: &target, Header: c.header})
	if err != nil {
		return 0, err
	}
	return decode(body)
}

// explanation is what a refusal says of itself.
func explanation(body []byte) string {
	var answer envelope
	if json.Unmarshal(body, &answer) != nil || answer.Error == "" {
		return ""
	}
	return answer.ErrorType + ": " + answer.Error
}

// envelope is the outer shape of every answer.
type envelope struct {
	Status    string `json:"status"`
	ErrorType string `json:"errorType"`
	Error     string `json:"error"`
	Data      struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
	} `json:"data"`
}

// element is one element of a vector. A native histogram stands in place of the value.
type element struct {
	Metric    map[string]string `json:"metric"`
	Value     json.RawMessage   `json:"value"`
	Histogram json.RawMessage   `json:"histogram"`
}

func decode(body []byte) (float64, error) {
	var answer envelope
	if err := json.Unmarshal(body, &answer); err != nil {
		return 0, fmt.Errorf("the answer is not Prometheus' JSON; check the address: %w", err)
	}
	if answer.Status != "success" {
		return 0, fmt.Errorf("the answer has status %q: %s", answer.Status, httpx.OneLine(answer.ErrorType+": "+answer.Error, shownDetail))
	}
	switch answer.Data.ResultType {
	case "scalar":
		return sample(answer.Data.Result)
	case "vector":
		return single(answer.Data.Result)
	default:
		return 0, fmt.Errorf("the answer is of type %q, expected vector or scalar; rewrite the query so that it gives one value", answer.Data.ResultType)
	}
}

func single(result json.RawMessage) (float64, error) {
	var vector []element
	if err := json.Unmarshal(result, &vector); err != nil {
		return 0, fmt.Errorf("the answer is not a vector: %w", err)
	}
	switch len(vector) {
	case 0:
		return 0, check.ErrNoData
	case 1:
		if vector[0].Value == nil {
			return 0, errors.New("the answer is a native histogram, not a value; use histogram_quantile() or histogram_count()")
		}
		return sample(vector[0].Value)
	default:
		return 0, fmt.Errorf("%d series answer but one value is needed; aggregate them, for example with sum(): there are %s and %s",
			len(vector), labels(vector[0].Metric), labels(vector[1].Metric))
	}
}

// sample reads [time, "value"].
func sample(raw json.RawMessage) (float64, error) {
	var pair []any
	if err := json.Unmarshal(raw, &pair); err != nil || len(pair) != 2 {
		return 0, fmt.Errorf("the answer holds %s where a time and a value belong", httpx.OneLine(string(raw), shownQuery))
	}
	text, ok := pair[1].(string)
	if !ok {
		return 0, fmt.Errorf("the answer holds the value %v, which is not text", pair[1])
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("the answer holds %q, which is not a number", httpx.OneLine(text, shownQuery))
	}
	return value, nil
}

// labels writes a label set briefly and in a fixed order.
func labels(set map[string]string) string {
	encoded, err := json.Marshal(set)
	if err != nil {
		return "{}"
	}
	return httpx.OneLine(string(encoded), shownQuery)
}
