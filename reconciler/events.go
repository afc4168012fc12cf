package reconciler

import (
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/analysis/check"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Events of decisions are told to event hooks by way of the Canary's status, which outlives this process. Those of this file happen while a plan is
// carried out; they are told once, from memory, and one is lost with the process.

// maxTold bounds how many calls for such events wait for one Canary.
const maxTold = 16

// commonHookName is how the controller's own event webhook is called in logs and errors.
const commonHookName = "event-webhook"

// eventWebhook is the hook of Canaries without one of their own.
func (r *Reconciler) eventWebhook() *v1beta1.CanaryWebhook {
	return &v1beta1.CanaryWebhook{Name: commonHookName, Type: v1beta1.HookEvent, URL: r.EventWebhook}
}

// record records an event on a Canary and tells its event hooks. It never waits for them.
func (r *Reconciler) record(c *v1beta1.Canary, typ, reason, action, message string) {
	message = oneNote(message)
	r.Recorder.Eventf(c, nil, typ, reason, action, "%s", message)
	hooks := c.Spec.Analysis.Hooks(v1beta1.HookEvent)
	if len(hooks) == 0 && r.EventWebhook != "" {
		hooks = []v1beta1.CanaryWebhook{*r.eventWebhook()}
	}
	now := r.Clock.Now()
	for i := range hooks {
		key := fmt.Sprintf("%s/%s/event/%s-r%d", c.Namespace, c.Name, strconv.FormatInt(now.UnixNano(), 36), i)
		if !r.noteAsked(client.ObjectKeyFromObject(c), key) {
			return
		}
		r.Checker.Ask(check.Request{
			Key: key, IdempotencyKey: key, Canary: c, Webhook: &hooks[i], Phase: c.Status.Phase, Checksum: c.Status.CurrentRevision,
			Metadata: map[string]string{"eventMessage": message, "eventType": typ, "timestamp": strconv.FormatInt(now.UnixMilli(), 10)},
		})
	}
}

// noteAsked notes a question that no plan knows of, so that its answer is dropped in time; false when too many wait.
func (r *Reconciler) noteAsked(name types.NamespacedName, key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.asked[name]) >= maxTold {
		return false
	}
	if r.asked[name] == nil {
		r.asked[name] = map[string]v1beta1.CheckKind{}
	}
	r.asked[name][key] = v1beta1.CheckWebhook
	return true
}
