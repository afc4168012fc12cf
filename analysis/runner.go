package analysis

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/analysis/check"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Defaults of RunnerOptions.
const (
	DefaultConcurrency = 256
	DefaultPerCanary   = 8
)

// errForgotten ends checks whose result nobody wants any more.
var errForgotten = errors.New("the check is no longer needed")

// RunnerOptions are the outside of a Runner.
type RunnerOptions struct {
	// Check answers one request; it must return soon after its context ends. Required, as a rule (*Checker).Check.
	Check func(context.Context, check.Request) check.Result
	// Notify is told, without any lock held, that an answer for a Canary has arrived. Nil tells nobody.
	Notify func(types.NamespacedName)
	// Concurrency bounds the checks that run at once, but for one of each Canary, which never waits for others; PerCanary bounds those of one
	// Canary. 0 means the defaults.
	Concurrency, PerCanary int
	// Log receives what no result can carry.
	Log logr.Logger
}

// Runner answers requests in the background. Each Canary has a queue of its own and the queues are served in turn, so that slow
// endpoints delay only the Canary that names them.
//
// Requests are kept until Start runs; results until they are forgotten. A Runner is safe for concurrent use.
type Runner struct {
	o RunnerOptions

	mu     sync.Mutex
	ctx    context.Context // of Start, whence that of every check; nil before
	ended  bool            // nothing is started any more
	active int
	lanes  map[types.NamespacedName]*lane
	ready  []*lane // lanes with something to start, in turn
	done   sync.WaitGroup
}

// lane holds the checks of one Canary.
type lane struct {
	canary  types.NamespacedName
	waiting []*job
	jobs    map[string]*job // waiting and running, by key
	results map[string]check.Result
	running int
	ready   bool // in Runner.ready
}

type job struct {
	req    check.Request
	cancel context.CancelCauseFunc // nil while waiting
}

// NewRunner returns a Runner. It asks nothing before Start.
func NewRunner(o RunnerOptions) *Runner {
	if o.Concurrency <= 0 {
		o.Concurrency = DefaultConcurrency
	}
	if o.PerCanary <= 0 {
		o.PerCanary = DefaultPerCanary
	}
	if o.Notify == nil {
		o.Notify = func(types.NamespacedName) {}
	}
	return &Runner{o: o, lanes: map[types.NamespacedName]*lane{}}
}

// Start answers requests until the context ends and the running checks have returned.
func (r *Runner) Start(ctx context.Context) error {
	r.mu.Lock()
	if r.ctx != nil {
		r.mu.Unlock()
		return errors.New("the runner of checks was started twice")
	}
	r.ctx = ctx
	r.dispatch()
	r.mu.Unlock()

	<-ctx.Done()
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	r.done.Wait()
	return nil
}

// Ask has a request answered. A key of the same Canary that is waiting, running or answered is left as it is.
func (r *Runner) Ask(req check.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.lanes[req.CanaryName()]
	if l == nil {
		l = &lane{canary: req.CanaryName(), jobs: map[string]*job{}, results: map[string]check.Result{}}
		r.lanes[l.canary] = l
	}
	if _, asked := l.jobs[req.Key]; asked {
		return
	}
	if _, answered := l.results[req.Key]; answered {
		return
	}
	j := &job{req: detach(req)}
	l.jobs[req.Key] = j
	l.waiting = append(l.waiting, j)
	r.enlist(l)
	r.dispatch()
}

// detach copies what the caller may go on to change.
func detach(req check.Request) check.Request {
	req.Canary = req.Canary.DeepCopy()
	req.Metric = req.Metric.DeepCopy()
	req.Webhook = req.Webhook.DeepCopy()
	req.Template = req.Template.DeepCopy()
	return req
}

// Answer returns the result for a key of a Canary, once there is one.
func (r *Runner) Answer(canary types.NamespacedName, key string) (check.Result, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.lanes[canary]
	if l == nil {
		return check.Result{}, false
	}
	result, ok := l.results[key]
	return result, ok
}

// Forget drops the results and ends the checks of a Canary whose keys have the prefix; an empty prefix means all of them. A prefix
// ends at a slash of the key or with the key, so that a/1 covers a/1 and a/1/x but not a/10. The same keys can be asked anew
// afterwards.
func (r *Runner) Forget(canary types.NamespacedName, prefix string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.lanes[canary]
	if l == nil {
		return
	}
	for key := range l.results {
		if covers(prefix, key) {
			delete(l.results, key)
		}
	}
	for key, j := range l.jobs {
		if !covers(prefix, key) {
			continue
		}
		delete(l.jobs, key)
		if j.cancel != nil {
			j.cancel(errForgotten)
		}
	}
	l.waiting = slices.DeleteFunc(l.waiting, func(j *job) bool { return l.jobs[j.req.Key] != j })
	r.sweep(l)
}

// covers tells whether a key lies under a prefix.
func covers(prefix, key string) bool {
	rest, ok := strings.CutPrefix(key, strings.TrimSuffix(prefix, "/"))
	return ok && (prefix == "" || rest == "" || rest[0] == '/')
}

// enlist puts a lane in line when it has something that may start. The lock is held.
func (r *Runner) enlist(l *lane) {
	if !l.ready && len(l.waiting) > 0 && l.running < r.o.PerCanary {
		l.ready = true
		r.ready = append(r.ready, l)
	}
}

// dispatch starts what may start, one check per lane and turn. The lock is held.
func (r *Runner) dispatch() {
	for r.ctx != nil && !r.ended && r.ctx.Err() == nil {
		l := r.next()
		if l == nil {
			return
		}
		l.ready = false
		if len(l.waiting) == 0 { // forgotten meanwhile
			continue
		}
		j := l.waiting[0]
		l.waiting = l.waiting[1:]
		ctx, cancel := context.WithCancelCause(r.ctx)
		j.cancel = cancel
		l.running++
		r.active++
		r.done.Add(1)
		go r.run(ctx, l, j)
		r.enlist(l)
	}
}

// next takes the lane in line that may start a check: any while there is room, else one that has none running. Without that, Canaries whose
// endpoints hang would take all the room there is. The lock is held.
func (r *Runner) next() *lane {
	i := slices.IndexFunc(r.ready, func(l *lane) bool { return r.active < r.o.Concurrency || l.running == 0 })
	if i < 0 {
		return nil
	}
	l := r.ready[i]
	r.ready = slices.Delete(r.ready, i, i+1)
	return l
}

// run answers one request and makes room for the next.
func (r *Runner) run(ctx context.Context, l *lane, j *job) {
	defer r.done.Done()
	result := r.answer(ctx, j.req)

	r.mu.Lock()
	r.active--
	l.running--
	// A check that was forgotten, or cut off by the end of the process, has no answer.
	wanted := l.jobs[j.req.Key] == j && r.ctx.Err() == nil
	if wanted {
		delete(l.jobs, j.req.Key)
		l.results[j.req.Key] = result
	}
	j.cancel(nil)
	r.enlist(l)
	r.sweep(l)
	r.dispatch()
	r.mu.Unlock()

	if wanted {
		r.o.Notify(l.canary)
	}
}

// answer turns a panic into a result: one odd answer of some endpoint must not end the process.
func (r *Runner) answer(ctx context.Context, req check.Request) (result check.Result) {
	defer func() {
		if p := recover(); p != nil {
			r.o.Log.Error(fmt.Errorf("panic: %v", p), "a check failed inside Sluice", "canary", req.CanaryName(), "key", req.Key, "stack", string(debug.Stack()))
			result = check.Result{Key: req.Key, Verdict: v1beta1.VerdictError, Message: "the check failed inside Sluice; its log has the details"}
			switch {
			case req.Metric != nil:
				result.Kind, result.Name = v1beta1.CheckMetric, req.Metric.Name
			case req.Webhook != nil:
				result.Kind, result.Name = v1beta1.CheckWebhook, req.Webhook.Name
			}
		}
	}()
	return r.o.Check(ctx, req)
}

// sweep removes a lane that holds nothing. The lock is held.
func (r *Runner) sweep(l *lane) {
	if len(l.jobs) == 0 && len(l.results) == 0 && l.running == 0 && r.lanes[l.canary] == l {
		delete(r.lanes, l.canary)
	}
}
