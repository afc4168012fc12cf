package loadtester

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// bench is a queue whose loads end when the test says so.
type bench struct {
	*queue
	t       *testing.T
	began   chan *Load
	finish  chan Summary
	logs    *observer.ObservedLogs
	stop    context.CancelFunc
	stopped chan struct{}
}

func newBench(t *testing.T, workers, length int, timeout time.Duration) *bench {
	core, logs := observer.New(zapcore.DebugLevel)
	b := &bench{t: t, began: make(chan *Load, 100), finish: make(chan Summary), logs: logs, stopped: make(chan struct{})}
	b.queue = newQueue(workers, length, timeout, zap.New(core), newMetrics(prometheus.NewRegistry()))
	ctx, cancel := context.WithCancel(context.Background())
	b.stop = cancel
	go func() {
		defer close(b.stopped)
		b.run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-b.stopped
	})
	return b
}

// held is a load that is not sent, and ends when the test says so.
type held struct {
	*Load
	b *bench
}

func (h held) Send(ctx context.Context) (Summary, error) {
	b := h.b
	b.began <- h.Load
	if h.Method == "PANIC" {
		panic("odd load")
	}
	select {
	case s := <-b.finish:
		return s, nil
	case <-ctx.Done():
		return Summary{Requests: 1, Codes: map[string]int{"200": 1}}, context.Cause(ctx)
	}
}

func (b *bench) must(canary, text string) {
	b.t.Helper()
	if err := b.add(task{canary: canary, command: text, load: held{command(b.t, text), b}, logged: true}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) logged(message string) bool { return b.logs.FilterMessage(message).Len() > 0 }

// value reads a counter or gauge.
func value(t *testing.T, metric prometheus.Metric) float64 {
	t.Helper()
	var m dto.Metric
	if err := metric.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}

const first, second = "hey http://first", "hey http://second"

func TestQueueRunsOnce(t *testing.T) {
	b := newBench(t, 3, 10, time.Hour)
	b.must("a.test", first)
	<-b.began
	b.must("a.test", first) // runs
	b.must("b.test", first)
	<-b.began
	b.must("a.test", second)
	<-b.began
	if n := value(t, b.metrics.duplicates); n != 1 {
		t.Errorf("%v duplicates, want 1", n)
	}
	for range 3 {
		b.finish <- Summary{Requests: 5, Codes: map[string]int{"200": 4}, Errors: map[string]int{"reset": 1}}
	}
	eventually(t, "all have finished", func() bool { return b.logs.FilterMessage("load task finished").Len() == 3 })
	eventually(t, "the command can run again", func() bool {
		b.must("a.test", first)
		return value(t, b.metrics.started) == 4
	})
	if n := value(t, b.metrics.requests.WithLabelValues("200")); n != 12 {
		t.Errorf("%v requests with 200, want 12", n)
	}
	if n := value(t, b.metrics.requests.WithLabelValues("error")); n != 3 {
		t.Errorf("%v requests without answer, want 3", n)
	}
	if !b.logged("load task output") {
		t.Error("the summary was not logged")
	}
}

func TestQueueIsBounded(t *testing.T) {
	b := newBench(t, 1, 2, time.Hour)
	b.must("a.test", first)
	<-b.began
	b.must("b.test", first)
	b.must("c.test", first)
	b.must("c.test", first) // waits already
	if err := b.add(task{canary: "d.test", command: first, load: command(t, first)}); !errors.Is(err, errFull) {
		t.Errorf("add = %v, want errFull", err)
	}
	if running, queued := value(t, b.metrics.running), value(t, b.metrics.queued); running != 1 || queued != 2 {
		t.Errorf("%v running and %v queued, want 1 and 2", running, queued)
	}
	b.finish <- Summary{}
	<-b.began
	if err := b.add(task{canary: "d.test", command: first, load: command(t, first)}); err != nil {
		t.Errorf("after one has ended: %v", err)
	}
}

func TestQueueFailures(t *testing.T) {
	b := newBench(t, 1, 5, 20*time.Millisecond)
	b.must("a.test", first)
	eventually(t, "the time is over", func() bool { return value(t, b.metrics.failed.WithLabelValues("timeout")) == 1 })

	odd := command(t, first)
	odd.Method = "PANIC"
	if err := b.add(task{canary: "a.test", command: "odd", load: held{odd, b}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the panic is caught", func() bool { return value(t, b.metrics.failed.WithLabelValues("internal")) == 1 })

	c := newBench(t, 1, 5, time.Hour)
	c.must("a.test", first)
	c.finish <- Summary{Requests: 2, Errors: map[string]int{"refused": 2}}
	eventually(t, "nobody answered", func() bool { return value(t, c.metrics.failed.WithLabelValues("unanswered")) == 1 })
	if c.logged("load task finished") {
		t.Error("a load without answers counts as finished")
	}
}

func TestQueueStops(t *testing.T) {
	b := newBench(t, 2, 5, time.Hour)
	for i := range 4 {
		b.must(fmt.Sprint(i), first)
	}
	<-b.began
	<-b.began
	b.stop()
	select {
	case <-b.stopped:
	case <-time.After(time.Minute):
		t.Fatal("the queue does not stop")
	}
	if n := len(b.began); n != 0 {
		t.Errorf("%d tasks began after the end", n)
	}
	if n := value(t, b.metrics.failed.WithLabelValues("stopped")); n != 2 {
		t.Errorf("%v tasks count as stopped, want 2", n)
	}
	if err := b.add(task{canary: "z", command: first, load: command(t, first)}); !errors.Is(err, errStopped) {
		t.Errorf("add = %v, want errStopped", err)
	}
}
