package core

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// asks is what admission makes of a verb that jane may set.
func (w *world) asks(text string) {
	w.logf("jane: %s", text)
	w.verb = &VerbRequest{Text: text, ID: fmt.Sprintf("request-%d", w.now.UnixNano()), By: "jane", At: w.now}
	w.dirty = true
}

func (w *world) doVerb(p Plan) {
	switch {
	case !p.ClearVerb || w.verb == nil:
	case !w.owned:
		w.verb, w.dirty = nil, true
	case w.verb.Problem == "":
		w.verb, w.dirty = &VerbRequest{Text: w.verb.Text, Problem: "it has no stamp"}, true
	}
}

// becomes waits until the last verb has an outcome, and tells which.
func (w *world) becomes(t *testing.T, text string, want v1beta1.VerbOutcome) {
	t.Helper()
	w.must(t, time.Minute, func() bool { v := w.canary.Status.Verb; return v != nil && v.Text == text && w.verb == nil })
	if v := w.canary.Status.Verb; v.Outcome != want {
		t.Fatalf("%s is %s: %s; want %s", text, v.Outcome, v.Message, want)
	}
}

// stays holds that a condition lasts.
func (w *world) stays(t *testing.T, what string, cond func() bool) {
	t.Helper()
	if w.until(3*time.Minute, func() bool { return !cond() }) {
		t.Fatalf("it did not stay so: %s\n%s", what, w.story())
	}
}

// ships waits until a revision is promoted, and pushes it if nobody has.
func (w *world) ships(t *testing.T, revision string) {
	t.Helper()
	w.push(revision)
	w.must(t, 5*time.Minute, func() bool { return w.promoted == revision && w.canary.Status.Rollout == nil })
}

func (w *world) in(p v1beta1.CanaryPhase) func() bool {
	return func() bool { return w.canary.Status.Phase == p }
}

func (w *world) weighs(n int32) func() bool {
	return func() bool { return w.canary.Status.CanaryWeight == n }
}

func (w *world) reason(t *testing.T, reason string) {
	t.Helper()
	w.must(t, time.Minute, func() bool {
		c := w.canary.Status.Condition(v1beta1.ConditionReady)
		return c != nil && c.Reason == reason
	})
}

// TestVerbs compares what operators do with golden files.
func TestVerbs(t *testing.T) {
	stories := map[string]struct {
		spec v1beta1.CanarySpec
		play func(t *testing.T, w *world)
	}{
		"verb-promote": {progressive(), func(t *testing.T, w *world) {
			w.midway(t, 0)
			w.asks("promote#INC-7")
			w.promotes(t, "v2")
			w.becomes(t, "promote#INC-7", v1beta1.VerbDone)
		}},
		"verb-promote-past-gates": {hooked(v1beta1.HookConfirmRollout, v1beta1.HookConfirmPromotion), func(t *testing.T, w *world) {
			w.verdict = refuses(v1beta1.HookConfirmRollout, func() bool { return true })
			w.push("v2")
			w.must(t, time.Minute, w.in(v1beta1.PhaseWaiting))
			w.asks("promote")
			w.promotes(t, "v2")
		}},
		"verb-abort": {progressive(), func(t *testing.T, w *world) {
			w.midway(t, 1)
			w.asks("abort")
			w.rollsBack(t)
			w.stays(t, "an aborted revision waits", func() bool { return w.canary.Status.Rollout == nil })
		}},
		"verb-abort-while-promoting": {progressive(), func(t *testing.T, w *world) {
			w.push("v2")
			w.must(t, 2*time.Minute, w.in(v1beta1.PhasePromoting))
			w.asks("abort")
			w.rollsBack(t)
		}},
		"verb-pause": {progressive(), func(t *testing.T, w *world) {
			w.midway(t, 0)
			w.asks("pause")
			w.becomes(t, "pause", v1beta1.VerbDone)
			w.stays(t, "a paused rollout keeps its weight", w.weighs(25))
			w.says(t, "Paused", "jane paused revision v2 at weight 25")
			w.asks("resume")
			w.promotes(t, "v2")
		}},
		"verb-pause-of-a-bad-canary": {progressive(), func(t *testing.T, w *world) {
			w.midway(t, 0)
			w.asks("pause")
			w.becomes(t, "pause", v1beta1.VerbDone)
			w.verdict = metricFails
			w.rollsBack(t)
			if w.canary.Status.Paused != nil {
				t.Error("the pause outlives the rollout")
			}
		}},
		"verb-pause-before-a-rollout": {withGate(progressive()), func(t *testing.T, w *world) {
			w.asks("pause")
			w.becomes(t, "pause", v1beta1.VerbDone)
			w.push("v2")
			w.stays(t, "a paused rollout does not begin", func() bool { return w.target.replicas == 0 || w.canary.Status.CanaryWeight == 0 })
			w.asks("resume")
			w.promotes(t, "v2")
		}},
		"verb-skip-next": {progressive(), func(t *testing.T, w *world) {
			w.asks("skip-analysis")
			w.becomes(t, "skip-analysis", v1beta1.VerbDone)
			w.push("v2")
			w.promotes(t, "v2")
			w.push("v3")
			w.must(t, time.Minute, w.weighs(25))
			w.ships(t, "v3")
		}},
		"verb-retry": {progressive(), func(t *testing.T, w *world) {
			w.verdict = metricFails
			w.push("v2")
			w.rollsBack(t)
			w.verdict = func(Check) v1beta1.Verdict { return v1beta1.VerdictPass }
			w.until(10*time.Second, func() bool { return false })
			w.asks("retry")
			w.promotes(t, "v2")
		}},
		"verb-restore": {progressive(), func(t *testing.T, w *world) {
			for _, r := range []string{"beef02", "beef03"} {
				w.ships(t, r)
			}
			w.asks("restore:beef02")
			w.must(t, time.Minute, func() bool { return w.promoted == "beef02" && w.canary.Status.Rollout == nil })
			w.stays(t, "the target is Git's, and waits", func() bool {
				return w.primary.template == "beef02" && w.target.template == "beef03" && w.target.replicas == 0 && w.canary.Status.Rollout == nil
			})
			w.reason(t, "Restored")
			w.push("beef04")
			w.must(t, time.Minute, w.weighs(25))
			w.ships(t, "beef04")
		}},
		"verb-restore-in-a-rollout": {progressive(), func(t *testing.T, w *world) {
			for _, r := range []string{"beef02", "beef03"} {
				w.ships(t, r)
			}
			w.push("beef04")
			w.must(t, time.Minute, w.at(1))
			w.asks("restore:beef02")
			w.must(t, time.Minute, func() bool { return w.promoted == "beef02" && w.canary.Status.Rollout == nil })
			w.stays(t, "the failed revision waits", func() bool { return w.canary.Status.Rollout == nil })
			w.push("beef02")
			w.reason(t, "Reverted")
		}},
		"verb-restore-while-overtaken": {progressive(), func(t *testing.T, w *world) {
			for _, r := range []string{"beef02", "beef03"} {
				w.ships(t, r)
			}
			w.push("beef04")
			w.must(t, time.Minute, w.weighs(25))
			w.push("beef05")
			w.must(t, time.Minute, func() bool { return w.canary.Status.Rollout.Stage == v1beta1.StageFencing })
			w.asks("restore:beef02")
			w.must(t, time.Minute, func() bool { return w.promoted == "beef02" && w.canary.Status.Rollout == nil })
			w.stays(t, "what had overtaken it waits", func() bool { return w.primary.template == "beef02" && w.canary.Status.Rollout == nil })
			w.reason(t, "Restored")
			w.ships(t, "beef06")
		}},
		"verb-restore-that-fails": {progressive(), func(t *testing.T, w *world) {
			deadline := int32(30)
			w.canary.Spec.ProgressDeadlineSeconds = &deadline
			for _, r := range []string{"beef02", "beef03"} {
				w.ships(t, r)
			}
			w.breakPrimary("beef02")
			w.strict = false
			w.asks("restore:beef02")
			w.must(t, time.Minute, func() bool { return w.primary.template == "beef02" })
			w.must(t, 2*time.Minute, func() bool { return w.canary.Status.Rollout == nil })
			w.reason(t, "Reverted")
			if w.promoted != "beef03" || w.primary.template != "beef03" {
				t.Errorf("promoted %s, primary %s", w.promoted, w.primary.template)
			}
		}},
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			w := initialised(t, story.spec, true)
			w.strict = true
			story.play(t, w)
			if len(w.violations) > 0 {
				t.Errorf("violations: %v", w.violations)
			}
			golden(t, name, w.story())
		})
	}
}

// A verb without a stamp that holds, or with one that was used, is old, or comes from the future, changes nothing and is told of once.
func TestVerbsThatNobodyAdmitted(t *testing.T) {
	var used VerbRequest
	for name, request := range map[string]func(w *world) VerbRequest{
		"unstamped": func(*world) VerbRequest { return VerbRequest{Text: "abort", Problem: "admission has not seen it"} },
		"used":      func(*world) VerbRequest { return VerbRequest{Text: used.Text, ID: "other", By: used.By, At: used.At} },
		"old": func(w *world) VerbRequest {
			return VerbRequest{Text: "abort", ID: "x", By: "jane", At: w.now.Add(-time.Hour)}
		},
		"early": func(w *world) VerbRequest {
			return VerbRequest{Text: "abort", ID: "x", By: "jane", At: w.now.Add(time.Hour)}
		},
	} {
		for _, owned := range []bool{false, true} {
			w := initialised(t, progressive(), true)
			w.midway(t, 0)
			w.asks("pause")
			used = *w.verb
			w.becomes(t, "pause", v1beta1.VerbDone)
			w.until(5*time.Second, func() bool { return false })
			r := request(w)
			w.verb, w.owned, w.dirty = &r, owned, true
			w.must(t, time.Minute, func() bool { return w.canary.Status.Verb.Outcome == v1beta1.VerbIgnored })
			w.stays(t, name+" is ignored", w.weighs(25))
			if n := strings.Count(w.story(), "is ignored"); n != 1 {
				t.Errorf("%s, owned %t: told %d times\n%s", name, owned, n, w.story())
			}
			if (w.verb == nil) == owned {
				t.Errorf("%s, owned %t: the annotation is now %+v", name, owned, w.verb)
			}
		}
	}
}

// A tool that owns the annotation keeps it, and the verb is done once.
func TestVerbThatStaysInAManifest(t *testing.T) {
	w := initialised(t, progressive(), true)
	w.owned = true
	w.midway(t, 0)
	w.asks("promote")
	w.promotes(t, "v2")
	w.push("v3")
	w.must(t, time.Minute, w.weighs(25))
	w.promotes(t, "v3")
	if n := strings.Count(w.story(), "promote by jane"); n != 1 || strings.Contains(w.story(), "ignored") {
		t.Errorf("done %d times\n%s", n, w.story())
	}
}

// A killed controller does a verb once, whichever write it dies before.
func TestVerbSurvivesACrash(t *testing.T) {
	for writes := range 12 {
		w := initialised(t, progressive(), true)
		w.midway(t, 0)
		w.asks("abort")
		w.writes = writes
		w.rollsBack(t)
		if n := strings.Count(w.story(), "abort by jane"); n > 1 {
			t.Errorf("killed before write %d: told %d times", writes, n)
		}
	}
}

func TestVerbsRefused(t *testing.T) {
	none := v1beta1.CanaryStatus{Phase: v1beta1.PhaseSucceeded}
	none.PromotedRevision, none.CurrentRevision = "aaaaaa1", "aaaaaa1"
	in := func(s v1beta1.Stage) v1beta1.CanaryStatus {
		st := none
		st.Rollout = &v1beta1.RolloutStatus{Revision: "bbbbbb2", Stage: s}
		return st
	}
	paused := in(v1beta1.StageAnalysing)
	paused.Paused = &v1beta1.PausedStatus{By: "joe"}
	skip := none
	skip.SkipNextBy = "joe"
	failed := none
	failed.FailedRevision, failed.CurrentRevision = "bbbbbb2", "bbbbbb2"
	for _, test := range []struct {
		verb   string
		status v1beta1.CanaryStatus
		want   string
	}{
		{"promote", none, "no rollout is under way"},
		{"promote", in(v1beta1.StageAnalysing), ""},
		{"promote", in(v1beta1.StagePromoting), "being promoted already"},
		{"promote", in(v1beta1.StageRollingBack), "on their way back"},
		{"promote", v1beta1.CanaryStatus{}, "being initialised"},
		{"abort", none, "restore it"},
		{"abort", skip, ""},
		{"abort", in(v1beta1.StagePromoting), ""},
		{"abort", in(v1beta1.StageFinalising), "serves as primary already"},
		{"abort", in(v1beta1.StageFencing), "was overtaken"},
		{"pause", none, ""},
		{"pause", paused, "joe has paused it"},
		{"pause", in(v1beta1.StagePromoting), "abort is what stops"},
		{"resume", paused, ""},
		{"resume", none, "nobody has paused"},
		{"retry", none, "has not failed"},
		{"retry", failed, ""},
		{"retry", in(v1beta1.StageRollingBack), "wait until it has ended"},
		{"skip-analysis", none, ""},
		{"skip-analysis", skip, "joe has asked for that"},
		{"restore:aaaaaa", none, "serves revision aaaaaa1 already"},
		{"restore:bbbbbb", none, ""},
		{"restore:cccccc", none, "beginning of several revisions: cccccc3, cccccc4"},
		{"restore:dddddd", none, "there are: aaaaaa1, bbbbbb2, cccccc3, cccccc4"},
		{"restore:aaaaaa", in(v1beta1.StageAnalysing), "abort brings it back"},
		{"restore:bbbbbb", in(v1beta1.StageAnalysing), "promote is the way"},
	} {
		v, err := v1beta1.ParseVerb(test.verb)
		if err != nil {
			t.Fatal(err)
		}
		s := VerbState{Spec: &v1beta1.CanarySpec{}, Status: &test.status, Live: test.status.CurrentRevision,
			Stored: map[string]bool{"aaaaaa1": true, "bbbbbb2": true, "cccccc3": true, "cccccc4": true, "eeeeee5": false}}
		if got := s.Refusal(v); (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: refused with %q, want %q", test.verb, got, test.want)
		}
	}
}
