package analysis_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/analysis/check"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

// lab runs checks that last until the test lets them end.
type lab struct {
	*analysis.Runner
	t        *testing.T
	mu       sync.Mutex
	order    []string                 // canary/key, as started
	calls    map[string]int           // by canary/key
	running  map[string]int           // by canary
	most     map[string]int           // by canary
	slow     map[string]chan struct{} // by canary/key: ends when closed
	notified chan types.NamespacedName
	ended    chan error
	stop     context.CancelFunc
}

func newLab(t *testing.T, concurrency, perCanary int) *lab {
	l := &lab{
		t: t, calls: map[string]int{}, running: map[string]int{}, most: map[string]int{},
		slow: map[string]chan struct{}{}, notified: make(chan types.NamespacedName, 1000), ended: make(chan error, 1),
	}
	l.Runner = analysis.NewRunner(analysis.RunnerOptions{
		Check: l.check, Notify: func(n types.NamespacedName) { l.notified <- n },
		Concurrency: concurrency, PerCanary: perCanary, Log: logr.Discard(),
	})
	return l
}

func (l *lab) start() {
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	go func() { l.ended <- l.Start(ctx) }()
	l.t.Cleanup(cancel)
}

// hold makes a check last until the returned function is called.
func (l *lab) hold(id string) (release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ch := make(chan struct{})
	l.slow[id] = ch
	return sync.OnceFunc(func() { close(ch) })
}

func (l *lab) check(ctx context.Context, req check.Request) check.Result {
	id := req.Canary.Name + "/" + req.Key
	l.mu.Lock()
	l.order = append(l.order, id)
	l.calls[id]++
	call := l.calls[id]
	l.running[req.Canary.Name]++
	l.most[req.Canary.Name] = max(l.most[req.Canary.Name], l.running[req.Canary.Name])
	held := l.slow[id]
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.running[req.Canary.Name]--
		l.mu.Unlock()
	}()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return check.Result{Key: req.Key, Verdict: v1beta1.VerdictError, Message: context.Cause(ctx).Error()}
		}
	}
	if req.Key == "panic" {
		panic("odd answer")
	}
	return check.Result{Key: req.Key, Verdict: v1beta1.VerdictPass, Message: fmt.Sprintf("%s, call %d", req.Canary.Labels["note"], call)}
}

func request(canaryName, key string) check.Request {
	c := canary()
	c.Name = canaryName
	c.Labels = map[string]string{"note": "asked"}
	return check.Request{Key: key, Canary: c, Metric: &v1beta1.CanaryMetric{Name: "m"}}
}

func named(canaryName string) types.NamespacedName {
	return types.NamespacedName{Namespace: "test", Name: canaryName}
}

func (l *lab) eventually(what string, condition func() bool) {
	l.t.Helper()
	deadline := time.After(time.Minute)
	for tick := time.Tick(time.Millisecond); !condition(); {
		select {
		case <-deadline:
			l.t.Fatalf("never: %s", what)
		case <-tick:
		}
	}
}

func (l *lab) await(canaryName, key string) check.Result {
	l.t.Helper()
	var result check.Result
	l.eventually("answer "+canaryName+"/"+key, func() (ok bool) {
		result, ok = l.Answer(named(canaryName), key)
		return ok
	})
	return result
}

func (l *lab) called(id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls[id]
}

func TestAskOnce(t *testing.T) {
	l := newLab(t, 0, 0)
	req := request("a", "k")
	l.Ask(req)
	l.Ask(req)
	if _, ok := l.Answer(named("a"), "k"); ok {
		t.Error("answered before Start")
	}
	// What is asked is a copy: the caller may reuse its object.
	req.Canary.Labels["note"] = "changed"
	release := l.hold("a/k")
	l.start()
	l.eventually("the check runs", func() bool { return l.called("a/k") == 1 })
	l.Ask(request("a", "k"))
	release()
	if got := l.await("a", "k"); got.Message != "asked, call 1" {
		t.Errorf("answer %+v", got)
	}
	if n := <-l.notified; n != named("a") {
		t.Errorf("notified of %s", n)
	}
	l.Ask(request("a", "k"))
	l.Ask(request("a", "other"))
	l.await("a", "other")
	if l.called("a/k") != 1 {
		t.Errorf("asked %d times", l.called("a/k"))
	}
	if _, ok := l.Answer(named("b"), "k"); ok {
		t.Error("the answer of one Canary is that of another")
	}
}

func TestSlowChecksDelayOnlyTheirCanary(t *testing.T) {
	l := newLab(t, 4, 2)
	l.start()
	var releases []func()
	for i := range 20 {
		releases = append(releases, l.hold(fmt.Sprintf("slow/%d", i)))
		l.Ask(request("slow", fmt.Sprint(i)))
	}
	for i := range 20 {
		l.Ask(request("quick", fmt.Sprint(i)))
	}
	for i := range 20 {
		l.await("quick", fmt.Sprint(i))
	}
	if _, ok := l.Answer(named("slow"), "0"); ok {
		t.Error("the slow check has an answer")
	}
	for _, release := range releases {
		release()
	}
	for i := range 20 {
		l.await("slow", fmt.Sprint(i))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.most["slow"] != 2 || l.most["quick"] > 2 {
		t.Errorf("at once: %v, want 2 per Canary", l.most)
	}
}

// However many Canaries name endpoints that hang, the next one is served.
func TestManyHangingCanariesDelayNobodyElse(t *testing.T) {
	const hanging = 200
	l := newLab(t, 16, 8)
	l.start()
	for i := range hanging {
		name := fmt.Sprintf("hanging-%d", i)
		for n := range 8 {
			t.Cleanup(l.hold(fmt.Sprintf("%s/%d", name, n)))
			l.Ask(request(name, fmt.Sprint(n)))
		}
	}
	for i := range 50 {
		name := fmt.Sprintf("quick-%d", i)
		l.Ask(request(name, "0"))
		l.Ask(request(name, "1"))
	}
	for i := range 50 {
		l.await(fmt.Sprintf("quick-%d", i), "0")
		l.await(fmt.Sprintf("quick-%d", i), "1")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	running := 0
	for name, n := range l.running {
		running += n
		if n > 8 {
			t.Errorf("%s has %d checks under way", name, n)
		}
	}
	if running > 16+hanging {
		t.Errorf("%d checks under way, want at most 16 and one of each Canary", running)
	}
}

func TestCanariesTakeTurns(t *testing.T) {
	l := newLab(t, 1, 1)
	release := l.hold("a/0")
	for i := range 10 {
		l.Ask(request("a", fmt.Sprint(i)))
	}
	l.Ask(request("b", "0"))
	l.start()
	// The one of a is still under way, and nine more of it were asked before.
	l.await("b", "0")
	release()
	for i := range 10 {
		l.await("a", fmt.Sprint(i))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.most["a"] != 1 {
		t.Errorf("%d checks of a at once, want 1", l.most["a"])
	}
}

func TestForget(t *testing.T) {
	l := newLab(t, 1, 1)
	release := l.hold("a/rev1/running")
	defer release()
	l.start()
	l.Ask(request("a", "rev1/done"))
	l.Ask(request("a", "rev2/done"))
	l.await("a", "rev2/done")
	l.Ask(request("a", "rev1/running"))
	l.eventually("the check runs", func() bool { return l.called("a/rev1/running") == 1 })
	l.Ask(request("a", "rev1/waiting"))
	l.Ask(request("a", "rev2/waiting"))
	l.Ask(request("a", "rev10/waiting"))

	l.Forget(named("a"), "rev1/d") // covers nothing
	if _, ok := l.Answer(named("a"), "rev1/done"); !ok {
		t.Error("a prefix that ends within a word forgets rev1/done")
	}
	l.Forget(named("a"), "rev1")
	l.Forget(named("nobody"), "")
	l.await("a", "rev2/waiting") // so the running one has given way
	l.await("a", "rev10/waiting")
	for _, key := range []string{"rev1/done", "rev1/running", "rev1/waiting"} {
		if result, ok := l.Answer(named("a"), key); ok {
			t.Errorf("%s is remembered: %+v", key, result)
		}
	}
	if _, ok := l.Answer(named("a"), "rev2/done"); !ok {
		t.Error("rev2/done was forgotten")
	}
	if l.called("a/rev1/waiting") != 0 {
		t.Error("a forgotten check was run")
	}

	release()
	l.Ask(request("a", "rev1/done"))
	if got := l.await("a", "rev1/done"); got.Message != "asked, call 2" {
		t.Errorf("asked anew: %+v", got)
	}
	l.Forget(named("a"), "")
	if _, ok := l.Answer(named("a"), "rev2/done"); ok {
		t.Error("an empty prefix forgets all")
	}
}

// A check that is asked anew while its forgotten predecessor still runs gets its own answer.
func TestForgetAndAskAgain(t *testing.T) {
	l := newLab(t, 2, 2)
	release := l.hold("a/k")
	l.start()
	l.Ask(request("a", "k"))
	l.eventually("the first runs", func() bool { return l.called("a/k") == 1 })
	l.Forget(named("a"), "k")
	l.Ask(request("a", "k"))
	l.eventually("the second runs", func() bool { return l.called("a/k") == 2 })
	release()
	if got := l.await("a", "k"); got.Message != "asked, call 2" {
		t.Errorf("answer %+v", got)
	}
	if <-l.notified; len(l.notified) != 0 {
		t.Error("the forgotten check gave notice")
	}
}

func TestPanicIsAnAnswer(t *testing.T) {
	l := newLab(t, 1, 1)
	l.start()
	l.Ask(request("a", "panic"))
	if got := l.await("a", "panic"); got.Verdict != v1beta1.VerdictError || got.Name != "m" || got.Key != "panic" {
		t.Errorf("answer %+v", got)
	}
	l.Ask(request("a", "k"))
	l.await("a", "k")
}

func TestEnd(t *testing.T) {
	l := newLab(t, 1, 1)
	defer l.hold("a/running")()
	l.start()
	l.Ask(request("a", "running"))
	l.Ask(request("a", "waiting"))
	l.eventually("the check runs", func() bool { return l.called("a/running") == 1 })
	l.stop()
	if err := <-l.ended; err != nil {
		t.Error(err)
	}
	l.Ask(request("b", "late"))
	for _, key := range []string{"running", "waiting"} {
		if result, ok := l.Answer(named("a"), key); ok {
			t.Errorf("%s was cut off and has an answer: %+v", key, result)
		}
	}
	if l.called("a/waiting")+l.called("b/late") != 0 || len(l.notified) != 0 {
		t.Error("something was started or told after the end")
	}
	if err := l.Start(t.Context()); err == nil {
		t.Error("started twice")
	}
}
