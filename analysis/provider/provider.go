package provider

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/analysis/check"
	"github.com/sluice-dev/sluice/analysis/internal/httpx"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

const (
	// maxPages bounds the answers that one question may have.
	maxPages = 10

	shown         = 80 // bytes of a query or of an answer's part in an error
	lookback      = 10 // intervals that a query covers where the provider wants a span of time
	timeout       = 5 * time.Second
	streamTimeout = 15 * time.Second // of providers that compute before they answer
)

// Sample is one value.
type Sample struct {
	Value float64 // may be NaN or infinite
	// Time of the value; zero where the provider does not tell, or computes it when asked.
	Time time.Time
}

// Cluster is the API server, reached with the controller's own rights.
type Cluster struct {
	URL       *url.URL
	Transport http.RoundTripper
}

// Source says whom to ask, and how.
type Source struct {
	// Spec of the MetricTemplate's provider.
	Spec v1beta1.MetricProvider
	// Secret that it names; nil without secretRef.
	Secret map[string][]byte
	// Namespace of the template. OnlyNamespace keeps questions about objects of the cluster to it.
	Namespace     string
	OnlyNamespace bool
	// Interval of the metric; positive.
	Interval time.Duration
	// Transport decides about TLS and proxies.
	Transport http.RoundTripper
	// Cluster is asked by keptn, and by externalmetrics without an address; nil where there is none.
	Cluster *Cluster
	// Ambient is asked by cloudwatch, and by stackdriver without a key; nil where there is none.
	Ambient *Ambient
	// Now is when the question is asked.
	Now time.Time
	// UserAgent names the caller; empty leaves Go's.
	UserAgent string
}

// text returns a value of the Secret without the line break that editors leave.
func (s Source) text(key string) string { return strings.TrimSpace(string(s.Secret[key])) }

// since is the beginning of the time that a query covers.
func (s Source) since() time.Time { return s.Now.Add(-lookback * s.Interval) }

// exchange is the protocol of a provider.
type exchange struct {
	// ask builds the first request for a query.
	ask func(query string) (httpx.Call, error)
	// read takes the value out of an answer. next asks further where the answer goes on.
	read func(body []byte) (s Sample, next *httpx.Call, err error)
	// rest between two requests.
	rest time.Duration
	// tidy, where set, says what to send when all is over, whatever came of it; nil means nothing.
	tidy func() *httpx.Call
}

// Client asks one provider.
type Client struct {
	name     string
	origin   string
	caller   httpx.Caller
	exchange exchange
}

// kinds build the protocol of each type, and say where it is spoken.
var kinds = map[string]func(Source, *Client) error{
	v1beta1.MetricInfluxDB:        influxDB,
	v1beta1.MetricDatadog:         datadog,
	v1beta1.MetricExternalMetrics: externalMetrics,
	v1beta1.MetricStackdriver:     stackdriver,
	v1beta1.MetricCloudWatch:      cloudWatch,
	v1beta1.MetricNewRelic:        newRelic,
	v1beta1.MetricGraphite:        graphite,
	v1beta1.MetricDynatrace:       dynatrace,
	v1beta1.MetricKeptn:           keptn,
	v1beta1.MetricSplunk:          splunk,
}

// New returns a client for all types but prometheus, which has a package of its own. What the type needs and the source lacks is an error.
func New(s Source) (*Client, error) {
	kind := s.Spec.Type
	build, ok := kinds[kind]
	needs, err := check.NeedsOf(kind)
	if err != nil || !ok {
		return nil, err
	}
	if err := complete(s, needs); err != nil {
		return nil, err
	}
	c := &Client{name: kind, caller: httpx.Caller{
		HTTP:      &http.Client{Transport: s.Transport, CheckRedirect: httpx.SameHost},
		Timeout:   timeout,
		UserAgent: s.UserAgent,
	}}
	for _, key := range slices.Concat(needs.Keys...) {
		if !slices.Contains(open, key) {
			c.caller.Secrets = append(c.caller.Secrets, s.text(key))
		}
	}
	if err := build(s, c); err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	return c, nil
}

// open are keys whose values are names, no secrets: a name that is short would make a refusal unreadable.
var open = []string{"org", "project", "username", "newrelic_account_id"}

// complete tells what a source lacks.
func complete(s Source, needs check.Needs) error {
	switch {
	case needs.Secret && s.Secret == nil:
		return fmt.Errorf("%s credentials: provider.secretRef is not set; name a Secret with the keys %s", s.Spec.Type, strings.Join(needs.Keys[0], " and "))
	case needs.Region && s.Spec.Region == "":
		return fmt.Errorf("%s: provider.region is not set; use for example eu-west-1", s.Spec.Type)
	case needs.Address && s.Spec.Address == "":
		return fmt.Errorf("%s: provider.address is not set; use for example https://host", s.Spec.Type)
	case s.Secret == nil:
		return nil
	}
	var keys []string
	for key := range s.Secret {
		if s.text(key) != "" {
			keys = append(keys, key)
		}
	}
	if lacks := needs.Lacks(keys); lacks != "" {
		return fmt.Errorf("%s credentials: the Secret %s", s.Spec.Type, lacks)
	}
	return nil
}

// at parses an address, the template's or the default one, and joins a path. User, query and fragment of the address are dropped.
func (c *Client) at(address, fallback string, path ...string) (*url.URL, error) {
	u, err := httpx.ParseURL("address", cmp.Or(address, fallback))
	if err != nil {
		return nil, err
	}
	u = u.JoinPath(path...)
	u.RawQuery, u.Fragment, u.User = "", "", nil
	c.origin = httpx.Origin(u)
	return u, nil
}

// Query returns the value that a query answers with. No value is check.ErrNoData; several series and answers that are not the provider's are
// errors. Errors say what was asked and what came back, but no credentials.
func (c *Client) Query(ctx context.Context, query string) (Sample, error) {
	s, err := c.query(ctx, query)
	if err != nil {
		return Sample{}, fmt.Errorf("%s %s: %w (query %q)", c.name, c.origin, err, c.caller.Redact(httpx.OneLine(query, shown)))
	}
	return s, nil
}

func (c *Client) query(ctx context.Context, query string) (Sample, error) {
	call, err := c.exchange.ask(query)
	if err != nil {
		return Sample{}, err
	}
	if c.exchange.tidy != nil {
		defer c.tidy(ctx)
	}
	for range maxPages {
		body, err := c.caller.Do(ctx, call)
		if err != nil {
			return Sample{}, err
		}
		s, next, err := c.exchange.read(body)
		if next == nil {
			return s, err
		}
		if err := rest(ctx, c.exchange.rest); err != nil {
			return Sample{}, err
		}
		call = *next
	}
	return Sample{}, fmt.Errorf("the answer is not complete after %d requests; aggregate the query to one value", maxPages)
}

// tidy takes away what the question left behind, also where its time is over. A failure costs an object that is left.
func (c *Client) tidy(ctx context.Context) {
	if call := c.exchange.tidy(); call != nil {
		_, _ = c.caller.Do(context.WithoutCancel(ctx), *call)
	}
}

func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// decode reads an answer in JSON; name says whose it should be.
func decode(name string, body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("the answer is not %s JSON; check the address: %s", name, httpx.OneLine(err.Error(), shown))
	}
	return nil
}

// manySeries says that a query answers with more than one value.
func manySeries(n int, a, b string) error {
	return fmt.Errorf("%d series answer but one value is needed; aggregate them in the query: there are %s and %s",
		n, httpx.OneLine(a, shown), httpx.OneLine(b, shown))
}

// number is a number as providers write it: a JSON number, the text of one, or null for none.
type number struct {
	value float64
	known bool
}

// UnmarshalJSON reads a number, its text ("NaN" and "Infinity" too), or null.
func (n *number) UnmarshalJSON(raw []byte) error {
	text := string(raw)
	if text == "null" {
		return nil
	}
	if unquoted, err := strconv.Unquote(text); err == nil {
		text = unquoted
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return errors.New("it holds " + httpx.OneLine(text, shown) + " where a number belongs")
	}
	*n = number{value, true}
	return nil
}

// points are a series; newest returns its latest known value.
type points []Sample

func (p points) newest() (Sample, error) {
	if len(p) == 0 {
		return Sample{}, check.ErrNoData
	}
	return slices.MaxFunc(p, func(a, b Sample) int { return a.Time.Compare(b.Time) }), nil
}

// only returns the newest value of the one series that has any. name describes a series.
func only[S any](all []S, name func(S) string, values func(S) points) (Sample, error) {
	var found []S
	for _, s := range all {
		if len(values(s)) > 0 {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		return Sample{}, check.ErrNoData
	case 1:
		return values(found[0]).newest()
	}
	return Sample{}, manySeries(len(found), name(found[0]), name(found[1]))
}

// basic returns the header of a name and a password, which is as secret as the password.
func (c *Client) basic(user, password string) string {
	encoded := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	c.caller.Secrets = append(c.caller.Secrets, encoded)
	return "Basic " + encoded
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i+1 < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

// with returns a copy of a URL that carries a query string.
func with(u *url.URL, values url.Values) *url.URL {
	out := *u
	out.RawQuery = values.Encode()
	return &out
}
