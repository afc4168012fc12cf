package main

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	admission "sigs.k8s.io/controller-runtime/pkg/webhook"
)

// drain stops a replica without a refused admission request. API servers learn from the endpoints that a replica goes; until all of them have,
// its listener has to stay open.
type drain struct {
	period   time.Duration
	draining atomic.Bool
}

// stopping returns a context that ends one period after the one given, or with the returned function. Readiness goes at once.
func (d *drain) stopping(ctx context.Context) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(ctx, func() {
		d.draining.Store(true)
		timer := time.NewTimer(d.period)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-late.Done():
		}
	})
	return late, func() {
		unhook()
		cancel()
	}
}

// ready is a healthz.Checker.
func (d *drain) ready(*http.Request) error {
	if d.draining.Load() {
		return errors.New("shutting down: open connections are still served")
	}
	return nil
}

// drained is a webhook server that sends its callers away while the replica drains.
type drained struct {
	admission.Server
	drain *drain
}

// Register implements [admission.Server].
func (s drained) Register(path string, hook http.Handler) {
	s.Server.Register(path, s.drain.closing(hook))
}

// closing ends each connection with an answer of this replica's while it drains. API servers keep connections for their next requests; one that
// is closed at the end only, between two requests, may be chosen for a request just then, and that one fails.
func (d *drain) closing(hook http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		hook.ServeHTTP(w, r)
	})
}
