package core

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// This file holds the hooks that are told rather than asked: post-rollout and event. Nothing waits for them. What has to be told is stored in status
// by the same write as the transition that it is about, and stays there until it was answered, so that a controller which dies at any moment loses
// none of it; the key of a call stays the same, so that a receiver can tell one that is repeated.

// maxCalls bounds how many calls of the outbox are under way for one Canary. Each hook gets one at a time, so that it is told in order.
const maxCalls = 4

// deliver settles the calls that were answered, stores those that this decision leads to, and plans the next ones.
func (d *decision) deliver() {
	d.settleCalls()
	for i, e := range d.plan.Events {
		d.postEvent(i, e)
	}
	d.boundCalls()
	d.planCalls()
}

// postRollout stores the calls of the post-rollout hooks of a rollout that ends in a phase.
func (d *decision) postRollout(p v1beta1.CanaryPhase) {
	for _, c := range d.hooks(v1beta1.HookPostRollout) {
		d.st.PendingHooks = append(d.st.PendingHooks, v1beta1.PendingHook{
			Key: c.Key, Type: v1beta1.HookPostRollout, Name: c.Name, Index: int32(c.Index), Phase: p, Checksum: c.Checksum, Since: d.now(),
		})
	}
}

// postEvent stores the calls of the event hooks for the i-th event of the decision.
func (d *decision) postEvent(i int, e Event) {
	c := d.in.Canary
	call := v1beta1.PendingHook{
		Type: v1beta1.HookEvent, Index: v1beta1.CommonHook, Phase: d.st.Phase, Checksum: d.st.CurrentRevision, Since: d.now(),
		EventType: e.Type, EventMessage: cut(e.Message, v1beta1.MaxEventMessage),
	}
	if ro := d.ro(); ro != nil && ro.Revision != "" {
		call.Checksum = ro.Revision
	}
	key := fmt.Sprintf("%s/%s/event/%s-%d", c.Namespace, c.Name, strconv.FormatInt(d.in.Now.UnixMicro(), 36), i)
	own := false
	for index := range d.spec.Analysis.Webhooks {
		if w := &d.spec.Analysis.Webhooks[index]; w.EffectiveType() == v1beta1.HookEvent {
			own = true
			call.Name, call.Index, call.Key = w.Name, int32(index), fmt.Sprintf("%s/%d", key, index)
			d.st.PendingHooks = append(d.st.PendingHooks, call)
		}
	}
	if !own && d.in.EventWebhook {
		call.Key = key
		d.st.PendingHooks = append(d.st.PendingHooks, call)
	}
}

// settleCalls takes the calls that were answered out of the outbox. The client has made all its attempts by then, so a bad answer is the last one. A
// post-rollout hook that refuses spares those after it, as with Flagger.
func (d *decision) settleCalls() {
	refused := map[string]bool{}
	var rest []v1beta1.PendingHook
	for _, p := range d.st.PendingHooks {
		a, answered := d.in.Answers[p.Key]
		if refused[rolloutOf(p)] || d.webhookOf(p) < v1beta1.CommonHook {
			// Spared, or taken out of the Canary.
			continue
		}
		if !answered {
			rest = append(rest, p)
			continue
		}
		refused[rolloutOf(p)] = !d.settle(p, a)
	}
	d.st.PendingHooks = rest
}

// settle tells what the answer of a call means, and whether the post-rollout hooks after it are called.
func (d *decision) settle(p v1beta1.PendingHook, a Answer) bool {
	switch {
	case a.Verdict == v1beta1.VerdictPass && p.Type == v1beta1.HookPostRollout:
		d.normal("PostRolloutPassed", "Post-rollout check %s passed", p.Name)
	case a.Verdict == v1beta1.VerdictPass:
	case p.Type == v1beta1.HookPostRollout:
		d.warn("PostRolloutFailed", "Post-rollout hook %s failed %s", p.Name, a.Message)
		return false
	default:
		// An event of its own would be told to the very hook that does not answer.
		d.plan.Untold = append(d.plan.Untold, fmt.Sprintf("%q: %s", p.EventMessage, a.Message))
	}
	return true
}

// rolloutOf is the part of a post-rollout key that all hooks of the rollout share.
func rolloutOf(p v1beta1.PendingHook) string {
	return p.Key[:max(strings.LastIndexByte(p.Key, '/'), 0)]
}

// boundCalls keeps the outbox within its bound. Of too many the oldest events go first, then the oldest of all.
func (d *decision) boundCalls() {
	for len(d.st.PendingHooks) > v1beta1.MaxPendingHooks {
		i := max(0, slices.IndexFunc(d.st.PendingHooks, func(p v1beta1.PendingHook) bool { return p.Type == v1beta1.HookEvent }))
		p := d.st.PendingHooks[i]
		d.plan.Untold = append(d.plan.Untold, fmt.Sprintf("%s %q: too many calls wait", p.Type, p.Name+p.EventMessage))
		d.st.PendingHooks = slices.Delete(slices.Clone(d.st.PendingHooks), i, i+1)
	}
	if len(d.st.PendingHooks) == 0 {
		d.st.PendingHooks = nil
	}
}

// planCalls asks for the oldest call of each hook.
func (d *decision) planCalls() {
	var busy []int
	var rollouts []string
	for _, p := range d.st.PendingHooks {
		index := d.webhookOf(p)
		if slices.Contains(busy, index) || len(busy) == maxCalls {
			continue
		}
		if p.Type == v1beta1.HookPostRollout && slices.Contains(rollouts, rolloutOf(p)) {
			// One after the other: a refusal spares the rest.
			continue
		}
		busy, rollouts = append(busy, index), append(rollouts, rolloutOf(p))
		d.plan.Checks = append(d.plan.Checks, callOf(p, index))
	}
}

// callOf is the question that a pending call comes to.
func callOf(p v1beta1.PendingHook, index int) Check {
	c := Check{Key: p.Key, Kind: v1beta1.CheckWebhook, Index: index, Name: p.Name, Phase: p.Phase, Checksum: p.Checksum}
	if p.Type == v1beta1.HookEvent {
		c.Metadata = map[string]string{
			"eventMessage": p.EventMessage, "eventType": p.EventType, "timestamp": strconv.FormatInt(p.Since.UnixMilli(), 10),
		}
	}
	return c
}

// webhookOf finds the webhook of a pending call in the Canary as it is now: CommonHook for the controller's own, less where it is gone.
func (d *decision) webhookOf(p v1beta1.PendingHook) int {
	const gone = v1beta1.CommonHook - 1
	if p.Index == v1beta1.CommonHook {
		if d.in.EventWebhook {
			return v1beta1.CommonHook
		}
		return gone
	}
	hooks := d.spec.Analysis.Webhooks
	same := func(w v1beta1.CanaryWebhook) bool { return w.EffectiveType() == p.Type && w.Name == p.Name }
	if i := int(p.Index); i < len(hooks) && same(hooks[i]) {
		return i
	}
	if i := slices.IndexFunc(hooks, same); i >= 0 {
		return i
	}
	return gone
}
