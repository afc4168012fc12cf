package main

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"
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
