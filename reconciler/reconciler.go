package reconciler

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

const (
	// reconcileTimeout bounds one reconcile. It makes a few calls to the API server at most.
	reconcileTimeout = time.Minute
	// conflictRetry is how soon a decision that was overtaken is made again: as soon as the cache may have caught up.
	conflictRetry = 20 * time.Millisecond
	// missingRetry is how often something that no watch can announce is looked for while it is missing.
	missingRetry = 5 * time.Second
)

// fieldManager names Sluice's writes in managedFields. The router uses the same name.
const fieldManager = client.FieldOwner("sluice")

// Options is all that a Reconciler is made of. Client, Live, Router, Checker, Clock, Recorder and Metrics are required.
type Options struct {
	// Client reads from a cache made with CacheOptions and writes to the API server; see ClientOptions.
	Client client.Client
	// Live reads from the API server.
	Live client.Reader
	// Router and Checker are the edges to traffic providers, metrics and hooks.
	Router  Router
	Checker Checker
	// Alerter tells people what happens to Canaries; nil tells nobody.
	Alerter Alerter
	Clock   clock.PassiveClock
	// Recorder records events on Canaries.
	Recorder events.EventRecorder
	Metrics  *Metrics
	// Judge tells what is wrong in itself with a Canary, by the rules of admission, which may have been away when it was stored; nil judges
	// nothing.
	Judge func(*v1beta1.Canary) []string
	// SelectorLabels are the label keys among which a target's selector label is sought; revision.DefaultSelectorLabels when empty.
	SelectorLabels []string
	// IncludeLabelPrefixes choose the target's labels that its primary gets too; none when empty.
	IncludeLabelPrefixes []string
	// Provider and MetricsServer are used by Canaries that name none.
	Provider      string
	MetricsServer string
	// EventWebhook is the URL that events of Canaries without event hooks are told to; empty tells nobody.
	EventWebhook string
	// VerbKey is what admission signs verbs of operators with; nil looks at no verbs.
	VerbKey func(context.Context) ([]byte, error)
	// IgnoreConfigs leaves ConfigMaps and Secrets out of revisions.
	IgnoreConfigs bool
}

// Reconciler drives Canaries. Its memory only saves work: a new one takes over at any moment from what is stored in the cluster.
type Reconciler struct {
	Options
	written *written
	refs    refIndex
	settled settled
	purging purging
	drifts  drifts

	mu       sync.Mutex
	asked    map[types.NamespacedName]map[string]v1beta1.CheckKind
	queue    workqueue.TypedRateLimitingInterface[reconcile.Request]
	watching map[schema.GroupVersionKind]bool
	watch    func(schema.GroupVersionKind, handler.MapFunc, predicate.Predicate) error
}

// New returns a Reconciler. It does nothing before SetupWithManager registers it, or Reconcile is called.
func New(o Options) *Reconciler {
	if len(o.SelectorLabels) == 0 {
		o.SelectorLabels = revision.DefaultSelectorLabels()
	}
	return &Reconciler{
		Options:  o,
		written:  newWritten(o.Clock),
		refs:     refIndex{},
		asked:    map[types.NamespacedName]map[string]v1beta1.CheckKind{},
		watching: map[schema.GroupVersionKind]bool{},
	}
}

// Reconcile decides on one Canary and carries the plan out.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, reconcileTimeout, fmt.Errorf("no end after %s", reconcileTimeout))
	defer cancel()

	canary, err := r.canary(ctx, req.NamespacedName)
	if err != nil || canary == nil {
		return ctrl.Result{}, err
	}
	if givenBack(canary) {
		return ctrl.Result{}, nil
	}
	if young := r.unripe(canary); young > 0 {
		return ctrl.Result{RequeueAfter: young}, nil
	}
	return r.decide(ctx, canary)
}

// decide gathers, decides and carries out, once.
func (r *Reconciler) decide(ctx context.Context, canary *v1beta1.Canary) (ctrl.Result, error) {
	watch := stopwatch{clock: r.Clock, start: r.Clock.Now()}
	w, err := r.gather(ctx, canary)
	r.Metrics.took(partGather, watch.lap())
	if err != nil {
		return ctrl.Result{}, r.failed(w, err)
	}
	plan := core.Decide(w.observed)
	r.Metrics.decided(plan.Rule)
	r.Metrics.took(partDecide, watch.lap())
	err = r.apply(ctx, w, plan)
	r.Metrics.took(partApply, watch.lap())
	r.Metrics.round(w.canary, watch.total)
	if apierrors.IsConflict(err) {
		logr.FromContextOrDiscard(ctx).V(1).Info("overtaken by a newer change, deciding again", "cause", err.Error())
		return ctrl.Result{RequeueAfter: conflictRetry}, nil
	}
	if errors.Is(err, errGone) {
		r.forget(client.ObjectKeyFromObject(canary))
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, r.failed(w, err)
	}
	return ctrl.Result{RequeueAfter: soonest(plan.RequeueAfter, w.recheck)}, nil
}

// stopwatch tells how long the parts of a reconcile took.
type stopwatch struct {
	clock clock.PassiveClock
	start time.Time
	total time.Duration
}

// lap returns the time since the last lap.
func (s *stopwatch) lap() time.Duration {
	total := s.clock.Since(s.start)
	lap := total - s.total
	s.total = total
	return lap
}

// canary returns the Canary with the status that was last written, nil when it is gone.
func (r *Reconciler) canary(ctx context.Context, name types.NamespacedName) (*v1beta1.Canary, error) {
	c := &v1beta1.Canary{}
	err := r.Client.Get(ctx, name, c)
	if apierrors.IsNotFound(err) {
		r.forget(name)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Canary %s: %w", name, err)
	}
	return latest(r.written, c), nil
}

// forget drops what is remembered of a Canary that is gone.
func (r *Reconciler) forget(name types.NamespacedName) {
	r.Checker.Forget(name, "")
	r.Metrics.forget(name)
	r.refs.drop(name)
	r.drifts.forget(name)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.asked, name)
}

// failed tells people of an error that keeps a plan from being carried out, and returns it for the retry.
func (r *Reconciler) failed(w *world, err error) error {
	if w != nil && !errors.Is(err, context.Canceled) {
		r.record(w.canary, "Warning", "ReconcileFailed", "Reconcile", err.Error())
	}
	return err
}

// soonest returns the shorter of two waits, where zero waits for nothing.
func soonest(a, b time.Duration) time.Duration {
	if a == 0 || (b != 0 && b < a) {
		return b
	}
	return a
}
