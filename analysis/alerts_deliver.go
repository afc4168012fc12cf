package analysis

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/analysis/alert"
	"github.com/sluice-dev/sluice/analysis/internal/httpx"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Keys of an AlertProvider's Secret.
const (
	alertAddress = "address"
	alertToken   = "token" // only sent to Slack
)

const (
	alertTimeout  = 10 * time.Second
	longestAsked  = time.Minute      // that a chat may have us wait for
	sourceTimeout = 10 * time.Second // to read the AlertProvider and its Secret
)

// alertPauses are between the attempts at one alert.
var alertPauses = []time.Duration{2 * time.Second, 10 * time.Second, 30 * time.Second}

// deliver sends a posting, again where the chat surely did not take it: no connection came about, or it answered that it could not now. What a lost
// answer was about is not sent twice. Errors name neither the address nor anything that came back.
func (a *Alerter) deliver(ctx context.Context, p posting) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %T", r)
		}
	}()
	chat, err := a.chat(ctx, p)
	if err != nil {
		return err
	}
	req, err := alert.Render(chat.Chat, p.message)
	if err != nil {
		return err
	}
	return a.send(ctx, chat, req)
}

// send posts a request until the chat took it, or there is no use in going on.
func (a *Alerter) send(ctx context.Context, chat GlobalAlerts, req alert.Request) error {
	caller, done, err := a.caller(chat)
	if err != nil {
		return err
	}
	defer done()
	call := httpx.Call{Method: http.MethodPost, URL: req.URL, Body: req.Body, Once: true, Header: http.Header{"Content-Type": {"application/json"}}}
	if chat.Token != "" && chat.Type == v1beta1.AlertSlack {
		call.Header.Set("Authorization", "Bearer "+chat.Token)
	}
	for attempt := 0; ; attempt++ {
		// An attempt that has begun is finished, also where the process ends.
		body, err := caller.Do(context.WithoutCancel(ctx), call)
		if err == nil {
			if refused := alert.Refusal(chat.Type, body); refused != "" {
				return errors.New(refused)
			}
			return nil
		}
		after, again := repeatable(err)
		if !again || attempt >= len(a.o.Pauses) || !pause(ctx, max(after, a.o.Pauses[attempt])) {
			return outward(err)
		}
	}
}

// repeatable tells whether an alert may be sent again, and how long the chat asks to wait. Gateways that say 502 or 504 may have passed it on.
func repeatable(err error) (time.Duration, bool) {
	f, ok := errors.AsType[*httpx.Failure](err)
	if !ok || f.After > longestAsked {
		return 0, false
	}
	switch f.Status {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable:
		return f.After, true
	}
	return 0, f.Unsent
}

// outward says what went wrong without what may be secret: the address, and what a server of a tenant's choice answers.
func outward(err error) error {
	f, ok := errors.AsType[*httpx.Failure](err)
	switch {
	case ok && f.Status != 0:
		return fmt.Errorf("the chat answers HTTP %d %s; check the address and the credentials", f.Status, http.StatusText(f.Status))
	case ok && f.Unsent:
		return errors.New("no connection to the chat; check the address, the proxy and the network policy")
	}
	return errors.New("no answer of the chat in time, or a broken one; it is not sent again since it may have arrived")
}

// pause waits, and tells whether the context lasted as long.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// chat finds out where a posting goes.
func (a *Alerter) chat(ctx context.Context, p posting) (GlobalAlerts, error) {
	if p.to.name == "" {
		return *a.o.Global, nil
	}
	ctx, cancel := context.WithTimeout(ctx, sourceTimeout)
	defer cancel()
	if a.o.NoCrossNamespaceRefs && p.to.namespace != p.message.Namespace {
		return GlobalAlerts{}, fmt.Errorf("providerRef names namespace %q, but references across namespaces are switched off: use an AlertProvider in %q",
			p.to.namespace, p.message.Namespace)
	}
	provider, err := a.o.Sources.AlertProvider(ctx, types.NamespacedName{Namespace: p.to.namespace, Name: p.to.name})
	if err != nil {
		return GlobalAlerts{}, err
	}
	s := provider.Spec
	chat := GlobalAlerts{Chat: alert.Chat{Type: s.Type, Address: s.Address, Channel: s.Channel, Username: s.Username}, Proxy: s.Proxy}
	if s.SecretRef == nil {
		return chat, nil
	}
	secret, err := a.o.Sources.SecretData(ctx, types.NamespacedName{Namespace: p.to.namespace, Name: s.SecretRef.Name})
	if err != nil {
		return GlobalAlerts{}, err
	}
	chat.Address, chat.Token = strings.TrimSpace(string(secret[alertAddress])), strings.TrimSpace(string(secret[alertToken]))
	if chat.Address == "" {
		return GlobalAlerts{}, fmt.Errorf("the Secret %s/%s has no key %s; put the hook's URL there", p.to.namespace, s.SecretRef.Name, alertAddress)
	}
	return chat, nil
}

// caller returns what reaches a chat, by its proxy where it has one. done lets go of its connections.
func (a *Alerter) caller(chat GlobalAlerts) (caller *httpx.Caller, done func(), err error) {
	transport, done := a.o.Transport, func() {}
	if chat.Proxy != "" {
		own := httpx.NewTransport(false)
		proxy, err := url.Parse(chat.Proxy)
		if err != nil || proxy.Host == "" {
			return nil, nil, errors.New("the proxy is not a URL; use for example http://proxy:3128")
		}
		own.Proxy = http.ProxyURL(proxy)
		transport, done = own, own.CloseIdleConnections
	}
	return &httpx.Caller{
		// A redirect would turn the message into a question: it counts as refused.
		HTTP:      &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		Timeout:   a.o.Timeout,
		UserAgent: a.o.UserAgent,
		Secrets:   []string{chat.Address, chat.Token, chat.Proxy},
	}, done, nil
}
