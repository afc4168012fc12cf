package loadtester

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Reasons why a task is not taken.
var (
	errFull    = errors.New("too many load tasks are waiting: try again later, or raise --max-queue or --max-tasks")
	errStopped = errors.New("the load tester is stopping")
)

// errTimeout cuts off a task.
var errTimeout = errors.New("the task took longer than the load tester allows (--timeout)")

// sender is a load that can be sent.
type sender interface {
	// Send returns when the load is through, or the context ended; see Load.Send.
	Send(ctx context.Context) (Summary, error)
	// String describes the load without anything confidential.
	String() string
}

// task is a load asked for by a Canary.
type task struct {
	canary  string // name.namespace
	command string // as sent
	load    sender
	logged  bool // the summary is of interest
}

// key tells tasks apart: the same command of the same Canary runs once at a time.
func (t task) key() string { return t.canary + "\x00" + t.command }

// queue runs tasks, a bounded number at a time. It is safe for concurrent use.
type queue struct {
	workers int
	timeout time.Duration
	log     *zap.Logger
	metrics *metrics
	waiting chan task

	mu      sync.Mutex
	known   map[string]bool // keys waiting or running
	stopped bool
}

// newQueue returns a queue that keeps at most length tasks waiting while workers tasks run. Nothing runs before run is called.
func newQueue(workers, length int, timeout time.Duration, log *zap.Logger, m *metrics) *queue {
	return &queue{
		workers: workers, timeout: timeout, log: log, metrics: m,
		waiting: make(chan task, length), known: map[string]bool{},
	}
}

// add takes a task. One that is already waiting or running is left at that.
func (q *queue) add(t task) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stopped {
		return errStopped
	}
	if q.known[t.key()] {
		q.metrics.duplicates.Inc()
		return nil
	}
	select {
	case q.waiting <- t:
		q.known[t.key()] = true
		q.metrics.queued.Inc()
		return nil
	default:
		return errFull
	}
}

// run works until the context ends, which aborts what runs and drops what waits, and returns when all is quiet.
func (q *queue) run(ctx context.Context) {
	var workers sync.WaitGroup
	for range q.workers {
		workers.Go(func() { q.work(ctx) })
	}
	<-ctx.Done()
	q.mu.Lock()
	q.stopped = true
	q.mu.Unlock()
	workers.Wait()
}

func (q *queue) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-q.waiting:
			q.metrics.queued.Dec()
			if ctx.Err() == nil {
				q.do(ctx, t)
			}
			q.mu.Lock()
			delete(q.known, t.key())
			q.mu.Unlock()
		}
	}
}

// do runs one task and accounts for it.
func (q *queue) do(ctx context.Context, t task) {
	log := q.log.With(zap.String("canary", t.canary), zap.Stringer("load", t.load))
	log.Info("load task started")
	q.metrics.started.Inc()
	q.metrics.running.Inc()
	defer q.metrics.running.Dec()

	ctx, cancel := context.WithTimeoutCause(ctx, q.timeout, errTimeout)
	defer cancel()
	summary, err := q.guarded(ctx, t.load)
	q.metrics.sent(summary)
	if t.logged {
		log.Info("load task output", zap.Stringer("summary", summary))
	}
	switch {
	case errors.Is(err, errTimeout):
		q.metrics.failed.WithLabelValues("timeout").Inc()
		log.Warn("load task cut off", zap.Error(err))
	case errors.Is(err, context.Canceled):
		q.metrics.failed.WithLabelValues("stopped").Inc()
		log.Info("load task cut off: the load tester is stopping")
	case err != nil:
		q.metrics.failed.WithLabelValues("internal").Inc()
		log.Error("load task failed", zap.Error(err))
	case summary.Requests > 0 && summary.Failed() == summary.Requests:
		q.metrics.failed.WithLabelValues("unanswered").Inc()
		log.Warn("load task failed: no request was answered", zap.Stringer("summary", summary))
	default:
		log.Info("load task finished")
	}
}

// guarded turns a panic into an error: one odd load must not end the process.
func (q *queue) guarded(ctx context.Context, l sender) (s Summary, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return l.Send(ctx)
}
