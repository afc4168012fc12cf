package analysis

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-dev/sluice/analysis/alert"
	"github.com/sluice-dev/sluice/analysis/internal/httpx"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Bounds of what waits to be sent. Beyond them the oldest alert to a chat is dropped, and any to one more chat.
const (
	maxWaiting = 64
	maxChats   = 256
)

// Outcomes of an alert, as sluice_alerts_total calls them.
const (
	alertDelivered = "delivered"
	alertFailed    = "failed"
	alertDropped   = "dropped"
)

// GlobalAlerts is the chat of Canaries that name none.
type GlobalAlerts struct {
	alert.Chat
	// Token is sent to Slack as a bearer token; Proxy is the URL of a proxy. Both may be empty.
	Token, Proxy string
}

// AlerterOptions are the outside of an Alerter.
type AlerterOptions struct {
	// Sources finds AlertProviders and their Secrets.
	Sources AlertSources
	// Global is told of Canaries without alerts of their own; nil tells nobody.
	Global *GlobalAlerts
	// Cluster is named in each alert; empty names none.
	Cluster string
	// Transport serves chats without a proxy; nil means one with bounded waiting.
	Transport http.RoundTripper
	// Pauses between the attempts at one alert; nil means the defaults. Timeout bounds one attempt, 10 s when zero.
	Pauses  []time.Duration
	Timeout time.Duration
	// UserAgent names the caller, such as sluice/1.2.3.
	UserAgent string
	// NoCrossNamespaceRefs refuses AlertProviders of other namespaces than the Canary's.
	NoCrossNamespaceRefs bool
	// Registry counts alerts by outcome; nil counts none.
	Registry prometheus.Registerer
	Log      logr.Logger
}

// Alerter sends alerts in the background. Each chat has a bounded queue of its own and gets its alerts in order, so that one that hangs delays no
// other. Alerts wait until Start runs. It is safe for concurrent use.
type Alerter struct {
	o     AlerterOptions
	total *prometheus.CounterVec

	mu    sync.Mutex
	ctx   context.Context // of Start; nil before
	ended bool
	chats map[destination]*outbox
	done  sync.WaitGroup
}

// destination is a chat: the AlertProvider of a name, or the global one where that is empty.
type destination struct {
	namespace, name string
}

// posting is one message on its way to one chat.
type posting struct {
	to destination
	// alert is the name that the Canary gives it.
	alert   string
	message alert.Message
}

// outbox are the postings that wait for a chat. It exists while there are any, or one is under way.
type outbox struct {
	waiting []posting
	running bool
}

// NewAlerter returns an Alerter. A registry that has its metric already is an error.
func NewAlerter(o AlerterOptions) (*Alerter, error) {
	o.Timeout = cmp.Or(o.Timeout, alertTimeout)
	if o.Pauses == nil {
		o.Pauses = alertPauses
	}
	if o.Transport == nil {
		o.Transport = httpx.NewTransport(false)
	}
	a := &Alerter{o: o, chats: map[destination]*outbox{}, total: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_alerts_total", Help: "Alerts to chats, by what became of them.",
	}, []string{"outcome"})}
	if o.Registry != nil {
		if err := o.Registry.Register(a.total); err != nil {
			return nil, err
		}
	}
	for _, outcome := range []string{alertDelivered, alertFailed, alertDropped} {
		a.total.WithLabelValues(outcome)
	}
	return a, nil
}

// Alert has a message told to the alerts of its Canary that want it, to the global chat where the Canary has none. It never waits.
func (a *Alerter) Alert(alerts []v1beta1.CanaryAlert, m alert.Message) {
	if a.o.Cluster != "" {
		m.Fields = append([]alert.Field{{Name: "Cluster", Value: a.o.Cluster}}, m.Fields...)
	}
	if len(alerts) == 0 && a.o.Global != nil {
		a.put(posting{message: m})
	}
	for _, al := range alerts {
		if alert.Wants(al.Severity, m.Severity) {
			to := destination{namespace: cmp.Or(al.ProviderRef.Namespace, m.Namespace), name: al.ProviderRef.Name}
			a.put(posting{to: to, alert: al.Name, message: m})
		}
	}
}

// put queues a posting, at the cost of the oldest one where there is no room.
func (a *Alerter) put(p posting) {
	a.mu.Lock()
	defer a.mu.Unlock()
	box := a.chats[p.to]
	switch {
	case a.ended, box == nil && len(a.chats) >= maxChats:
		a.drop(p)
		return
	case box == nil:
		box = &outbox{}
		a.chats[p.to] = box
	case len(box.waiting) >= maxWaiting:
		a.drop(box.waiting[0])
		box.waiting = box.waiting[1:]
	}
	box.waiting = append(box.waiting, p)
	a.run(p.to, box)
}

// drop counts and logs what is not sent.
func (a *Alerter) drop(p posting) {
	a.o.Log.Error(errors.New("too many alerts wait for this chat, or this replica ends"), "an alert was dropped", p.words()...)
	a.total.WithLabelValues(alertDropped).Inc()
}

// words say in a log which alert it is about.
func (p posting) words() []any {
	provider := "global"
	if p.to.name != "" {
		provider = p.to.namespace + "/" + p.to.name
	}
	return []any{
		"canary", p.message.Canary + "." + p.message.Namespace, "alert", p.alert, "provider", provider,
		"severity", p.message.Severity, "reason", p.message.Reason,
	}
}

// run serves a chat unless it is served already. The lock is held.
func (a *Alerter) run(to destination, box *outbox) {
	if a.ctx == nil || box.running {
		return
	}
	box.running = true
	a.done.Add(1)
	go a.serve(to, box)
}

// serve sends what waits for a chat, one after the other, until nothing does.
func (a *Alerter) serve(to destination, box *outbox) {
	defer a.done.Done()
	for {
		a.mu.Lock()
		if a.ended || len(box.waiting) == 0 {
			for _, p := range box.waiting {
				a.drop(p)
			}
			delete(a.chats, to)
			a.mu.Unlock()
			return
		}
		p := box.waiting[0]
		box.waiting = box.waiting[1:]
		a.mu.Unlock()

		if err := a.deliver(a.ctx, p); err != nil {
			a.o.Log.Error(err, "an alert was not delivered", p.words()...)
			a.total.WithLabelValues(alertFailed).Inc()
			continue
		}
		a.total.WithLabelValues(alertDelivered).Inc()
	}
}

// Start sends alerts until the context ends; an attempt that is under way then is finished, what waits is dropped.
func (a *Alerter) Start(ctx context.Context) error {
	a.mu.Lock()
	if a.ctx != nil {
		a.mu.Unlock()
		return errors.New("the sender of alerts was started twice")
	}
	a.ctx = ctx
	for to, box := range a.chats {
		a.run(to, box)
	}
	a.mu.Unlock()

	<-ctx.Done()
	a.mu.Lock()
	a.ended = true
	a.mu.Unlock()
	a.done.Wait()
	return nil
}
