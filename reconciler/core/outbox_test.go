package core

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// told returns the messages that an event hook was called with, each once, in the order of the first calls.
func (w *world) told(name string) []string {
	var out []string
	seen := map[string]bool{}
	for _, c := range w.calls {
		if message, is := c.Metadata["eventMessage"]; is && c.Name == name && !seen[c.Key] {
			seen[c.Key] = true
			out = append(out, message)
		}
	}
	return out
}

func (w *world) times(part string) int {
	keys := map[string]bool{}
	for _, c := range w.calls {
		if strings.Contains(c.Key, part) {
			keys[c.Key] = true
		}
	}
	return len(keys)
}

// The controller dies between the status that ends a rollout and the call of the post-rollout hook.
func TestPostRolloutAfterACrash(t *testing.T) {
	w := initialised(t, hooked(v1beta1.HookPostRollout), true)
	w.strict = true
	w.push("v2")
	w.dieAt = func(p Plan) bool { return p.Status.Phase == v1beta1.PhaseSucceeded }
	w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseSucceeded))
	w.must(t, time.Minute, func() bool { return len(w.canary.Status.PendingHooks) == 0 })
	if n := w.times("/post-rollout/"); n != 1 || w.dieAt != nil || !strings.Contains(w.story(), "killed") {
		t.Errorf("the hook was called with %d keys\n%s", n, w.story())
	}
	golden(t, "post-rollout-after-a-crash", w.story())
}

// A post-rollout hook that does not answer holds nothing up, and is not forgotten by the rollouts after it.
func TestSilentPostRollout(t *testing.T) {
	w := initialised(t, hooked(v1beta1.HookPostRollout), true)
	w.silent = func(c Check) bool { return strings.Contains(c.Key, "/post-rollout/") }
	for _, r := range []string{"v2", "v3"} {
		w.push(r)
		w.must(t, 2*time.Minute, func() bool { return w.phase(v1beta1.PhaseSucceeded)() && w.promoted == r })
	}
	if n := len(w.canary.Status.PendingHooks); n != 2 {
		t.Errorf("%d calls wait, want those of both rollouts", n)
	}
}

// The first post-rollout hook that refuses spares those after it; its refusal is told.
func TestPostRolloutThatRefuses(t *testing.T) {
	w := initialised(t, hooked(v1beta1.HookPostRollout, v1beta1.HookPostRollout), true)
	w.verdict = refuses(v1beta1.HookPostRollout, func() bool { return true })
	w.push("v2")
	w.must(t, 2*time.Minute, w.phase(v1beta1.PhaseSucceeded))
	w.must(t, time.Minute, func() bool { return len(w.canary.Status.PendingHooks) == 0 })
	if n := w.times("/post-rollout/"); n != 1 || strings.Count(w.story(), "Post-rollout hook ask-post-rollout failed bad") != 1 {
		t.Errorf("%d calls\n%s", n, w.story())
	}
}

// Whatever kills the controller, each event reaches each event hook, in order.
func TestEventsAreToldAtLeastOnce(t *testing.T) {
	for s := range uint64(50) {
		w := newWorld(hooked(v1beta1.HookEvent))
		w.canary.Spec.Analysis.Webhooks = append(w.canary.Spec.Analysis.Webhooks, v1beta1.CanaryWebhook{Name: "second", Type: v1beta1.HookEvent})
		r := rand.New(rand.NewPCG(s, 7))
		for _, revision := range []string{"v2", "v3"} {
			w.push(revision)
			for range 900 {
				if r.IntN(6) == 0 {
					w.writes = r.IntN(8)
				}
				w.step()
			}
		}
		w.writes = -1
		w.must(t, time.Minute, func() bool { return len(w.canary.Status.PendingHooks) == 0 })
		var want []string
		for _, line := range w.log {
			text := strings.TrimSpace(line[strings.Index(line, "s ")+2:])
			if !slices.ContainsFunc([]string{"route:", "target:", "user:", "controller:"}, func(p string) bool { return strings.HasPrefix(text, p) }) {
				want = append(want, text)
			}
		}
		for _, hook := range []string{"ask-event", "second"} {
			if got := w.told(hook); !slices.Equal(got, want) {
				t.Fatalf("seed %d: %s was told\n%s\nwant\n%s", s, hook, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
}

// An event hook that never answers costs a bounded status, and what is given up is said.
func TestSilentEventHook(t *testing.T) {
	w := initialised(t, hooked(v1beta1.HookEvent, v1beta1.HookPostRollout), true)
	w.silent = func(c Check) bool { return c.Metadata != nil }
	for i := range 10 {
		w.push([]string{"v2", "v3"}[i%2])
		w.must(t, 2*time.Minute, func() bool { return w.phase(v1beta1.PhaseSucceeded)() && w.promoted == w.target.template })
	}
	if n := len(w.canary.Status.PendingHooks); n != v1beta1.MaxPendingHooks {
		t.Errorf("%d calls wait", n)
	}
	if n := w.times("/post-rollout/"); n != 10 {
		t.Errorf("%d of 10 post-rollout hooks were called behind a silent event hook", n)
	}
}

// The controller's own event webhook stands in for a Canary that has none.
func TestCommonEventWebhook(t *testing.T) {
	for _, own := range []bool{false, true} {
		spec := progressive()
		if own {
			spec = hooked(v1beta1.HookEvent)
		}
		w := newWorld(spec)
		in := w.observe()
		in.EventWebhook = true
		in.Canary.Spec.TargetRef.Name = "other"
		in.Target.Exists = false
		p := Decide(in)
		if len(p.Events) == 0 || len(p.Status.PendingHooks) != len(p.Events) || len(p.Checks) != 1 {
			t.Fatalf("own hook %v: events %v, pending %v, checks %v", own, p.Events, p.Status.PendingHooks, p.Checks)
		}
		want := v1beta1.CommonHook
		if own {
			want = 0
		}
		if c := p.Checks[0]; c.Index != want || c.Metadata["eventType"] != "Warning" || c.Metadata["timestamp"] != "1767225600000" {
			t.Errorf("own hook %v: %+v", own, c)
		}
	}
}

// A hook that was taken out of the Canary is not called, one that moved is found by its name.
func TestPendingHookOfAnEditedCanary(t *testing.T) {
	in := Observed{Canary: &v1beta1.Canary{Spec: hooked(v1beta1.HookRollout, v1beta1.HookPostRollout)}}
	in.Canary.Status.PendingHooks = []v1beta1.PendingHook{
		{Key: "a/1", Type: v1beta1.HookPostRollout, Name: "ask-post-rollout", Index: 0},
		{Key: "b/1", Type: v1beta1.HookPostRollout, Name: "gone", Index: 1},
	}
	d := newDecision(in)
	d.deliver()
	if len(d.plan.Checks) != 1 || d.plan.Checks[0].Index != 1 || len(d.st.PendingHooks) != 1 {
		t.Errorf("checks %+v, pending %+v", d.plan.Checks, d.st.PendingHooks)
	}
}
