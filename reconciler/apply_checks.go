package reconciler

import (
	"context"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/analysis/check"
	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// applyChecks asks what the plan asks, and drops answers that no plan looks at any more. A call under way is left to end.
func (r *Reconciler) applyChecks(_ context.Context, w *world, plan core.Plan) error {
	name := client.ObjectKeyFromObject(w.canary)
	wanted := map[string]bool{}
	for _, c := range plan.Checks {
		req, ok := r.request(w.canary, c)
		if !ok {
			continue
		}
		wanted[c.Key] = true
		r.Checker.Ask(req)
	}
	for _, key := range r.askedKeys(name) {
		if wanted[key] {
			continue
		}
		if _, answered := r.Checker.Answer(name, key); answered {
			r.Checker.Forget(name, key)
			continue
		}
		wanted[key] = true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(wanted) == 0 {
		delete(r.asked, name)
		return nil
	}
	r.asked[name] = wanted
	return nil
}

// askedKeys returns the keys of the checks whose answers are kept for a Canary.
func (r *Reconciler) askedKeys(name types.NamespacedName) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.asked[name]))
}

// request makes the question of a check. A check that the Canary does not have any more is none.
func (r *Reconciler) request(c *v1beta1.Canary, ask core.Check) (check.Request, bool) {
	req := check.Request{
		Key:            ask.Key,
		Canary:         c,
		Provider:       c.Spec.Provider,
		MetricsServer:  c.Spec.MetricsServer,
		Phase:          ask.Phase,
		Checksum:       ask.Checksum,
		IdempotencyKey: ask.Key,
	}
	if req.Provider == "" {
		req.Provider = r.Provider
	}
	if req.MetricsServer == "" {
		req.MetricsServer = r.MetricsServer
	}
	if ro := c.Status.Rollout; ro != nil {
		req.PodTemplateHash = ro.PodHash
	}
	switch a := &c.Spec.Analysis; {
	case ask.Kind == v1beta1.CheckMetric && ask.Index < len(a.Metrics):
		req.Metric = &a.Metrics[ask.Index]
	case ask.Kind == v1beta1.CheckWebhook && ask.Index < len(a.Webhooks):
		req.Webhook = &a.Webhooks[ask.Index]
	default:
		return check.Request{}, false
	}
	return req, true
}
