package loadtester

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// withMetadata is a payload of a Canary with metadata.
func withMetadata(t *testing.T, metadata map[string]string) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"name": "podinfo", "namespace": "test", "metadata": metadata})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestHTTPChecks(t *testing.T) {
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/", http.StatusFound)
		case "/broken":
			http.Error(w, "s3cret of the inside", http.StatusServiceUnavailable)
		case "/echo":
			_, _ = w.Write([]byte(r.Method + " " + r.Host + " " + r.Header.Get("X-Canary")))
		case "/hung":
			<-r.Context().Done()
		case "/cut":
			w.Header().Set("Content-Length", "100")
		}
	})
	secure := httptest.NewTLSServer(a)
	t.Cleanup(secure.Close)
	gone := httptest.NewServer(nil)
	gone.Close()
	lt := newTester(t, nil)
	for name, tt := range map[string]struct {
		metadata map[string]string
		status   int
		want     string
	}{
		"answers":         {map[string]string{"url": a.URL}, 200, "answered 200"},
		"as asked for":    {map[string]string{"url": a.URL + "/echo", "method": "put", "host": "app.example.com", "header.X-Canary": "always", "expectBody": "^PUT app.example.com always$"}, 200, ""},
		"other body":      {map[string]string{"url": a.URL + "/echo", "expectBody": "token"}, 500, "do not match expectBody"},
		"broken":          {map[string]string{"url": a.URL + "/broken?token=s3cret"}, 500, "/broken answered 503, expected is 200-299"},
		"broken on order": {map[string]string{"url": a.URL + "/broken", "expectStatus": "200, 500-503"}, 200, "answered 503"},
		"redirect":        {map[string]string{"url": a.URL + "/moved"}, 500, "answered 302, expected is 200-299"},
		"hung":            {map[string]string{"url": a.URL + "/hung", "timeout": "50ms"}, 500, "no whole answer within 50ms"},
		"cut off":         {map[string]string{"url": a.URL + "/cut"}, 500, "read the answer"},
		"nobody":          {map[string]string{"url": gone.URL + "/?token=s3cret"}, 500, "connection refused"},
		"unknown issuer":  {map[string]string{"url": secure.URL}, 500, "certificate"},
		"any issuer":      {map[string]string{"url": secure.URL, "insecure": "true"}, 200, ""},

		"no URL":         {nil, 400, "metadata.url is not an absolute"},
		"URL of a file":  {map[string]string{"url": "file:///etc/s3cret"}, 400, "metadata.url is not an absolute"},
		"unknown key":    {map[string]string{"url": a.URL, "expectedStatus": "200"}, 400, "metadata.expectedStatus is unknown for type http"},
		"method":         {map[string]string{"url": a.URL, "method": "BREW"}, 400, `metadata.method "BREW"`},
		"host":           {map[string]string{"url": a.URL, "host": "a b"}, 400, "metadata.host"},
		"header":         {map[string]string{"url": a.URL, "header.A": "s3cret\nb: c"}, 400, "metadata.header.A"},
		"status":         {map[string]string{"url": a.URL, "expectStatus": "2xx"}, 400, `metadata.expectStatus "2xx"`},
		"turned range":   {map[string]string{"url": a.URL, "expectStatus": "299-200"}, 400, "metadata.expectStatus"},
		"pattern":        {map[string]string{"url": a.URL, "expectBody": "("}, 400, "metadata.expectBody"},
		"endless":        {map[string]string{"url": a.URL, "timeout": "1h"}, 400, "metadata.timeout"},
		"no number":      {map[string]string{"url": a.URL, "timeout": "10"}, 400, "metadata.timeout"},
		"perhaps secure": {map[string]string{"url": a.URL, "insecure": "perhaps"}, 400, "metadata.insecure"},
	} {
		t.Run(name, func(t *testing.T) {
			metadata := map[string]string{"type": "http"}
			for key, value := range tt.metadata {
				metadata[key] = value
			}
			status, text := lt.post("/", withMetadata(t, metadata))
			if status != tt.status || !strings.Contains(text, tt.want) || strings.Contains(text, "s3cret") {
				t.Errorf("%d %q, want %d and %q", status, text, tt.status, tt.want)
			}
		})
	}
	_, text := lt.post("/metrics", "")
	for _, want := range []string{`sluice_loadtester_checks_total{outcome="failed",type="http"} 7`, `sluice_loadtester_checks_total{outcome="passed",type="http"} 4`} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// leave makes a call and goes away from it when the condition holds.
func (lt *tester) leave(body, what string, condition func() bool) {
	lt.t.Helper()
	ctx, cancel := context.WithCancel(lt.t.Context())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, lt.url, strings.NewReader(body))
	if err != nil {
		lt.t.Fatal(err)
	}
	left := make(chan error, 1)
	go func() {
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			response.Body.Close()
		}
		left <- err
	}()
	eventually(lt.t, what, condition)
	cancel()
	if err := <-left; err == nil {
		lt.t.Error("what was to be left was answered")
	}
}

// What is waited for ends when the caller goes, when its time is over, and when the load tester stops; the places are free again then.
func TestChecksEnd(t *testing.T) {
	ended := make(chan struct{}, 10)
	a := newApp(t, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		ended <- struct{}{}
	})
	body := withMetadata(t, map[string]string{"type": "http", "url": a.URL, "timeout": "10m"})
	wait := func(what string) {
		t.Helper()
		select {
		case <-ended:
		case <-time.After(time.Minute):
			t.Fatalf("a check goes on after %s", what)
		}
	}

	lt := newTester(t, func(c *Config) { c.MaxTasks = 1 })
	lt.leave(body, "the app is asked", func() bool { return a.calls.Load() == 1 })
	wait("its caller has gone")
	free := func() bool {
		status, _ := lt.post("/", withMetadata(t, map[string]string{"type": "http", "url": lt.url + "/healthz"}))
		return status == http.StatusOK
	}
	eventually(t, "the place is free", free)

	answers := make(chan string, 1)
	go func() {
		_, text := lt.post("/", body)
		answers <- text
	}()
	eventually(t, "a check runs", func() bool { return a.calls.Load() == 2 })
	lt.expect("/", body, 429, "too many checks run already")
	lt.stop()
	wait("the load tester stops")
	if text := <-answers; !strings.Contains(text, "stopping") {
		t.Errorf("the caller is told %q", text)
	}

	short := newTester(t, func(c *Config) { c.Timeout = 50 * time.Millisecond })
	short.expect("/", body, 500, "longer than the load tester allows")
}
