package loadtester

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Bounds of an HTTP check.
const (
	checkTimeout    = 10 * time.Second // where metadata.timeout says nothing
	maxCheckTimeout = 10 * time.Minute
	maxExamined     = 1 << 20 // bytes of an answer that expectBody is looked for in
)

// headerKey begins the keys of metadata that name a header.
const headerKey = "header."

var httpKeys = []string{"type", "url", "method", "host", "body", "expectStatus", "expectBody", "timeout", "insecure"}

// httpCheck asks once and judges the answer: its status, and its body where a pattern is given. Redirects are not followed.
type httpCheck struct {
	method   string
	url      *url.URL
	host     string
	header   http.Header
	body     string
	statuses statusRanges
	pattern  *regexp.Regexp // nil accepts any body
	timeout  time.Duration
	insecure bool // certificates are not verified
}

// parseHTTPCheck reads the metadata of a task of type http.
func parseHTTPCheck(metadata map[string]string) (*httpCheck, error) {
	for key := range metadata {
		if !slices.Contains(httpKeys, key) && !strings.HasPrefix(key, headerKey) {
			return nil, fmt.Errorf("metadata.%s is unknown for type http: use %s, or %sNAME", key, strings.Join(httpKeys, ", "), headerKey)
		}
	}
	c := &httpCheck{method: strings.ToUpper(cmp.Or(metadata["method"], http.MethodGet)), host: metadata["host"], body: metadata["body"]}
	var err error
	if !slices.Contains(methods, c.method) {
		return nil, fmt.Errorf("metadata.method %q is not one of %s", c.method, strings.Join(methods, ", "))
	}
	if c.url, err = checkedURL(metadata["url"]); err != nil {
		return nil, err
	}
	if c.host != "" && !httpguts.ValidHostHeader(c.host) {
		return nil, fmt.Errorf("metadata.host %q is not a host name", c.host)
	}
	if c.header, err = checkHeader(metadata); err != nil {
		return nil, err
	}
	if c.statuses, err = parseStatuses(cmp.Or(metadata["expectStatus"], "200-299")); err != nil {
		return nil, err
	}
	if pattern := metadata["expectBody"]; pattern != "" {
		if c.pattern, err = regexp.Compile(pattern); err != nil {
			return nil, fmt.Errorf("metadata.expectBody is not a regular expression: %w", err)
		}
	}
	if c.timeout, err = time.ParseDuration(cmp.Or(metadata["timeout"], checkTimeout.String())); err != nil || c.timeout <= 0 || c.timeout > maxCheckTimeout {
		return nil, fmt.Errorf("metadata.timeout %q is not a duration up to %s, such as 10s", metadata["timeout"], maxCheckTimeout)
	}
	c.insecure, err = optionalBool(metadata, "insecure")
	return c, err
}

func checkedURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("metadata.url is not an absolute http or https URL: write for example http://app-canary.test:9898/")
	}
	return u, nil
}

// checkHeader reads the headers. Errors leave their values out: they may be credentials.
func checkHeader(metadata map[string]string) (http.Header, error) {
	header := http.Header{}
	for key, value := range metadata {
		name, is := strings.CutPrefix(key, headerKey)
		if !is {
			continue
		}
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) || strings.EqualFold(name, "Host") {
			return nil, fmt.Errorf("metadata.%s is not a header: write header.NAME and a value of one line, and host for the header Host", key)
		}
		header.Set(name, value)
	}
	return header, nil
}

// statusRanges are ranges of HTTP statuses, each with both ends.
type statusRanges [][2]int

func parseStatuses(text string) (statusRanges, error) {
	var ranges statusRanges
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			last = first
		}
		from, errFrom := strconv.Atoi(first)
		to, errTo := strconv.Atoi(last)
		if errFrom != nil || errTo != nil || from < 100 || to > 599 || from > to {
			return nil, fmt.Errorf("metadata.expectStatus %q is not a list of statuses: write for example 200, or 200-299,304", text)
		}
		ranges = append(ranges, [2]int{from, to})
	}
	return ranges, nil
}

func (r statusRanges) has(status int) bool {
	return slices.ContainsFunc(r, func(ends [2]int) bool { return ends[0] <= status && status <= ends[1] })
}

func (r statusRanges) String() string {
	parts := make([]string, len(r))
	for i, ends := range r {
		parts[i] = strconv.Itoa(ends[0])
		if ends[1] != ends[0] {
			parts[i] += "-" + strconv.Itoa(ends[1])
		}
	}
	return strings.Join(parts, ",")
}

// String describes the check without query, headers and body.
func (c *httpCheck) String() string {
	return fmt.Sprintf("%s %s://%s%s", c.method, c.url.Scheme, c.url.Host, c.url.EscapedPath())
}

// Examine implements examiner. What the answer holds is judged and never repeated, so that nobody reads through the load tester what he could not
// reach himself.
func (c *httpCheck) Examine(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("no whole answer within %s", c.timeout))
	defer cancel()
	status, body, err := c.ask(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return "", fmt.Errorf("%s: %w", c, context.Cause(ctx))
	case err != nil:
		return "", fmt.Errorf("%s: %w", c, err)
	case !c.statuses.has(status):
		return "", fmt.Errorf("%s answered %d, expected is %s", c, status, c.statuses)
	case c.pattern != nil && !c.pattern.Match(body):
		return "", fmt.Errorf("%s answered %d with a body of which the first %d bytes do not match expectBody", c, status, len(body))
	}
	return fmt.Sprintf("%s answered %d", c, status), nil
}

// ask sends the request and reads as much of the answer as is judged.
func (c *httpCheck) ask(ctx context.Context) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, c.method, c.url.String(), strings.NewReader(c.body))
	if err != nil {
		return 0, nil, fmt.Errorf("build the request: %w", err)
	}
	request.Header, request.Host = c.header, c.host
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: c.insecure}, //nolint:gosec // asked for, as with curl -k
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // without the URL, which may hold credentials
		}
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxExamined))
	if err != nil {
		return 0, nil, fmt.Errorf("read the answer: %w", err)
	}
	return response.StatusCode, body, nil
}
