package loadtester

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Bounds of a load. They keep one command from taking the load tester's whole memory, or from never ending.
const (
	maxWorkers  = 500
	maxRequests = 10_000_000
	minRate     = 0.1 // requests per second and worker; slower workers could not be stopped soon
	maxRate     = 100_000
)

var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead, http.MethodOptions}

// Load is HTTP load to send, as a hey command line describes it.
type Load struct {
	Method string
	URL    *url.URL
	Host   string // Host header; empty means that of URL
	Header http.Header
	Body   []byte

	// Duration of the load; 0 sends Requests instead.
	Duration time.Duration
	Requests int
	// Workers send at the same time, each at most Rate requests a second; a Rate of 0 sets no limit.
	Workers int
	Rate    float64
	// RequestTimeout bounds each request; 0 leaves it to the end of the task.
	RequestTimeout time.Duration

	HTTP2, DisableCompression, DisableKeepAlive, DisableRedirects bool

	// Proxy to send through; nil means none.
	Proxy *url.URL
}

// options are the raw values of the flags.
type options struct {
	method, body, accept, contentType, auth, host, userAgent, proxy string
	headers                                                         []string
	workers, requests, timeout                                      int
	rate                                                            float64
	duration                                                        time.Duration
	http2, noCompression, noKeepAlive, noRedirects                  bool
}

// ParseCommand reads a hey command line, such as
//
//	hey -z 1m -q 10 -c 2 -host app.example.com -H 'X-Canary: always' http://gateway.ingress/
//
// with hey's options and defaults. What reads files, writes output or changes the process (-D, -o, -cpus) is refused, as is any
// other program.
func ParseCommand(text string) (*Load, error) {
	words, err := splitWords(text)
	if err != nil {
		return nil, err
	}
	if len(words) == 0 {
		return nil, errors.New("the command is empty: write for example hey -z 1m -q 10 -c 2 http://app-canary.test/")
	}
	if program := words[0]; program != "hey" && !strings.HasSuffix(program, "/hey") {
		return nil, fmt.Errorf("cannot run %q: only hey is supported, carried out inside the load tester without a shell", program)
	}
	o, target, err := parseFlags(words[1:])
	if err != nil {
		return nil, err
	}
	load, err := o.load()
	if err != nil {
		return nil, err
	}
	if load.URL, err = absoluteURL("the URL", target); err != nil {
		return nil, err
	}
	return load, nil
}

func parseFlags(words []string) (options, string, error) {
	var o options
	set := flag.NewFlagSet("hey", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&o.method, "m", http.MethodGet, "")
	set.StringVar(&o.body, "d", "", "")
	set.StringVar(&o.accept, "A", "", "")
	set.StringVar(&o.contentType, "T", "text/html", "")
	set.StringVar(&o.auth, "a", "", "")
	set.StringVar(&o.host, "host", "", "")
	set.StringVar(&o.userAgent, "U", "", "")
	set.StringVar(&o.proxy, "x", "", "")
	set.Func("H", "", func(h string) error { o.headers = append(o.headers, h); return nil })
	set.IntVar(&o.workers, "c", 50, "")
	set.IntVar(&o.requests, "n", 200, "")
	set.IntVar(&o.timeout, "t", 20, "")
	set.Float64Var(&o.rate, "q", 0, "")
	set.DurationVar(&o.duration, "z", 0, "")
	set.BoolVar(&o.http2, "h2", false, "")
	set.BoolVar(&o.noCompression, "disable-compression", false, "")
	set.BoolVar(&o.noKeepAlive, "disable-keepalive", false, "")
	set.BoolVar(&o.noRedirects, "disable-redirects", false, "")

	err := set.Parse(words)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return o, "", errors.New("-h is not supported: write headers as -H 'Name: value'")
	case err != nil:
		return o, "", fmt.Errorf("hey: %w; supported are -z -n -c -q -t -m -H -host -d -T -A -U -a -x -h2 "+
			"-disable-compression -disable-keepalive -disable-redirects", err)
	case set.NArg() == 0:
		return o, "", errors.New("hey: the URL is missing: write it after the options")
	case set.NArg() > 1:
		return o, "", fmt.Errorf("hey: %q follows the URL: write options before it, and one command per webhook", set.Arg(1))
	}
	return o, set.Arg(0), nil
}

// load checks the values and puts them into a Load without its URL.
func (o options) load() (*Load, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	header, host, err := o.header()
	if err != nil {
		return nil, err
	}
	l := &Load{
		Method: strings.ToUpper(o.method), Header: header, Host: host, Body: []byte(o.body),
		Duration: o.duration, Requests: o.requests, Workers: o.workers, Rate: o.rate,
		RequestTimeout: time.Duration(o.timeout) * time.Second,
		HTTP2:          o.http2, DisableCompression: o.noCompression, DisableKeepAlive: o.noKeepAlive, DisableRedirects: o.noRedirects,
	}
	if o.proxy != "" {
		raw := o.proxy
		if !strings.Contains(raw, "://") {
			raw = "http://" + raw
		}
		if l.Proxy, err = absoluteURL("the proxy (-x)", raw); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (o options) check() error {
	byNumber := o.duration == 0
	for _, rule := range []struct {
		broken  bool
		message string
	}{
		{!slices.Contains(methods, strings.ToUpper(o.method)), fmt.Sprintf("-m %q is not one of %s", o.method, strings.Join(methods, ", "))},
		{o.workers < 1 || o.workers > maxWorkers, fmt.Sprintf("-c %d is not between 1 and %d", o.workers, maxWorkers)},
		{o.duration < 0, fmt.Sprintf("-z %s is negative", o.duration)},
		{byNumber && (o.requests < o.workers || o.requests > maxRequests), fmt.Sprintf("-n %d is not between -c %d and %d", o.requests, o.workers, maxRequests)},
		{o.rate != 0 && !(o.rate >= minRate && o.rate <= maxRate), fmt.Sprintf("-q %v is neither 0 (no limit) nor between %v and %v", o.rate, minRate, maxRate)},
		{o.timeout < 0 || o.timeout > 3600, fmt.Sprintf("-t %d is not between 0 and 3600 seconds", o.timeout)},
	} {
		if rule.broken {
			return errors.New("hey: " + rule.message)
		}
	}
	return nil
}

const heyUserAgent = "hey/0.0.1"

// header builds the headers in hey's order: content type, -H, then the options of their own. It also returns the Host to send.
func (o options) header() (http.Header, string, error) {
	header, host, err := o.givenHeaders()
	if err != nil {
		return nil, "", err
	}
	if o.accept != "" {
		header.Set("Accept", o.accept)
	}
	if o.auth != "" {
		user, password, found := strings.Cut(o.auth, ":")
		if !found || user == "" || password == "" {
			return nil, "", errors.New("hey: -a is not username:password")
		}
		req := http.Request{Header: header}
		req.SetBasicAuth(user, password)
	}
	agent := strings.TrimSpace(cmp.Or(o.userAgent, header.Get("User-Agent")) + " " + heyUserAgent)
	header.Set("User-Agent", agent)
	for name, values := range header {
		if !httpguts.ValidHeaderFieldValue(values[0]) {
			return nil, "", fmt.Errorf("hey: the value of header %s has characters that a header cannot carry", name)
		}
	}
	if host != "" && !httpguts.ValidHostHeader(host) {
		return nil, "", fmt.Errorf("hey: -host %q is not a host name", host)
	}
	return header, host, nil
}

// givenHeaders reads -H and -host. Errors leave the text out: it may hold credentials.
func (o options) givenHeaders() (http.Header, string, error) {
	header := http.Header{"Content-Type": {o.contentType}}
	host := o.host
	for i, raw := range o.headers {
		name, value, _ := strings.Cut(raw, ":")
		value = strings.TrimSpace(value)
		if value == "" || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, "", fmt.Errorf("hey: the -H at place %d is not a header: write it as 'Name: value'", i+1)
		}
		if strings.EqualFold(name, "Host") {
			host = cmp.Or(host, value)
			continue
		}
		header.Set(name, value)
	}
	return header, host, nil
}

func absoluteURL(what, raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("hey: %s cannot be read: %w", what, errors.Unwrap(err))
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("hey: %s %q is not an absolute http or https URL: write for example http://app-canary.test:9898/", what, u.Redacted())
	}
	return u, nil
}
