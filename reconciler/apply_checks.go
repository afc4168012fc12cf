package reconciler

import (
	"cmp"
	"context"
	"maps"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/analysis/check"
	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// applyChecks asks what the plan asks, and drops answers that no plan looks at any more. A call under way is left to end.
func (r *Reconciler) applyChecks(_ context.Context, w *world, plan core.Plan) error {
	name := client.ObjectKeyFromObject(w.canary)
	asked, wanted := r.askedChecks(name), map[string]v1beta1.CheckKind{}
	for _, c := range plan.Checks {
		req, ok := r.request(w.canary, c)
		if !ok {
			continue
		}
		wanted[c.Key] = c.Kind
		if _, again := asked[c.Key]; !again {
			r.Metrics.asks(c.Kind)
		}
		r.Checker.Ask(req)
	}
	for key, kind := range asked {
		if _, still := wanted[key]; still {
			continue
		}
		if answer, answered := r.Checker.Answer(name, key); answered {
			r.Metrics.answers(kind, answer.Verdict)
			r.Checker.Forget(name, key)
			continue
		}
		wanted[key] = kind
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

// askedChecks returns the checks whose answers are kept for a Canary, by key.
func (r *Reconciler) askedChecks(name types.NamespacedName) map[string]v1beta1.CheckKind {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.asked[name])
}

// podTemplateHash is the label of the pods under analysis; empty without any, and of a Service, whose pods are not known by one.
func podTemplateHash(c *v1beta1.Canary) string {
	if ro := c.Status.Rollout; ro != nil && !c.TargetsService() {
		return ro.PodHash
	}
	return ""
}

// request makes the question of a check. A check that the Canary does not have any more is none.
func (r *Reconciler) request(c *v1beta1.Canary, ask core.Check) (check.Request, bool) {
	req := check.Request{
		Key:            ask.Key,
		Canary:         c,
		Provider:       cmp.Or(c.Spec.Provider, r.Provider),
		MetricsServer:  cmp.Or(c.Spec.MetricsServer, r.MetricsServer),
		Phase:          ask.Phase,
		Checksum:       ask.Checksum,
		Metadata:       ask.Metadata,
		IdempotencyKey: ask.Key,
	}
	if ask.OnPrimary {
		// Queries take the pods of the target from its name; the Service keeps the one it has.
		req.Canary = c.DeepCopy()
		req.Canary.Spec.Service.Name, _, _ = c.ServiceNames()
		req.Canary.Spec.TargetRef.Name = c.PrimaryName()
	} else {
		req.PodTemplateHash = podTemplateHash(c)
	}
	switch a := &c.Spec.Analysis; {
	case ask.Kind == v1beta1.CheckMetric && ask.Index < len(a.Metrics):
		req.Metric = &a.Metrics[ask.Index]
	case ask.Kind == v1beta1.CheckWebhook && ask.Index == v1beta1.CommonHook:
		req.Webhook = r.eventWebhook()
	case ask.Kind == v1beta1.CheckWebhook && ask.Index < len(a.Webhooks):
		req.Webhook = &a.Webhooks[ask.Index]
	default:
		return check.Request{}, false
	}
	return req, true
}
