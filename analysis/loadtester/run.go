package loadtester

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"
)

// grace is how long open calls and tasks have for coming to an end.
const grace = 30 * time.Second

// Config describes a load tester.
type Config struct {
	// NamespaceRegexp matches the whole of each namespace that is served; empty serves all.
	NamespaceRegexp string
	// Timeout bounds a task.
	Timeout time.Duration
	// MaxTasks loads run at once, and as many checks and programs, while at most MaxQueue loads wait.
	MaxTasks, MaxQueue int
	// Gates remembers which gates are open; nil keeps them in memory, where they end with the process.
	Gates Gates
	// Tokens says who may start tasks and set gates; nil allows everybody everything.
	Tokens Tokens
	// Programs are the commands that tasks may run, at most MaxTasks at once; nil allows none.
	Programs Programs
	// Log receives what is worth knowing.
	Log *zap.Logger
}

func (c Config) check() (*regexp.Regexp, error) {
	switch {
	case c.Timeout <= 0:
		return nil, fmt.Errorf("timeout %s is not positive: use for example 1h", c.Timeout)
	case c.MaxTasks < 1:
		return nil, fmt.Errorf("max-tasks %d: at least 1 task must be able to run", c.MaxTasks)
	case c.MaxQueue < 1:
		return nil, fmt.Errorf("max-queue %d: at least 1 task must be able to wait", c.MaxQueue)
	case c.NamespaceRegexp == "":
		return nil, nil
	}
	namespaces, err := regexp.Compile("^(?:" + c.NamespaceRegexp + ")$")
	if err != nil {
		return nil, fmt.Errorf("namespace-regexp %q: %w", c.NamespaceRegexp, err)
	}
	return namespaces, nil
}

// Run serves on a listener until the context ends. It then refuses new calls, aborts running tasks and returns once all is quiet,
// at the latest after 30 seconds. The listener is closed in any case.
func Run(ctx context.Context, c Config, listener net.Listener) error {
	defer listener.Close()
	namespaces, err := c.check()
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m := newMetrics(registry)
	queueCtx, stopQueue := context.WithCancel(context.WithoutCancel(ctx))
	defer stopQueue()
	s := &server{
		queue: newQueue(c.MaxTasks, c.MaxQueue, c.Timeout, c.Log, m),
		gates: c.Gates, namespaces: namespaces, tokens: c.Tokens, metrics: m, log: c.Log,
		programs: c.Programs, examining: make(chan struct{}, c.MaxTasks), timeout: c.Timeout, stopping: queueCtx,
	}
	if s.gates == nil {
		s.gates = newMemoryGates()
	}
	httpServer := &http.Server{
		Handler:           s.handler(registry),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          zap.NewStdLog(c.Log),
	}

	quiet := make(chan struct{})
	go func() {
		defer close(quiet)
		s.queue.run(queueCtx)
	}()
	failed := make(chan error, 1)
	go func() { failed <- httpServer.Serve(listener) }()
	c.Log.Info("serving", zap.Stringer("address", listener.Addr()))

	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	c.Log.Info("stopping")
	stopQueue()
	graceCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err = httpServer.Shutdown(graceCtx)
	select {
	case <-quiet:
	case <-graceCtx.Done():
		err = errors.Join(err, fmt.Errorf("load tasks still run %s after the end was asked for", grace))
	}
	return err
}
