// Package preview says what a change would lead to: it runs the decision core forward in a world where all goes well. Pods are ready at once, providers
// follow at once, and every check passes as soon as it is asked, so the time that comes out is the shortest. Nothing here may reach a cluster.
package preview

import (
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// Input is what a preview goes by.
type Input struct {
	// Now is when the change would land.
	Now time.Time
	// Canary is the Canary as it is, with its status.
	Canary *v1beta1.Canary
	// Traffic is what its provider can do.
	Traffic core.Traffic
	// Live is the digest of the target's revision with the change; Replicas what the target would ask for by then, 0 when it stays idle.
	Live     string
	Replicas int32
	// Kept is the revision of a primary that is kept as a way back while users are on the target; empty when there is none.
	Kept string
}

// Outlook is what the change would lead to.
type Outlook struct {
	// Starts tells that a rollout of the revision begins, or goes on; if not, Why says why not.
	Starts bool
	Why    string
	// Phase is where it ends when all goes well; empty when it does not come to an end by itself.
	Phase v1beta1.CanaryPhase
	// Shortest is how long that takes at least.
	Shortest time.Duration
	// Steps are the stops of the analysis on its way, in the words of events: "weight 20".
	Steps []string
	// Checks are the metrics that are asked at each step.
	Checks []string
	// Gates are the webhooks that have to agree, Hooks all others that are asked, each as TYPE NAME.
	Gates, Hooks []string
	// Reverted tells that a rollout under way ends, since the change takes the target back to the promoted revision.
	Reverted bool
	// WayBack tells that users turn at once to a primary that is kept with the revision, Moves that they return to the target, which is back at the
	// promoted one. Neither is analysed.
	WayBack, Moves bool
}

// maxDecisions bounds a preview; what takes more is told without an end.
const maxDecisions = 5000

// Of returns the outlook. It is a pure function.
func Of(in Input) Outlook {
	w := newWorld(in)
	var out Outlook
	for range maxDecisions {
		plan := core.Decide(w.observe())
		out.note(in.Canary, plan)
		moved := w.carry(plan)
		if ro := w.canary.Status.Rollout; ro != nil {
			out.Starts = out.Starts || ro.Revision == in.Live
		} else if out.Starts || out.Reverted {
			out.Phase, out.Shortest = w.canary.Status.Phase, w.now.Sub(in.Now)
			return out
		}
		if moved {
			continue
		}
		if plan.RequeueAfter == 0 || !out.Starts && w.canary.Status.Rollout == nil {
			// Nothing follows by itself.
			break
		}
		w.now = w.now.Add(plan.RequeueAfter)
	}
	if ready := w.canary.Status.Condition(v1beta1.ConditionReady); ready != nil {
		out.Why = ready.Message
	}
	return out
}

// note adds what a plan says to the outlook.
func (o *Outlook) note(c *v1beta1.Canary, p core.Plan) {
	for _, e := range p.Events {
		switch e.Reason {
		case "Advance":
			if _, step, found := strings.Cut(e.Message, " canary "); found {
				o.Steps = append(o.Steps, step)
			}
		case "Reverted":
			o.Reverted = true
		case "WayBack":
			o.WayBack = true
		case "Moving":
			o.Moves = true
		case "Superseded":
			// What was gone through until then counts for nothing.
			o.Steps = nil
		}
	}
	for _, check := range p.Checks {
		o.noteCheck(c, check)
	}
}

func (o *Outlook) noteCheck(c *v1beta1.Canary, check core.Check) {
	if check.Kind == v1beta1.CheckMetric {
		o.Checks = add(o.Checks, check.Name)
		return
	}
	t := typeOf(c, check)
	name := string(t) + " " + check.Name
	switch t {
	case v1beta1.HookConfirmRollout, v1beta1.HookConfirmPromotion, v1beta1.HookConfirmTrafficIncrease:
		o.Gates = add(o.Gates, name)
	case v1beta1.HookEvent:
	default:
		o.Hooks = add(o.Hooks, name)
	}
}

// typeOf is the type of the webhook that a check asks.
func typeOf(c *v1beta1.Canary, check core.Check) v1beta1.HookType {
	if hooks := c.Spec.Analysis.Webhooks; check.Index >= 0 && check.Index < len(hooks) {
		return hooks[check.Index].EffectiveType()
	}
	return v1beta1.HookEvent
}

func add(list []string, one string) []string {
	if slices.Contains(list, one) {
		return list
	}
	return append(list, one)
}
