package loadtester

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

// tester is a load tester that runs as in production, on a port of its own.
type tester struct {
	t     *testing.T
	url   string
	stop  context.CancelFunc
	ended chan error
}

func newTester(t *testing.T, change func(*Config)) *tester {
	t.Helper()
	config := Config{Timeout: time.Minute, MaxTasks: 4, MaxQueue: 4, Log: zap.NewNop()}
	if change != nil {
		change(&config)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	lt := &tester{t: t, url: "http://" + listener.Addr().String(), stop: cancel, ended: make(chan error, 1)}
	go func() { lt.ended <- Run(ctx, config, listener) }()
	t.Cleanup(cancel)
	return lt
}

func (lt *tester) post(path, body string) (int, string) {
	lt.t.Helper()
	resp, err := http.Post(lt.url+path, "application/json", strings.NewReader(body))
	if err != nil {
		lt.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		lt.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (lt *tester) expect(path, body string, status int, mention string) {
	lt.t.Helper()
	got, text := lt.post(path, body)
	if got != status || !strings.Contains(text, mention) {
		lt.t.Errorf("%s %.200s: %d %q, want %d and %q", path, body, got, text, status, mention)
	}
}

// taskBody is a payload as a Canary sends it.
func taskBody(canary, command string) string {
	return fmt.Sprintf(`{"name":%q,"namespace":"test","phase":"Progressing","checksum":"x","metadata":{"type":"cmd","cmd":%q,"logCmdOutput":"true"}}`, canary, command)
}

const podinfoGate = `{"name":"podinfo","namespace":"test"}`

func TestGates(t *testing.T) {
	lt := newTester(t, nil)
	for _, path := range []string{"/gate", "/rollback"} {
		other := map[string]string{"/gate": "/rollback", "/rollback": "/gate"}[path]
		lt.expect(path+"/check", podinfoGate, 403, "Forbidden")
		lt.expect(path+"/open", podinfoGate, 202, "")
		lt.expect(path+"/check", podinfoGate, 200, "Approved")
		lt.expect(other+"/check", podinfoGate, 403, "Forbidden")
		lt.expect(path+"/check", `{"name":"podinfo","namespace":"prod"}`, 403, "Forbidden")
		lt.expect(path+"/open", podinfoGate, 202, "")
		lt.expect(path+"/close", podinfoGate, 202, "")
		lt.expect(path+"/close", podinfoGate, 202, "")
		lt.expect(path+"/check", podinfoGate, 403, "Forbidden")
	}
	lt.expect("/gate/approve", "", 200, "")
	lt.expect("/gate/halt", "", 403, "")
	lt.expect("/healthz", "", 200, "OK")
	lt.expect("/gate/check", `{}`, 400, "lacks name or namespace")
	lt.expect("/gate/open", `nonsense`, 400, "not a webhook payload")
	lt.expect("/gate/nowhere", podinfoGate, 404, "")
}

func TestGatesAreBounded(t *testing.T) {
	g := newMemoryGates()
	set := func(key string, open bool) error { return g.Set(t.Context(), key, open) }
	for i := range maxGates {
		if err := set(fmt.Sprint(i), true); err != nil {
			t.Fatal(err)
		}
	}
	if err := set("more", true); err == nil {
		t.Error("one more gate was opened")
	}
	if err := set("0", true); err != nil {
		t.Errorf("an open gate cannot be opened: %v", err)
	}
	if err := set("0", false); err != nil || set("more", true) != nil {
		t.Error("closing a gate makes no room")
	}
}

// A name can hold dots, and the kinds of gates have keys of their own.
func TestGatesDoNotMeet(t *testing.T) {
	lt := newTester(t, nil)
	lt.expect("/gate/open", `{"name":"rollback.podinfo","namespace":"test"}`, 202, "")
	lt.expect("/rollback/check", podinfoGate, 403, "Forbidden")
	lt.expect("/rollback/open", podinfoGate, 202, "")
	lt.expect("/gate/close", `{"name":"rollback.podinfo","namespace":"test"}`, 202, "")
	lt.expect("/rollback/check", podinfoGate, 200, "Approved")
}

func TestTasksSendLoad(t *testing.T) {
	a := newApp(t, nil)
	lt := newTester(t, nil)
	lt.expect("/", taskBody("podinfo", "hey -n 10 -c 2 "+a.URL), 202, "")
	eventually(t, "the load arrives", func() bool { return a.calls.Load() == 10 })
	// The type may be left out, and other methods than POST are Flagger's way too.
	lt.expect("/", fmt.Sprintf(`{"name":"p","namespace":"test","metadata":{"cmd":"hey -n 5 -c 1 %s"}}`, a.URL), 202, "")
	eventually(t, "the load arrives", func() bool { return a.calls.Load() == 15 })
	eventually(t, "the load is counted", func() bool {
		_, text := lt.post("/metrics", "")
		return strings.Contains(text, `sluice_loadtester_requests_total{code="200"} 15`) && strings.Contains(text, "sluice_loadtester_tasks_started_total 2")
	})
}

func TestTasksRefused(t *testing.T) {
	lt := newTester(t, nil)
	withMetadata := func(metadata string) string { return `{"name":"p","namespace":"test","metadata":` + metadata + `}` }
	tests := map[string]struct {
		body   string
		status int
		want   string
	}{
		"no metadata":    {podinfoGate, 400, "no metadata"},
		"no command":     {withMetadata(`{"type":"cmd"}`), 400, "metadata.cmd is missing"},
		"bash":           {withMetadata(`{"type":"bash","cmd":"id"}`), 400, `"bash" is not supported here, because it runs programs`},
		"helm":           {withMetadata(`{"type":"helm","cmd":"test x"}`), 400, `"helm" is not supported here`},
		"helmv3":         {withMetadata(`{"type":"helmv3","cmd":"test x"}`), 400, `"helmv3" is not supported here`},
		"kubectl":        {withMetadata(`{"type":"kubectl","cmd":"get pods"}`), 400, `"kubectl" is not supported here`},
		"concord":        {withMetadata(`{"type":"concord"}`), 400, "answers 200 when it has finished"},
		"ngrinder":       {withMetadata(`{"type":"ngrinder"}`), 400, "send the load from here, with type cmd and a hey command"},
		"unknown type":   {withMetadata(`{"type":"cmdd","cmd":"hey http://x"}`), 400, `"cmdd" is unknown`},
		"other program":  {withMetadata(`{"cmd":"wrk http://x"}`), 400, `metadata.cmd: cannot run "wrk": only hey is supported`},
		"shell":          {withMetadata(`{"cmd":"hey http://x; id"}`), 400, "there is none"},
		"logging":        {withMetadata(`{"cmd":"hey http://x","logCmdOutput":"maybe"}`), 400, "metadata.logCmdOutput"},
		"not JSON":       {"hey", 400, "not a webhook payload"},
		"nothing":        {"", 400, "not a webhook payload"},
		"odd metadata":   {withMetadata(`{"cmd":1}`), 400, "not a webhook payload"},
		"no name":        {`{"namespace":"test","metadata":{"cmd":"hey http://x"}}`, 400, "lacks name or namespace"},
		"too large body": {taskBody("p", strings.Repeat("x", 64<<10)), 413, "more than 65536 bytes"},
	}
	for name, tt := range tests {
		t.Run(name, func(*testing.T) { lt.expect("/", tt.body, tt.status, tt.want) })
	}
	if _, text := lt.post("/metrics", ""); !strings.Contains(text, "sluice_loadtester_tasks_started_total 0") || !strings.Contains(text, `sluice_loadtester_calls_refused_total{code="400"} 16`) {
		t.Errorf("metrics: %s", text)
	}
}

func TestNamespaces(t *testing.T) {
	lt := newTester(t, func(c *Config) { c.NamespaceRegexp = "test|team-.*" })
	for namespace, served := range map[string]bool{"test": true, "team-a": true, "test2": false, "a-test": false, "my-team-a": false} {
		body := fmt.Sprintf(`{"name":"p","namespace":%q}`, namespace)
		if served {
			lt.expect("/gate/open", body, 202, "")
			continue
		}
		for _, path := range []string{"/", "/gate/check", "/gate/open", "/rollback/close"} {
			lt.expect(path, body, 403, "does not match --namespace-regexp")
		}
	}
}

func TestBusy(t *testing.T) {
	// The app never answers: the load tester is stopped first.
	a := newApp(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	lt := newTester(t, func(c *Config) { c.MaxTasks, c.MaxQueue = 1, 1 })
	load := "hey -n 1 -c 1 " + a.URL
	lt.expect("/", taskBody("a", load), 202, "")
	eventually(t, "the first runs", func() bool { return a.calls.Load() == 1 })
	lt.expect("/", taskBody("b", load), 202, "")
	lt.expect("/", taskBody("b", load), 202, "")
	lt.expect("/", taskBody("c", load), 429, "too many load tasks")
}

func TestStop(t *testing.T) {
	aborted := make(chan struct{})
	a := newApp(t, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(aborted)
	})
	lt := newTester(t, nil)
	lt.expect("/", taskBody("a", "hey -z 1h -t 0 -c 1 "+a.URL), 202, "")
	eventually(t, "the load runs", func() bool { return a.calls.Load() == 1 })
	lt.stop()
	select {
	case err := <-lt.ended:
		if err != nil {
			t.Errorf("Run = %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the load tester does not stop")
	}
	select {
	case <-aborted:
	case <-time.After(time.Minute):
		t.Error("the request goes on")
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(lt.url, "http://")); err == nil {
		t.Error("the port is still open")
	}
}

func TestConfig(t *testing.T) {
	good := Config{Timeout: time.Hour, MaxTasks: 1, MaxQueue: 1, Log: zap.NewNop()}
	for want, change := range map[string]func(*Config){
		"timeout 0s":       func(c *Config) { c.Timeout = 0 },
		"max-tasks 0":      func(c *Config) { c.MaxTasks = 0 },
		"max-queue -1":     func(c *Config) { c.MaxQueue = -1 },
		"namespace-regexp": func(c *Config) { c.NamespaceRegexp = "(" },
	} {
		config := good
		change(&config)
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := Run(t.Context(), config, listener); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Run = %v, want it to mention %q", err, want)
		}
	}
}
