package reconciler

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/reconciler/core"
)

// effect carries out one part of a plan. It writes nothing where the world is so already.
type effect struct {
	name  string
	carry func(context.Context, *world, core.Plan) error
}

// effects are in the order in which a crash between any two of them does no harm: the status, which holds the intent, is stored before all
// of them; what is needed to go back is stored before anything is changed; capacity comes before the traffic that needs it, and traffic is moved
// before a target is scaled.
func (r *Reconciler) effects() []effect {
	return []effect{
		{"store the revision", r.applySnapshots},
		{"set the finalizer", r.applyFinalizer},
		{"label target and configs", r.applyTracking},
		{"unlabel configs that nothing references", r.applyUntracking},
		{"write the autoscalers", r.applyScalers},
		{"write what the primary's pods are part of", r.applyBeforePrimary},
		{"write the primary", r.applyPrimary},
		{"write the Services", r.applyServices},
		{"write the route", r.applyRoute},
		{"write the target", r.applyTarget},
		{"ask checks", r.applyChecks},
		{"take a verb off", r.applyVerb},
		{"purge histories", r.applyPurge},
		{"point out what selects the target only", r.pointOutBystanders},
	}
}

// apply carries a plan out.
func (r *Reconciler) apply(ctx context.Context, w *world, plan core.Plan) error {
	if err := r.applyStatus(ctx, w, plan); err != nil {
		return fmt.Errorf("store the status: %w", err)
	}
	r.tell(ctx, w, plan)
	if plan.LetGo {
		r.forget(client.ObjectKeyFromObject(w.canary))
		return r.letGo(ctx, w)
	}
	if plan.GiveBack {
		// Nothing else: what the plan would ensure is about to be taken away.
		return r.giveBack(ctx, w)
	}
	for _, e := range r.effects() {
		if err := e.carry(ctx, w, plan); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	return nil
}

// errGone tells that the Canary itself was deleted while it was decided about.
var errGone = errors.New("the Canary is gone")

// applyStatus stores the status if it differs from the observed one; of one that differs in words only not each is stored. A status that was
// written by somebody else in the meantime is a conflict.
func (r *Reconciler) applyStatus(ctx context.Context, w *world, plan core.Plan) error {
	if equality.Semantic.DeepEqual(w.canary.Status, plan.Status) {
		return nil
	}
	if hold := holdWords(w.canary.Status, plan, w.observed.Now); hold > 0 {
		w.recheck = soonest(w.recheck, hold)
		return nil
	}
	next := w.canary.DeepCopy()
	plan.Status.DeepCopyInto(&next.Status)
	patch := client.MergeFromWithOptions(w.canary, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, next, patch, fieldManager); err != nil {
		if apierrors.IsNotFound(err) {
			return errGone
		}
		return err
	}
	r.written.wrote(next)
	r.Metrics.moved(next, &w.canary.Status, w.observed.Traffic)
	w.canary = next
	return nil
}

// tell records the plan's events, with the same words in the log.
func (r *Reconciler) tell(ctx context.Context, w *world, plan core.Plan) {
	log := logr.FromContextOrDiscard(ctx)
	r.Metrics.caughtUp(plan.CaughtUp)
	for _, e := range plan.Events {
		log.Info(e.Message, "reason", e.Reason, "rule", plan.Rule, "canary", w.canary.Name+"."+w.canary.Namespace)
		r.Recorder.Eventf(w.canary, nil, e.Type, e.Reason, action(plan.Rule), "%s", oneNote(e.Message))
		r.alert(w, plan, e)
	}
	for _, what := range plan.Untold {
		log.Error(nil, "an event hook was not told", "event", what, "canary", w.canary.Name+"."+w.canary.Namespace)
	}
}

// Limits of the events API, in bytes.
const (
	maxNote   = 1024
	maxAction = 128
)

func action(rule string) string {
	if rule == "" {
		return "Decide"
	}
	return rule[:min(len(rule), maxAction)]
}

// oneNote cuts a message to what an event may hold.
func oneNote(message string) string {
	if len(message) <= maxNote {
		return message
	}
	const more = " …"
	cut := maxNote - len(more)
	for cut > 0 && message[cut]&0xC0 == 0x80 {
		cut--
	}
	return message[:cut] + more
}

// patch writes the difference between two states of an object, at the version of the first, and remembers the result. It tells whether there
// was a difference. It is a merge patch: fields that this program does not know are neither read nor written by it.
func (r *Reconciler) patch(ctx context.Context, from, to client.Object) (bool, error) {
	if equality.Semantic.DeepEqual(from, to) {
		return false, nil
	}
	p := client.MergeFromWithOptions(from, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, to, p, fieldManager); err != nil {
		return false, fmt.Errorf("%s %s: %w", kindOf(to), to.GetName(), err)
	}
	r.written.wrote(to)
	return true, nil
}

// create makes an object and remembers it.
func (r *Reconciler) create(ctx context.Context, o client.Object) error {
	if err := r.Client.Create(ctx, o, fieldManager); err != nil {
		return fmt.Errorf("%s %s: %w", kindOf(o), o.GetName(), err)
	}
	r.written.wrote(o)
	return nil
}

// remove deletes the very object that was read; one that is gone already is fine.
func (r *Reconciler) remove(ctx context.Context, o client.Object) error {
	uid := o.GetUID()
	err := r.Client.Delete(ctx, o, client.Preconditions{UID: &uid}, client.PropagationPolicy("Background"))
	if err = client.IgnoreNotFound(err); err != nil {
		return fmt.Errorf("%s %s: %w", kindOf(o), o.GetName(), err)
	}
	r.written.gone(o)
	return nil
}
