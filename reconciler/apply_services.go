package reconciler

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/sluice-dev/sluice/reconciler/core"
)

// applyServices brings the three Services to the plan.
func (r *Reconciler) applyServices(ctx context.Context, w *world, plan core.Plan) error {
	if w.canary.TargetsService() {
		return r.applyCopies(ctx, w, plan)
	}
	intent := plan.Services
	if intent == nil || w.label.Key == "" {
		return nil
	}
	apex := intent.Apex
	if apex == core.SideUnknown && w.apex == nil {
		// Nobody is served through a Service that does not exist yet, so nobody is led astray.
		apex = core.SidePrimary
	}
	services := []struct {
		role role
		at   **corev1.Service
		side core.Side
		pin  string
	}{
		{rolePrimary, &w.primaryService, core.SideUnknown, ""},
		{roleCanary, &w.canaryService, core.SideUnknown, intent.Pin},
		// Users come last: what they are sent to is there by then.
		{roleApex, &w.apex, apex, intent.ApexPin},
	}
	for _, s := range services {
		if s.role != roleApex && apex == core.SideTarget && !intent.Both {
			// The application is being given back; what still exists goes soon.
			continue
		}
		next, err := r.ensureService(ctx, *s.at, w.serviceFor(s.role, *s.at, w.selectorFor(s.role, s.side, s.pin)))
		if err != nil {
			return err
		}
		*s.at = next
	}
	return nil
}

func (r *Reconciler) ensureService(ctx context.Context, existing, want *corev1.Service) (*corev1.Service, error) {
	if existing == nil {
		return want, r.create(ctx, want)
	}
	_, err := r.patch(ctx, existing, want)
	return want, err
}

// applyBeforePrimary writes what has to be there before the primary's first pods are.
func (r *Reconciler) applyBeforePrimary(ctx context.Context, w *world, plan core.Plan) error {
	if plan.Primary == nil || w.primary != nil || !w.observed.Traffic.BeforePods {
		return nil
	}
	return r.Router.Prepare(ctx, w.canary, w.pods())
}

// pods is the label by which the pods of both sides are told apart; empty where it is not known.
func (w *world) pods() core.PodLabel {
	if w.label.Key == "" {
		return core.PodLabel{}
	}
	return core.PodLabel{Key: w.label.Key, Target: w.label.Value, Primary: w.label.Primary().Value}
}

// applyRoute brings the route to the plan, at the version that was decided on.
func (r *Reconciler) applyRoute(ctx context.Context, w *world, plan core.Plan) error {
	if plan.Route == nil {
		return nil
	}
	intent := *plan.Route
	if intent.Version == "" {
		intent.Version = w.observed.Route.Version
	}
	intent.Pods = w.pods()
	_, err := r.Router.Write(ctx, w.canary, intent)
	if meta.IsNoMatchError(err) {
		// Reading the route has reported the missing kind; the plan looks again.
		return nil
	}
	return err
}
