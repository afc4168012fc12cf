package core

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// hooked is a progressive canary with hooks of the given types.
func hooked(types ...v1beta1.HookType) v1beta1.CanarySpec {
	spec := progressive()
	for _, t := range types {
		spec.Analysis.Webhooks = append(spec.Analysis.Webhooks, v1beta1.CanaryWebhook{Name: "ask-" + string(t), Type: t})
	}
	return spec
}

// refuses makes hooks of a type refuse while shut holds; all else passes.
func refuses(t v1beta1.HookType, shut func() bool) func(Check) v1beta1.Verdict {
	return func(c Check) v1beta1.Verdict {
		if strings.Contains(c.Key, "/"+string(t)+"/") && shut() {
			return v1beta1.VerdictFail
		}
		return v1beta1.VerdictPass
	}
}

// A refused traffic gate holds the step, says so once, and counts nothing.
func TestTrafficGate(t *testing.T) {
	w := initialised(t, hooked(v1beta1.HookPreRollout, v1beta1.HookConfirmTrafficIncrease), true)
	w.strict = true
	shut := true
	w.verdict = refuses(v1beta1.HookConfirmTrafficIncrease, func() bool { return shut })
	w.push("v2")
	held := func(weight int32) {
		t.Helper()
		w.must(t, time.Minute, func() bool {
			ro := w.canary.Status.Rollout
			return ro != nil && ro.RefusedGate == v1beta1.HookConfirmTrafficIncrease && w.canary.Status.CanaryWeight == weight
		})
		for range 400 {
			w.step()
			if st := w.canary.Status; st.CanaryWeight != weight || st.FailedChecks != 0 || st.Phase != v1beta1.PhaseProgressing {
				t.Fatalf("behind a shut gate: weight %d, %d failed checks, phase %s\n%s", st.CanaryWeight, st.FailedChecks, st.Phase, w.story())
			}
		}
		if c := w.canary.Status.Condition(v1beta1.ConditionReady); c.Reason != "WaitingForTrafficIncrease" {
			t.Errorf("the Canary does not say what it waits for: %+v", c)
		}
	}
	held(0)
	shut = false
	w.must(t, time.Minute, func() bool { return w.canary.Status.CanaryWeight == 25 })
	shut = true
	held(25)
	shut = false
	w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseSucceeded))
	if n := strings.Count(w.story(), "waiting for traffic increase approval"); n != 2 {
		t.Errorf("two refusals were told %d times", n)
	}
	if len(w.violations) > 0 {
		t.Error(w.violations)
	}
	golden(t, "traffic-gate", w.story())
}

// While a gate holds the step its checks go on, and may fail.
func TestChecksGoOnBehindATrafficGate(t *testing.T) {
	w := initialised(t, hooked(v1beta1.HookConfirmTrafficIncrease), true)
	w.push("v2")
	w.must(t, time.Minute, func() bool { return w.canary.Status.CanaryWeight == 25 })
	failing := false
	w.verdict = func(c Check) v1beta1.Verdict {
		if strings.Contains(c.Key, string(v1beta1.HookConfirmTrafficIncrease)) || failing && strings.Contains(c.Key, "/metric/") {
			return v1beta1.VerdictFail
		}
		return v1beta1.VerdictPass
	}
	w.must(t, time.Minute, func() bool { return w.canary.Status.Rollout.RefusedGate != "" })
	failing = true
	w.must(t, time.Minute, w.phase(v1beta1.PhaseFailed))
}

// Blue/green gives the canary its users at once; its gate is the promotion's.
func TestTrafficGateIsOfTheProgressiveCanary(t *testing.T) {
	spec := hooked(v1beta1.HookConfirmTrafficIncrease)
	spec.Analysis.StepWeight, spec.Analysis.Iterations = 0, 2
	w := initialised(t, spec, true)
	w.verdict = refuses(v1beta1.HookConfirmTrafficIncrease, func() bool { return true })
	w.push("v2")
	w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseSucceeded))
}

// A rollback hook that says yes ends the rollout wherever it may still be called off.
func TestRollbackHook(t *testing.T) {
	signal := false
	w := initialised(t, hooked(v1beta1.HookRollback), true)
	w.strict = true
	w.verdict = refuses(v1beta1.HookRollback, func() bool { return !signal })
	w.push("v2")
	w.must(t, time.Minute, func() bool { return w.canary.Status.CanaryWeight == 50 })
	if w.canary.Status.FailedChecks != 0 || w.canary.Status.Rollout.RollbackRound == 0 {
		t.Errorf("a silent rollback hook: %d failed checks, asked %d times again", w.canary.Status.FailedChecks, w.canary.Status.Rollout.RollbackRound)
	}
	signal = true
	w.must(t, time.Minute, w.phase(v1beta1.PhaseFailed))
	if w.promoted != "v1" || w.target.replicas != 0 || w.canary.Status.FailedRevision != "v2" || len(w.violations) > 0 {
		t.Errorf("promoted %s, target at %d, failed %s, %v", w.promoted, w.target.replicas, w.canary.Status.FailedRevision, w.violations)
	}
	golden(t, "rollback-hook", w.story())
}

func TestRollbackHookWhileWaiting(t *testing.T) {
	for _, gate := range []v1beta1.HookType{v1beta1.HookConfirmRollout, v1beta1.HookConfirmPromotion} {
		signal := false
		w := initialised(t, hooked(gate, v1beta1.HookRollback), true)
		w.verdict = func(c Check) v1beta1.Verdict {
			if strings.Contains(c.Key, "/"+string(gate)+"/") || strings.Contains(c.Key, "/rollback/") && !signal {
				return v1beta1.VerdictFail
			}
			return v1beta1.VerdictPass
		}
		w.push("v2")
		w.must(t, time.Minute, func() bool {
			return w.canary.Status.Phase == v1beta1.PhaseWaiting || w.canary.Status.Phase == v1beta1.PhaseWaitingPromotion
		})
		signal = true
		w.must(t, time.Minute, w.phase(v1beta1.PhaseFailed))
	}
}

// Hooks are called one after the other, and the first refusal spares the rest.
func TestHooksAreAskedInOrder(t *testing.T) {
	in := Observed{Canary: &v1beta1.Canary{}, Answers: map[string]Answer{}}
	in.Canary.Status.Rollout = &v1beta1.RolloutStatus{}
	checks := []Check{{Key: "1", Kind: v1beta1.CheckWebhook}, {Key: "2", Kind: v1beta1.CheckWebhook}, {Key: "3", Kind: v1beta1.CheckWebhook}}
	for _, c := range []struct {
		answer verdicts
		want   outcome
		asked  int
	}{
		{nil, pending, 1},
		{verdicts{v1beta1.VerdictPass}, pending, 2},
		{verdicts{v1beta1.VerdictPass, v1beta1.VerdictFail}, failed, 2},
		{verdicts{v1beta1.VerdictError}, failed, 1},
		{verdicts{v1beta1.VerdictPass, v1beta1.VerdictPass, v1beta1.VerdictPass}, passed, 3},
	} {
		in.Answers = map[string]Answer{}
		for i, v := range c.answer {
			in.Answers[checks[i].Key] = Answer{Verdict: v}
		}
		d := newDecision(in)
		if got := d.ask(checks); got != c.want || len(d.plan.Checks) != c.asked {
			t.Errorf("%v: outcome %d with %d asked, want %d with %d", c.answer, got, len(d.plan.Checks), c.want, c.asked)
		}
	}
}

// verdicts are answers in the order of the questions.
type verdicts []v1beta1.Verdict
