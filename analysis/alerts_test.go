package analysis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/analysis/alert"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

// chatSources are AlertProviders and Secrets in memory.
type chatSources struct {
	providers map[types.NamespacedName]v1beta1.AlertProviderSpec
	secrets   map[types.NamespacedName]map[string][]byte
}

func (s chatSources) AlertProvider(_ context.Context, name types.NamespacedName) (*v1beta1.AlertProvider, error) {
	spec, ok := s.providers[name]
	if !ok {
		return nil, fmt.Errorf("AlertProvider %s does not exist", name)
	}
	return &v1beta1.AlertProvider{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}, Spec: spec}, nil
}

func (s chatSources) SecretData(_ context.Context, name types.NamespacedName) (map[string][]byte, error) {
	data, ok := s.secrets[name]
	if !ok {
		return nil, fmt.Errorf("secret %s does not exist", name)
	}
	return data, nil
}

// chatServer is a chat that answers as it is told and remembers what came.
type chatServer struct {
	*httptest.Server
	mu     sync.Mutex
	got    []string // path and body
	header []http.Header
	// answer serves call number n, from 0; nil answers 200.
	answer func(n int, w http.ResponseWriter, req *http.Request)
}

func newChat(t *testing.T, answer func(n int, w http.ResponseWriter, req *http.Request)) *chatServer {
	t.Helper()
	c := &chatServer{answer: answer}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		c.mu.Lock()
		n := len(c.got)
		c.got = append(c.got, req.Method+" "+req.RequestURI+" "+string(body))
		c.header = append(c.header, req.Header.Clone())
		c.mu.Unlock()
		if answer != nil {
			answer(n, w, req)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *chatServer) calls() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.got...)
}

// alerting is an Alerter with its log and metrics.
type alerting struct {
	*testing.T
	*Alerter
	registry *prometheus.Registry
	mu       sync.Mutex
	log      strings.Builder
}

// count reads how many alerts had an outcome.
func (a *alerting) count(outcome string) int {
	a.Helper()
	families, err := a.registry.Gather()
	if err != nil {
		a.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "sluice_alerts_total" && m.GetLabel()[0].GetValue() == outcome {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	a.Fatalf("nothing counts %s", outcome)
	return 0
}

func newAlerting(t *testing.T, o AlerterOptions) *alerting {
	t.Helper()
	registry := prometheus.NewRegistry()
	a := &alerting{T: t, registry: registry}
	o.Registry = registry
	if o.Pauses == nil {
		o.Pauses = []time.Duration{time.Millisecond, time.Millisecond, time.Millisecond}
	}
	o.Log = funcr.New(func(prefix, args string) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.log.WriteString(prefix + args + "\n")
	}, funcr.Options{})
	var err error
	if a.Alerter, err = NewAlerter(o); err != nil {
		t.Fatal(err)
	}
	return a
}

// run starts the Alerter until the test ends.
func (a *alerting) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Start(ctx) }()
	a.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			a.Error(err)
		}
	})
}

// await waits until an outcome was counted n times, and says what the log says then.
func (a *alerting) await(outcome string, n int) string {
	a.Helper()
	ctx, cancel := context.WithTimeout(a.Context(), time.Minute)
	defer cancel()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for a.count(outcome) < n {
		select {
		case <-again.C:
		case <-ctx.Done():
			a.Fatalf("%d alerts are %s, want %d", a.count(outcome), outcome, n)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.log.String()
}

func told(n int) alert.Message {
	return alert.Message{
		Namespace: "prod", Canary: "web", Phase: v1beta1.PhaseFailed, Severity: v1beta1.SeverityError, Reason: "RollingBack", Text: fmt.Sprintf("message %d", n),
	}
}

func by(name string, s v1beta1.AlertSeverity) []v1beta1.CanaryAlert {
	return []v1beta1.CanaryAlert{{Name: "to " + name, Severity: s, ProviderRef: v1beta1.CrossNamespaceReference{Name: name}}}
}

func oneChat(kind, address string) AlertSources {
	return chatSources{providers: map[types.NamespacedName]v1beta1.AlertProviderSpec{
		{Namespace: "prod", Name: "chat"}: {Type: kind, Address: address, Channel: "ops"},
	}}
}

// Every chat is told in one POST, by its vendor's path and form.
func TestAlertsReachEveryChat(t *testing.T) {
	for kind, want := range map[string]string{
		v1beta1.AlertSlack: `POST /hook {"channel":"ops"`, v1beta1.AlertDiscord: `POST /hook/slack {"channel":"ops"`, v1beta1.AlertRocket: `POST /hook {"channel":"ops"`,
		v1beta1.AlertMSTeams: `POST /hook {"@type":"MessageCard"`, v1beta1.AlertGChat: `POST /hook {"cardsV2"`, v1beta1.AlertWebhook: `POST /hook {"name":"web"`,
	} {
		t.Run(kind, func(t *testing.T) {
			chat := newChat(t, nil)
			a := newAlerting(t, AlerterOptions{Sources: oneChat(kind, chat.URL+"/hook"), Cluster: "east"})
			a.Alert(by("chat", ""), told(1))
			a.run()
			a.await(alertDelivered, 1)
			got := chat.calls()
			if len(got) != 1 || !strings.HasPrefix(got[0], want) || !strings.Contains(got[0], "message 1") || !strings.Contains(got[0], "east") {
				t.Errorf("it got %q", got)
			}
		})
	}
}

// What a chat surely did not take is sent again, what it may have taken is not, and no log shows the address or what came back.
func TestAlertsAreRepeatedWhereThatIsSafe(t *testing.T) {
	status := func(codes ...int) func(int, http.ResponseWriter, *http.Request) {
		return func(n int, w http.ResponseWriter, _ *http.Request) {
			if n < len(codes) {
				w.WriteHeader(codes[n])
				_, _ = io.WriteString(w, "leaked answer")
			}
		}
	}
	hang := func(_ int, _ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }
	cut := func(int, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	redirect := func(_ int, w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, "/elsewhere", http.StatusFound)
	}
	tests := []struct {
		name    string
		answer  func(int, http.ResponseWriter, *http.Request)
		outcome string
		calls   int
		log     string
	}{
		{"429 once", status(429), alertDelivered, 2, ""},
		{"500 and 503", status(500, 503), alertDelivered, 3, ""},
		{"500 for ever", status(500, 500, 500, 500, 500), alertFailed, 4, "HTTP 500"},
		{"502 may have passed it on", status(502), alertFailed, 1, "HTTP 502"},
		{"404", status(404), alertFailed, 1, "HTTP 404"},
		{"a timeout may have taken it", hang, alertFailed, 1, "no answer"},
		{"a connection that is cut", cut, alertFailed, 1, "no answer"},
		{"a redirect", redirect, alertFailed, 1, "HTTP 302"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			chat := newChat(t, tt.answer)
			a := newAlerting(t, AlerterOptions{Sources: oneChat(v1beta1.AlertSlack, chat.URL+"/services/hunter2"), Timeout: time.Second})
			a.run()
			a.Alert(by("chat", ""), told(1))
			log := a.await(tt.outcome, 1)
			if got := chat.calls(); len(got) != tt.calls {
				t.Errorf("%d calls, want %d", len(got), tt.calls)
			}
			if !strings.Contains(log, tt.log) || (tt.log == "") != (log == "") {
				t.Errorf("the log says %q, want %q", log, tt.log)
			}
			for _, secret := range []string{"hunter2", chat.Listener.Addr().String(), "leaked"} {
				if strings.Contains(log, secret) {
					t.Errorf("the log shows %q: %s", secret, log)
				}
			}
		})
	}
}

// A chat that cannot be reached is tried again: it knows nothing of the message.
func TestAlertsWaitForAChatThatIsAway(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	a := newAlerting(t, AlerterOptions{Sources: oneChat(v1beta1.AlertWebhook, "http://"+address+"/hunter2")})
	a.run()
	a.Alert(by("chat", ""), told(1))
	if log := a.await(alertFailed, 1); !strings.Contains(log, "no connection") || strings.Contains(log, address) || strings.Contains(log, "hunter2") {
		t.Errorf("the log says %q", log)
	}
	if _, again := repeatable(errors.New("x")); again {
		t.Error("an unknown error is repeated")
	}
}

// One chat that hangs delays no other, and what waits for it is bounded: the oldest goes first.
func TestAlertQueueIsBounded(t *testing.T) {
	const extra = 3
	release, begun := make(chan struct{}), make(chan struct{}, 1)
	stuck := newChat(t, func(n int, _ http.ResponseWriter, _ *http.Request) {
		if n == 0 {
			begun <- struct{}{}
			<-release
		}
	})
	fine := newChat(t, nil)
	a := newAlerting(t, AlerterOptions{Sources: chatSources{providers: map[types.NamespacedName]v1beta1.AlertProviderSpec{
		{Namespace: "prod", Name: "stuck"}: {Type: v1beta1.AlertWebhook, Address: stuck.URL + "/hunter2"},
		{Namespace: "prod", Name: "fine"}:  {Type: v1beta1.AlertWebhook, Address: fine.URL},
	}}, Timeout: time.Minute})
	a.run()
	a.Alert(by("stuck", ""), told(0))
	<-begun
	for i := range maxWaiting + extra {
		a.Alert(by("stuck", ""), told(i+1))
	}
	a.Alert(by("fine", ""), told(1))
	log := a.await(alertDelivered, 1)
	if got := fine.calls(); len(got) != 1 {
		t.Errorf("the other chat got %q", got)
	}
	if n := strings.Count(log, "an alert was dropped"); n != extra || a.count(alertDropped) != extra || strings.Contains(log, "hunter2") {
		t.Errorf("%d alerts are logged as dropped, want %d: %s", n, extra, log)
	}
	close(release)
	a.await(alertDelivered, maxWaiting+2)
	got := stuck.calls()
	if len(got) != maxWaiting+1 || !strings.Contains(got[1], fmt.Sprintf(`"message %d"`, extra+1)) {
		t.Errorf("%d calls, the second is %s", len(got), got[1])
	}
	for i, call := range got[1:] {
		if !strings.Contains(call, fmt.Sprintf(`"message %d"`, extra+1+i)) {
			t.Errorf("call %d out of order: %s", i, call)
		}
	}
}

func TestAlertsChooseWhoIsTold(t *testing.T) {
	chat, global := newChat(t, nil), newChat(t, nil)
	a := newAlerting(t, AlerterOptions{
		Sources: oneChat(v1beta1.AlertWebhook, chat.URL),
		Global:  &GlobalAlerts{Chat: alert.Chat{Type: v1beta1.AlertSlack, Address: global.URL}, Token: "xoxb"},
	})
	a.run()
	info := told(1)
	info.Severity = v1beta1.SeverityInfo
	a.Alert(by("chat", v1beta1.SeverityError), info)
	a.Alert(by("chat", v1beta1.SeverityError), told(2))
	a.Alert(nil, told(3))
	a.await(alertDelivered, 2)
	if got := chat.calls(); len(got) != 1 || !strings.Contains(got[0], "message 2") {
		t.Errorf("the Canary's chat got %q", got)
	}
	if got := global.calls(); len(got) != 1 || !strings.Contains(got[0], "message 3") || global.header[0].Get("Authorization") != "Bearer xoxb" {
		t.Errorf("the controller's chat got %q", got)
	}
}

func TestAlertSecretsAndProxies(t *testing.T) {
	chat := newChat(t, nil)
	name := func(n string) types.NamespacedName { return types.NamespacedName{Namespace: "prod", Name: n} }
	secret := &v1beta1.SecretReference{Name: "s"}
	a := newAlerting(t, AlerterOptions{NoCrossNamespaceRefs: true, Sources: chatSources{
		providers: map[types.NamespacedName]v1beta1.AlertProviderSpec{
			name("secret"): {Type: v1beta1.AlertSlack, SecretRef: secret},
			name("proxy"):  {Type: v1beta1.AlertWebhook, Address: "http://chat.invalid/hook", Proxy: chat.URL},
			name("lost"):   {Type: v1beta1.AlertSlack, SecretRef: &v1beta1.SecretReference{Name: "empty"}},
		},
		secrets: map[types.NamespacedName]map[string][]byte{
			name("s"): {"address": []byte(chat.URL + "/secret\n"), "token": []byte("xoxb\n")}, name("empty"): {"url": nil},
		},
	}})
	a.run()
	a.Alert(by("secret", ""), told(1))
	a.await(alertDelivered, 1)
	if got := chat.calls(); !strings.HasPrefix(got[0], "POST /secret ") || chat.header[0].Get("Authorization") != "Bearer xoxb" {
		t.Errorf("with a Secret: %q, %v", got, chat.header)
	}
	a.Alert(by("proxy", ""), told(2))
	a.await(alertDelivered, 2)
	if got := chat.calls(); !strings.HasPrefix(got[1], "POST http://chat.invalid/hook ") {
		t.Errorf("by a proxy: %q", got)
	}
	a.Alert(by("lost", ""), told(3))
	if log := a.await(alertFailed, 1); !strings.Contains(log, "has no key address") {
		t.Errorf("the log says %q", log)
	}
	a.Alert(by("missing", ""), told(4))
	if log := a.await(alertFailed, 2); !strings.Contains(log, "AlertProvider prod/missing does not exist") {
		t.Errorf("the log says %q", log)
	}
	foreign := by("secret", "")
	foreign[0].ProviderRef.Namespace = "other"
	a.Alert(foreign, told(5))
	if log := a.await(alertFailed, 3); !strings.Contains(log, "references across namespaces are switched off") {
		t.Errorf("the log says %q", log)
	}
}

// An Alerter that ends finishes what is on its way and drops what waits.
func TestAlertsEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	chat := newChat(t, func(int, http.ResponseWriter, *http.Request) { cancel() })
	a := newAlerting(t, AlerterOptions{Sources: oneChat(v1beta1.AlertWebhook, chat.URL)})
	a.Alert(by("chat", ""), told(1))
	if err := a.Start(ctx); err != nil {
		t.Fatal(err)
	}
	a.await(alertDelivered, 1)
	a.Alert(by("chat", ""), told(2))
	a.await(alertDropped, 1)
	if got := chat.calls(); len(got) != 1 {
		t.Errorf("it got %q", got)
	}
}
