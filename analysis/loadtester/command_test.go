package loadtester

import (
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

func parsed(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestParseCommand(t *testing.T) {
	// base is what hey does with nothing but a URL.
	base := func(change func(*Load)) *Load {
		l := &Load{
			Method: "GET", URL: parsed(t, "http://app-canary.test:9898/"), Body: []byte{},
			Header:   http.Header{"Content-Type": {"text/html"}, "User-Agent": {"hey/0.0.1"}},
			Requests: 200, Workers: 50, RequestTimeout: 20 * time.Second,
		}
		change(l)
		return l
	}
	tests := map[string]struct {
		command string
		want    *Load
	}{
		"defaults": {`hey http://app-canary.test:9898/`, base(func(*Load) {})},
		"by time": {`hey -z 1m -q 10 -c 2 http://app-canary.test:9898/`, base(func(l *Load) {
			l.Duration, l.Rate, l.Workers = time.Minute, 10, 2
		})},
		"other spellings": {`/usr/local/bin/hey --z=1m30s -q=0.5 -c=2 http://app-canary.test:9898/`, base(func(l *Load) {
			l.Duration, l.Rate, l.Workers = 90*time.Second, 0.5, 2
		})},
		"host":           {`hey -host app.example.com http://app-canary.test:9898/`, base(func(l *Load) { l.Host = "app.example.com" })},
		"host as header": {`hey -H 'Host: app.example.com' http://app-canary.test:9898/`, base(func(l *Load) { l.Host = "app.example.com" })},
		"headers": {`hey -H 'Cookie: type=insider' -H "x-canary:always" -H 'x-canary: once' http://app-canary.test:9898/`, base(func(l *Load) {
			l.Header.Set("Cookie", "type=insider")
			l.Header.Set("X-Canary", "once")
		})},
		"body": {`hey -m post -T application/json -A '*/*' -U me -d '{"a":1}' http://app-canary.test:9898/`, base(func(l *Load) {
			l.Method, l.Body = "POST", []byte(`{"a":1}`)
			l.Header.Set("Content-Type", "application/json")
			l.Header.Set("Accept", "*/*")
			l.Header.Set("User-Agent", "me hey/0.0.1")
		})},
		"credentials": {`hey -a ann:pw http://app-canary.test:9898/`, base(func(l *Load) { l.Header.Set("Authorization", "Basic YW5uOnB3") })},
		"switches": {`hey -h2 -disable-compression -disable-keepalive -disable-redirects -t 3 -n 9 -c 3 http://app-canary.test:9898/`, base(func(l *Load) {
			l.HTTP2, l.DisableCompression, l.DisableKeepAlive, l.DisableRedirects = true, true, true, true
			l.RequestTimeout, l.Requests, l.Workers = 3*time.Second, 9, 3
		})},
		"proxy":      {`hey -x proxy:3128 http://app-canary.test:9898/`, base(func(l *Load) { l.Proxy = parsed(t, "http://proxy:3128") })},
		"quoted URL": {`hey 'https://x/?a=1&b=$2'`, base(func(l *Load) { l.URL = parsed(t, "https://x/?a=1&b=$2") })},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseCommand(tt.command)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("ParseCommand(%s)\ngot  %+v\nwant %+v", tt.command, got, tt.want)
			}
		})
	}
}

func TestParseCommandRefuses(t *testing.T) {
	tests := map[string]struct{ command, want string }{
		"empty":             {"", "command is empty"},
		"other program":     {"wrk -t2 http://x", `cannot run "wrk": only hey`},
		"shell":             {`sh -c 'hey http://x'`, `cannot run "sh"`},
		"two commands":      {"hey http://x && hey http://y", "one webhook per command"},
		"file":              {"hey -D /etc/passwd http://x", "not defined: -D"},
		"output":            {"hey -o csv http://x", "not defined: -o"},
		"processors":        {"hey -cpus 4 http://x", "not defined: -cpus"},
		"old header option": {"hey -h a:b http://x", "write headers as -H"},
		"no URL":            {"hey -z 1m", "URL is missing"},
		"options after URL": {"hey http://x -z 1m", `"-z" follows the URL`},
		"no scheme":         {"hey app.test:9898/", "not an absolute http or https URL"},
		"other scheme":      {"hey file:///etc/passwd", "not an absolute http or https URL"},
		"unreadable URL":    {"hey 'http://a b'", "cannot be read"},
		"method":            {"hey -m BREW http://x", `-m "BREW" is not one of`},
		"no workers":        {"hey -c 0 http://x", "-c 0 is not between 1 and 500"},
		"many workers":      {"hey -z 1m -c 501 http://x", "-c 501"},
		"few requests":      {"hey -n 10 http://x", "-n 10 is not between -c 50"},
		"many requests":     {"hey -n 99999999 http://x", "-n 99999999"},
		"negative duration": {"hey -z -1s http://x", "-z -1s is negative"},
		"no duration":       {"hey -z soon http://x", "invalid value"},
		"negative rate":     {"hey -q -1 http://x", "-q -1"},
		"slow rate":         {"hey -q 0.01 http://x", "-q 0.01"},
		"rate over clock":   {"hey -q 1e7 http://x", "-q 1e+07"},
		"rate NaN":          {"hey -q NaN http://x", "-q NaN"},
		"timeout":           {"hey -t -1 http://x", "-t -1"},
		"header":            {"hey -H 'Authorization s3cret' http://x", "the -H at place 1"},
		"header name":       {"hey -H 'a b: c' http://x", "the -H at place 1"},
		"header injection":  {"hey -H 'a: b\r\nx: y' http://x", "the -H at place 1"},
		"agent injection":   {"hey -U 'a\nb' http://x", "header User-Agent"},
		"credentials":       {"hey -a ann http://x", "-a is not username:password"},
		"host":              {"hey -host 'a b' http://x", "not a host name"},
		"proxy":             {"hey -x ftp://p http://x", "the proxy (-x)"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseCommand(tt.command)
			if err == nil {
				t.Fatalf("ParseCommand(%s) = %+v", tt.command, got)
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("error %q, want it to mention %q", err, tt.want)
			}
		})
	}
}
