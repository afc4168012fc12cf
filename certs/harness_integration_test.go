//go:build integration

package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sluice-dev/sluice/api/testserver"
)

const (
	patience = 3 * time.Minute
	interval = 50 * time.Millisecond
)

// apiServer is the API server that the tests of this package share.
var apiServer *rest.Config

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	// The HTTP servers report here that a client refused their certificate, which these tests do on purpose.
	stdlog.SetOutput(io.Discard)
	os.Exit(testserver.Run(testserver.Options{}, func(s *testserver.Server) int {
		apiServer = s.Config
		return m.Run()
	}))
}

// world is a namespace with the webhook configurations of one installation, and replicas behind one address.
type world struct {
	t       *testing.T
	client  client.Client
	opts    Options
	balance *balancer
}

// newWorld creates a namespace, and configurations of the same name whose webhooks are called for ConfigMaps in it.
func newWorld(t *testing.T, opts Options) *world {
	t.Helper()
	c, err := client.New(apiServer, client.Options{Scheme: scheme.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	opts.ExtraDNSNames = []string{"localhost"}
	w := &world{t: t, client: c, opts: opts.withDefaults(), balance: newBalancer(t)}
	w.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: opts.Namespace}})
	return w
}

func (w *world) create(object client.Object) {
	w.t.Helper()
	if err := w.client.Create(w.t.Context(), object); err != nil {
		w.t.Fatalf("creating %T %s: %v", object, object.GetName(), err)
	}
}

// createConfigurations creates both configurations, the validating one with two webhooks.
func (w *world) createConfigurations() {
	w.t.Helper()
	url := "https://" + w.balance.address() + "/admit"
	fail, none := admissionv1.Fail, admissionv1.SideEffectClassNone
	timeout := testserver.WebhookTimeout
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: w.opts.Namespace}}
	rules := []admissionv1.RuleWithOperations{{
		Operations: []admissionv1.OperationType{admissionv1.Create},
		Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
	}}
	validating := func(name string) admissionv1.ValidatingWebhook {
		return admissionv1.ValidatingWebhook{
			Name: name, ClientConfig: admissionv1.WebhookClientConfig{URL: &url}, Rules: rules, FailurePolicy: &fail, SideEffects: &none,
			NamespaceSelector: selector, AdmissionReviewVersions: []string{"v1"}, TimeoutSeconds: &timeout,
		}
	}
	w.create(&admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: w.opts.ValidatingConfiguration},
		Webhooks:   []admissionv1.ValidatingWebhook{validating("one.sluice.dev"), validating("two.sluice.dev")},
	})
	w.create(&admissionv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: w.opts.MutatingConfiguration},
		Webhooks: []admissionv1.MutatingWebhook{{
			Name: "three.sluice.dev", ClientConfig: admissionv1.WebhookClientConfig{URL: &url}, Rules: rules, FailurePolicy: &fail, SideEffects: &none,
			NamespaceSelector: selector, AdmissionReviewVersions: []string{"v1"}, TimeoutSeconds: &timeout,
		}},
	})
	w.t.Cleanup(func() {
		for _, c := range w.configurations() {
			if err := w.client.Delete(context.Background(), c.object); client.IgnoreNotFound(err) != nil {
				w.t.Errorf("deleting %s: %v", c, err)
			}
		}
	})
}

func (w *world) configurations() []configuration {
	return []configuration{validatingConfiguration(w.opts.ValidatingConfiguration), mutatingConfiguration(w.opts.MutatingConfiguration)}
}

// stored returns the configurations as the API server holds them now.
func (w *world) stored() []configuration {
	w.t.Helper()
	all := w.configurations()
	for _, c := range all {
		if err := w.client.Get(w.t.Context(), client.ObjectKeyFromObject(c.object), c.object); err != nil {
			w.t.Fatalf("reading %s: %v", c, err)
		}
	}
	return all
}

// versions returns the resourceVersions of the CA Secret and the configurations.
func (w *world) versions() string {
	w.t.Helper()
	out := []string{w.secret().ResourceVersion}
	for _, c := range w.stored() {
		out = append(out, c.object.GetResourceVersion())
	}
	return strings.Join(out, " ")
}

func (w *world) secret() *corev1.Secret {
	w.t.Helper()
	var secret corev1.Secret
	if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.opts.Namespace, Name: w.opts.CASecret}, &secret); err != nil {
		w.t.Fatalf("reading the CA Secret: %v", err)
	}
	return &secret
}

// bundlesAre reports whether every webhook of every configuration carries exactly these certificates.
func (w *world) bundlesAre(want ...*x509.Certificate) error {
	for _, c := range w.stored() {
		for i, bundle := range c.publication().bundles {
			if !bytes.Equal(bundle, encodeBundle(want)) {
				return fmt.Errorf("%s: webhook %d carries %d certificates, want the %d given", c, i, len(decodeBundle(bundle)), len(want))
			}
		}
	}
	return nil
}

// eventually polls until the condition holds.
func (w *world) eventually(what string, condition func() error) {
	w.t.Helper()
	var last error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if last = condition(); last == nil {
			return
		}
		select {
		case <-w.t.Context().Done():
			w.t.Fatalf("%s: %v", what, w.t.Context().Err())
		case <-time.After(interval):
		}
	}
	w.t.Fatalf("%s: not within %s: %v", what, patience, last)
}

// admit sends one request through all webhooks.
func (w *world) admit() error {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	return w.client.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.opts.Namespace, GenerateName: "probe-"}}, client.DryRunAll)
}

// load admits requests until the returned function is called, once it has sent enough of them to tell something. That returns how many and the errors.
func (w *world) load() (stop func(enough int64) (int64, []error)) {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	var sent atomic.Int64
	var failures []error
	go func() {
		defer close(done)
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				if err := w.admit(); err != nil {
					failures = append(failures, fmt.Errorf("%s: %w", time.Now().Format("15:04:05.000"), err))
				}
				sent.Add(1)
			}
		}
	}()
	return func(enough int64) (int64, []error) {
		w.t.Helper()
		w.eventually("requests are sent", func() error {
			if n := sent.Load(); n < enough {
				return fmt.Errorf("%d of %d", n, enough)
			}
			return nil
		})
		cancel()
		<-done
		return sent.Load(), failures
	}
}

// replica is one process of Sluice, as far as its certificates go.
type replica struct {
	source  Source
	address string
	stop    func()
}

// start runs a replica with the identity given by the config, and puts it behind the balancer.
func (w *world) start(identity *rest.Config) *replica {
	w.t.Helper()
	source, err := New(w.opts)
	if err != nil {
		w.t.Fatal(err)
	}
	port := testserver.FreePort(w.t)
	server := webhook.NewServer(webhook.Options{Host: "127.0.0.1", Port: port, TLSOpts: []func(*tls.Config){source.TLS}})
	server.Register("/admit", &admission.Webhook{Handler: admission.HandlerFunc(func(context.Context, admission.Request) admission.Response {
		return admission.Allowed("")
	})})
	logger := logr.Discard()
	if testing.Verbose() {
		logger = zap.New(zap.UseDevMode(true), zap.WriteTo(w.t.Output())).WithValues("replica", port)
	}
	shared := true
	mgr, err := manager.New(identity, manager.Options{
		Scheme:        scheme.Scheme,
		Logger:        logger,
		Metrics:       metricsserver.Options{BindAddress: "0"},
		WebhookServer: server,
		Controller:    config.Controller{SkipNameValidation: &shared},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := mgr.Add(server); err != nil {
		w.t.Fatal(err)
	}
	if err := source.SetupWithManager(mgr); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	r := &replica{source: source, address: fmt.Sprintf("127.0.0.1:%d", port)}
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		w.balance.remove(r.address)
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("replica ended: %v", err)
		}
	}
	w.t.Cleanup(r.stop)
	w.balance.add(r.address)
	return r
}

// ready waits until the replica says that it is.
func (w *world) ready(replicas ...*replica) {
	w.t.Helper()
	for _, r := range replicas {
		w.eventually("replica is ready", func() error { return r.source.Ready(nil) })
	}
}

// handshake connects to the replica as an API server that trusts the bundle would, and returns the leaf it was shown.
func (r *replica) handshake(bundle []byte) (*x509.Certificate, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		return nil, errors.New("the bundle holds no certificate")
	}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", r.address, &tls.Config{RootCAs: roots, ServerName: "localhost"})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0], nil
}

// balancer forwards connections to the replicas in turn, as a Service does.
type balancer struct {
	listener net.Listener
	backends atomic.Pointer[[]string]
	turn     atomic.Int64
}

func newBalancer(t *testing.T) *balancer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{listener: listener}
	b.backends.Store(&[]string{})
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go b.forward(conn)
		}
	}()
	return b
}

func (b *balancer) address() string {
	return fmt.Sprintf("localhost:%d", b.listener.Addr().(*net.TCPAddr).Port)
}

func (b *balancer) add(address string) {
	backends := append([]string{address}, *b.backends.Load()...)
	b.backends.Store(&backends)
}

func (b *balancer) remove(address string) {
	var backends []string
	for _, a := range *b.backends.Load() {
		if a != address {
			backends = append(backends, a)
		}
	}
	b.backends.Store(&backends)
}

func (b *balancer) forward(in net.Conn) {
	defer in.Close()
	backends := *b.backends.Load()
	if len(backends) == 0 {
		return
	}
	out, err := net.Dial("tcp", backends[int(b.turn.Add(1))%len(backends)])
	if err != nil {
		return
	}
	defer out.Close()
	finished := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1])
			finished <- struct{}{}
		}()
	}
	<-finished
}
