package reconciler

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// world is what was gathered for one decision: the decision's own view, and the objects behind it that carrying out the plan needs.
type world struct {
	canary   *v1beta1.Canary
	observed core.Observed

	// kind reads and writes what the target is.
	kind adapter
	// target and primary are nil while they do not exist. There is no primary of a target that is a Service, but a copy: primaryService.
	target, primary *unstructured.Unstructured
	// targetService is the target where it is a Service; nil otherwise.
	targetService *corev1.Service
	// label tells target and primary apart; empty while it is unknown.
	label revision.SelectorLabel
	// snapshots are those of the target, in no order.
	snapshots []revision.Stored
	// live is the target's present revision, nil while it cannot be read.
	live *revision.Snapshot
	// inherited is what a primary runs that Flagger made, and the contents of its configs; nil of any other primary.
	inherited *inheritance
	// configs are the referenced configs that were looked for, by key.
	configs map[string]foundConfig
	// unlabelled are referenced configs that lack the label which brings them into the cache.
	unlabelled []client.Object
	// apex, primaryService and canaryService are nil while they do not exist.
	apex, primaryService, canaryService *corev1.Service
	// scalers are the autoscaler that the Canary names and the primary's copy of it, formerScalers those that it named before.
	scalers, formerScalers scalers
	// recheck is when to look again for what no watch announces; 0 when there is nothing of that kind.
	recheck time.Duration
}

// problem notes a finding that a person must hear of.
func (w *world) problem(blocks bool, reason, format string, args ...any) {
	w.observed.Problems = append(w.observed.Problems, core.Problem{Reason: reason, Message: fmt.Sprintf(format, args...), Blocks: blocks})
}

// gather observes the world around a Canary. It fails when the API server or the cache does; what is merely wrong with the user's objects
// becomes a problem. The world that it returns with an error is incomplete.
func (r *Reconciler) gather(ctx context.Context, c *v1beta1.Canary) (*world, error) {
	w := &world{canary: c, configs: map[string]foundConfig{}}
	w.observed = core.Observed{
		Now:          r.Clock.Now(),
		Canary:       c,
		EventWebhook: r.EventWebhook != "",
		Leaving:      !c.DeletionTimestamp.IsZero() || c.Annotations[v1beta1.AnnotationLeave] == "true",
	}
	var err error
	if w.observed.Winner, err = r.winner(ctx, c); err != nil || w.observed.Winner != "" {
		// Whoever yields looks at nothing, so that it cannot touch anything.
		r.refs.drop(client.ObjectKeyFromObject(c))
		return w, err
	}
	// The order is that of need: a later step looks at what an earlier one found.
	for _, step := range []func(context.Context, *world) error{
		r.gatherNamespace,
		r.gatherValidity,
		r.gatherTraffic,
		r.gatherWorkloads,
		r.gatherScalers,
		r.gatherSnapshots,
		r.gatherLive,
		r.gatherInherited,
		r.gatherPodHash,
		r.gatherImages,
		r.gatherServices,
		r.gatherRoute,
		r.gatherAnswers,
		r.gatherVerb,
	} {
		if err := step(ctx, w); err != nil {
			return w, err
		}
	}
	return w, nil
}

// gatherNamespace looks whether the whole namespace goes away, which matters to a Canary that is being deleted only.
func (r *Reconciler) gatherNamespace(ctx context.Context, w *world) error {
	if w.canary.DeletionTimestamp.IsZero() {
		return nil
	}
	ns := &corev1.Namespace{}
	if err := r.Live.Get(ctx, client.ObjectKey{Name: w.canary.Namespace}, ns); err != nil {
		if apierrors.IsForbidden(err) {
			// Installed without rights beyond some namespaces. Giving back then runs into the termination, which does no harm.
			return nil
		}
		return client.IgnoreNotFound(err)
	}
	w.observed.NamespaceTerminating = !ns.DeletionTimestamp.IsZero()
	return nil
}

// gatherValidity keeps a Canary that admission would have refused from starting a rollout: what it asks for must not be guessed at, such as
// conditions of an A/B test on a provider that would send everybody. A rollout under way goes on.
func (r *Reconciler) gatherValidity(_ context.Context, w *world) error {
	if r.Judge == nil || w.canary.Status.Rollout != nil {
		return nil
	}
	for _, denial := range r.Judge(w.canary) {
		w.problem(true, "InvalidSpec", "%s", denial)
	}
	return nil
}

func (r *Reconciler) gatherTraffic(_ context.Context, w *world) error {
	t, err := r.Router.Traffic(w.canary)
	if err != nil {
		w.problem(true, "ProviderUnknown", "%v", err)
		return nil
	}
	w.observed.Traffic = t
	return nil
}

// gatherRoute reads the route, and sees to it that its changes wake the Canary.
func (r *Reconciler) gatherRoute(ctx context.Context, w *world) error {
	kinds, err := r.Router.Watches(w.canary)
	if err != nil {
		// The provider is unknown, which gatherTraffic has reported.
		return nil
	}
	for _, k := range kinds {
		if err := r.ensureWatch(k); err != nil {
			return fmt.Errorf("watch %s: %w", k.Kind, err)
		}
	}
	route, err := r.Router.Read(ctx, w.canary)
	if err != nil {
		return fmt.Errorf("read the route: %w", err)
	}
	w.observed.Route = route
	phase := w.canary.Status.Phase
	if w.observed.Traffic.BeforePods && w.primary == nil && !route.Exists && route.Problem != "" && (phase == "" || phase == v1beta1.PhaseInitializing) {
		w.problem(!w.observed.Leaving, "RouteNotAccepted", "%s", route.Problem)
	}
	return nil
}

// gatherAnswers collects what has come back of the checks that earlier plans asked for.
func (r *Reconciler) gatherAnswers(_ context.Context, w *world) error {
	name := client.ObjectKeyFromObject(w.canary)
	w.observed.Answers = map[string]core.Answer{}
	for key := range r.askedChecks(name) {
		if a, ok := r.Checker.Answer(name, key); ok {
			w.observed.Answers[key] = core.Answer{Verdict: a.Verdict, Value: a.Value, Threshold: a.Threshold, Message: a.Message, At: a.Time}
		}
	}
	return nil
}

// find reads an object through the cache, and from the API server where the cache does not know it: it may lack the label by which the
// cache selects, and a lost label must not be taken for a deletion. A nil result means that the object does not exist.
func find[T client.Object](ctx context.Context, r *Reconciler, key client.ObjectKey, into T) (T, error) {
	var none T
	err := r.Client.Get(ctx, key, into)
	if err == nil {
		return latest(r.written, into), nil
	}
	if !apierrors.IsNotFound(err) {
		return none, fmt.Errorf("read %s %s: %w", kindOf(into), key, err)
	}
	err = r.Live.Get(ctx, key, into)
	if apierrors.IsNotFound(err) {
		into.SetNamespace(key.Namespace)
		into.SetName(key.Name)
		r.written.gone(into)
		return none, nil
	}
	if err != nil {
		return none, fmt.Errorf("read %s %s: %w", kindOf(into), key, err)
	}
	return into, nil
}
