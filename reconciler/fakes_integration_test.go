//go:build integration

package reconciler

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/analysis/check"
	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// fakeRouter is a traffic provider that accepts every route at once.
type fakeRouter struct {
	mu      sync.Mutex
	routes  map[string]core.Route
	weights []int
	notify  func(types.NamespacedName)
	// before sees each split that is about to be written, in one write after the other; nil for nobody.
	before func(core.Split)
	// prepare makes what has to be there before the primary has pods; nil for a provider without any. problem is what a route that is missing has.
	prepare func(*v1beta1.Canary, core.PodLabel) error
	problem string
}

func (r *fakeRouter) Traffic(c *v1beta1.Canary) (core.Traffic, error) {
	if c.Spec.Provider == "istio" {
		return core.Traffic{}, fmt.Errorf("provider istio is not available; use gatewayapi:v1")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return core.Traffic{
		Weighted: true, Matches: true, Mirrors: true, Cookies: true, Drain: 10 * time.Millisecond, BeforePods: r.prepare != nil,
	}, nil
}

func (r *fakeRouter) Watches(*v1beta1.Canary) ([]schema.GroupVersionKind, error) { return nil, nil }

func (r *fakeRouter) Read(_ context.Context, c *v1beta1.Canary) (core.Route, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	route := r.routes[c.Namespace]
	if !route.Exists {
		route.Problem = r.problem
	}
	return route, nil
}

func (r *fakeRouter) Prepare(_ context.Context, c *v1beta1.Canary, pods core.PodLabel) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.prepare(c, pods)
}

func (r *fakeRouter) Write(_ context.Context, c *v1beta1.Canary, i core.RouteIntent) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.routes[c.Namespace]
	next := core.Route{Split: i.Split, Exists: true, ViaApex: i.ViaApex, Accepted: true, Version: old.Version}
	if i.KeepFence {
		next.Fence = old.Fence
	}
	if next == old {
		return false, nil
	}
	if i.Version != old.Version {
		return false, apierrors.NewConflict(schema.GroupResource{Resource: "routes"}, c.Name, fmt.Errorf("version %s is not %s", i.Version, old.Version))
	}
	if r.before != nil {
		r.before(i.Split)
	}
	next.Version = old.Version + "1"
	r.routes[c.Namespace] = next
	r.weights = append(r.weights, i.Canary)
	go r.notify(client.ObjectKeyFromObject(c))
	return true, nil
}

// Fence is what admission does on any replica.
func (r *fakeRouter) Fence(_ context.Context, c *v1beta1.Canary, f v1beta1.Fence) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := r.routes[c.Namespace]
	if !next.Exists {
		return nil
	}
	if !core.FenceKeepsSplit(c) {
		next.Split = core.Split{Primary: 100}
	}
	next.Fence, next.Version = &f, next.Version+"f"
	r.routes[c.Namespace] = next
	r.weights = append(r.weights, next.Canary)
	go r.notify(client.ObjectKeyFromObject(c))
	return nil
}

// at returns the canary's share, and whether a fence stands.
func (r *fakeRouter) at(namespace string) (canary int, fenced bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.routes[namespace].Canary, r.routes[namespace].Fence != nil
}

// written returns the canary's share in each write, in order.
func (r *fakeRouter) written() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.weights)
}

func (r *fakeRouter) GiveBack(_ context.Context, c *v1beta1.Canary) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.routes, c.Namespace)
	return nil
}

// fakeChecker passes every check while it is open, and answers none while it is not.
type fakeChecker struct {
	mu      sync.Mutex
	open    bool
	verdict v1beta1.Verdict
	asked   map[string]check.Request
	// silent picks the checks that are never answered; nil for none.
	silent func(check.Request) bool
	// metric answers metrics; nil has them answered as hooks are.
	metric func(check.Request) check.Result
	// answered are the revisions of which a check has passed.
	answered map[string]bool
	notify   func(types.NamespacedName)
}

func (f *fakeChecker) set(open bool, verdict v1beta1.Verdict) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open, f.verdict = open, verdict
	for _, req := range f.asked {
		go f.notify(req.CanaryName())
	}
}

func (f *fakeChecker) Ask(req check.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.asked[req.Key]; ok {
		return
	}
	if f.asked == nil {
		f.asked = map[string]check.Request{}
	}
	f.asked[req.Key] = req
	go f.notify(req.CanaryName())
}

func (f *fakeChecker) Answer(_ types.NamespacedName, key string) (check.Result, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	req, ok := f.asked[key]
	if ok && f.silent != nil && f.silent(req) {
		return check.Result{}, false
	}
	if ok && f.open && f.metric != nil && req.Metric != nil {
		return f.metric(req), true
	}
	verdict := f.verdict
	if verdict == "" {
		verdict = v1beta1.VerdictPass
	}
	if ok && f.open && verdict == v1beta1.VerdictPass && req.Checksum != "" {
		if f.answered == nil {
			f.answered = map[string]bool{}
		}
		f.answered[req.Checksum] = true
	}
	return check.Result{Key: req.Key, Verdict: verdict, Message: "as the test says", Time: time.Now()}, ok && f.open
}

func (f *fakeChecker) Forget(_ types.NamespacedName, prefix string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k := range f.asked {
		if strings.HasPrefix(k, prefix) {
			delete(f.asked, k)
		}
	}
}
