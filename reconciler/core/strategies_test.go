package core

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// analysed is a Canary with a metric whose analysis is completed by edit.
func analysed(edit func(*v1beta1.CanaryAnalysis)) v1beta1.CanarySpec {
	spec := v1beta1.CanarySpec{Analysis: v1beta1.CanaryAnalysis{
		Interval: "10s", Threshold: 2, Metrics: []v1beta1.CanaryMetric{{Name: "request-success-rate"}},
	}}
	edit(&spec.Analysis)
	return spec
}

// The Canaries of the stories below, one per strategy.
func abTesting() v1beta1.CanarySpec {
	return analysed(func(a *v1beta1.CanaryAnalysis) {
		a.Iterations = 3
		a.Match = []v1beta1.AnalysisMatch{{Headers: map[string]v1beta1.StringMatch{"x-user": {Exact: "insider"}}}}
	})
}

func blueGreen() v1beta1.CanarySpec {
	return analysed(func(a *v1beta1.CanaryAnalysis) { a.Iterations = 2 })
}

func withGate(spec v1beta1.CanarySpec) v1beta1.CanarySpec {
	spec.Analysis.Webhooks = []v1beta1.CanaryWebhook{{Name: "gate", Type: v1beta1.HookConfirmPromotion}}
	return spec
}

func mirroring(spec v1beta1.CanarySpec, weight int32) v1beta1.CanarySpec {
	spec.Analysis.Mirror, spec.Analysis.MirrorWeight = true, weight
	return spec
}

func withCookies(spec v1beta1.CanarySpec) v1beta1.CanarySpec {
	spec.Analysis.SessionAffinity = &v1beta1.SessionAffinity{CookieName: "canary-cookie", PrimaryCookieName: "primary-cookie"}
	return spec
}

// edit is what a user does to the Canary.
func (w *world) edit(what string, change func(*v1beta1.CanarySpec)) {
	change(&w.canary.Spec)
	w.canary.Generation++
	w.dirty = true
	w.logf("user: %s", what)
}

func (w *world) promotes(t *testing.T, revision string) {
	t.Helper()
	w.must(t, 5*time.Minute, w.phase(v1beta1.PhaseSucceeded))
	if w.promoted != revision || w.primary.template != revision || w.target.replicas != 0 {
		t.Errorf("promoted %s, primary %s, target at %d; want %s", w.promoted, w.primary.template, w.target.replicas, revision)
	}
}

func (w *world) rollsBack(t *testing.T) {
	t.Helper()
	w.must(t, 5*time.Minute, w.phase(v1beta1.PhaseFailed))
	if w.promoted != "v1" || w.primary.template != "v1" || w.target.replicas != 0 {
		t.Errorf("promoted %s, primary %s, target at %d", w.promoted, w.primary.template, w.target.replicas)
	}
}

// at tells whether a step is in force and the provider has accepted it.
func (w *world) at(step int32) func() bool {
	return func() bool {
		ro := w.canary.Status.Rollout
		return ro != nil && ro.Stage == v1beta1.StageAnalysing && ro.Step == step && ro.NextCheckAt != nil
	}
}

// closed answers the confirm-promotion gate with no, everything else with yes.
func closed(c Check) v1beta1.Verdict {
	if strings.Contains(c.Key, "/"+string(v1beta1.HookConfirmPromotion)+"/") {
		return v1beta1.VerdictFail
	}
	return v1beta1.VerdictPass
}

func open(Check) v1beta1.Verdict { return v1beta1.VerdictPass }

// strategyStory is a rollout that is compared with a golden file.
type strategyStory struct {
	name  string
	spec  v1beta1.CanarySpec
	plain bool
	play  func(t *testing.T, w *world)
}

func promoteV2(t *testing.T, w *world) {
	w.push("v2")
	w.promotes(t, "v2")
}

func failV2(t *testing.T, w *world) {
	w.verdict = metricFails
	w.push("v2")
	w.rollsBack(t)
}

// gatedBlueGreen holds that users are asked about once, before they are moved, and where they are meanwhile.
func gatedBlueGreen(t *testing.T, w *world) {
	w.verdict = closed
	w.push("v2")
	w.must(t, 5*time.Minute, func() bool { return w.canary.Status.Phase == v1beta1.PhaseWaitingPromotion })
	w.until(30*time.Second, func() bool { return false })
	if w.canary.Status.CanaryWeight != 0 {
		t.Errorf("users are at weight %d before the gate has opened", w.canary.Status.CanaryWeight)
	}
	w.logf("user: opens the gate")
	w.verdict = open
	w.must(t, time.Minute, func() bool { return w.canary.Status.CanaryWeight == 100 })
	w.logf("user: closes the gate again")
	w.verdict = closed
	w.promotes(t, "v2")
}

// cookiesOfTwoRollouts holds what of the cookies changes when.
func cookiesOfTwoRollouts(t *testing.T, w *world) {
	w.push("v2")
	w.must(t, time.Minute, w.at(0))
	first := w.canary.Status
	w.must(t, time.Minute, w.at(1))
	second := w.canary.Status
	if first.SessionAffinityCookie == "" || first.SessionAffinityCookie != second.SessionAffinityCookie {
		t.Errorf("the canary's cookie is %q, then %q; want one", first.SessionAffinityCookie, second.SessionAffinityCookie)
	}
	if first.PrimarySessionAffinityCookie == "" || first.PrimarySessionAffinityCookie == second.PrimarySessionAffinityCookie {
		t.Errorf("the primary's cookie is %q, then %q; want another at each step", first.PrimarySessionAffinityCookie, second.PrimarySessionAffinityCookie)
	}
	w.promotes(t, "v2")
	if st := w.canary.Status; st.SessionAffinityCookie != "" || st.PrimarySessionAffinityCookie != "" || st.PreviousSessionAffinityCookie != first.SessionAffinityCookie {
		t.Errorf("promoted: cookies %q and %q, previous %q", st.SessionAffinityCookie, st.PrimarySessionAffinityCookie, st.PreviousSessionAffinityCookie)
	}
	w.verdict = metricFails
	w.push("v3")
	w.must(t, 5*time.Minute, w.phase(v1beta1.PhaseFailed))
	if st := w.canary.Status; st.PreviousSessionAffinityCookie == first.SessionAffinityCookie || st.SessionAffinityCookie != "" {
		t.Errorf("rolled back: cookie %q, previous %q", st.SessionAffinityCookie, st.PreviousSessionAffinityCookie)
	}
}

func strategyStories() []strategyStory {
	fine := analysed(func(a *v1beta1.CanaryAnalysis) { a.StepWeights = []int32{10, 30, 60} })
	backBySteps := progressive()
	backBySteps.Analysis.StepWeightPromotion = 20
	skip := progressive()
	skip.SkipAnalysis = true
	return []strategyStory{
		{name: "ab-testing", spec: abTesting(), play: promoteV2},
		{name: "ab-testing-rolled-back", spec: abTesting(), play: failV2},
		{name: "blue-green", spec: blueGreen(), play: promoteV2},
		{name: "blue-green-with-gate", spec: withGate(blueGreen()), play: gatedBlueGreen},
		{name: "blue-green-on-services", spec: withGate(blueGreen()), plain: true, play: promoteV2},
		{name: "mirrored-canary", spec: mirroring(progressive(), 30), play: promoteV2},
		{name: "mirrored-canary-rolled-back", spec: mirroring(progressive(), 0), play: failV2},
		{name: "mirrored-blue-green", spec: mirroring(blueGreen(), 0), play: promoteV2},
		{name: "session-affinity", spec: withCookies(progressive()), play: cookiesOfTwoRollouts},
		{name: "session-affinity-overtaken", spec: withCookies(progressive()), play: func(t *testing.T, w *world) {
			w.push("v2")
			w.must(t, time.Minute, w.at(1))
			w.push("v3")
			w.promotes(t, "v3")
		}},
		{name: "step-weights", spec: fine, play: promoteV2},
		{name: "step-weight-promotion", spec: backBySteps, play: promoteV2},
		{name: "skipped", spec: skip, play: promoteV2},
	}
}

// TestStrategyStories compares a rollout of each strategy with a golden file that reads like a log.
func TestStrategyStories(t *testing.T) { playStories(t, strategyStories()) }

func playStories(t *testing.T, stories []strategyStory) {
	t.Helper()
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			w := initialised(t, s.spec, !s.plain)
			w.strict = true
			s.play(t, w)
			w.closed(t)
			if len(w.violations) > 0 {
				t.Errorf("violations: %v", w.violations)
			}
			golden(t, s.name, w.story())
		})
	}
}

// closed holds that after a rollout everybody is on the primary, by whatever way they come, and nothing is copied.
func (w *world) closed(t *testing.T) {
	t.Helper()
	st := w.canary.Status
	if st.CanaryWeight != 0 || st.CanaryMatched || st.MirrorWeight != 0 || st.SessionAffinityCookie != "" || st.PrimarySessionAffinityCookie != "" {
		t.Errorf("after the rollout status has weight %d, matched %v, mirror %d, cookies %q and %q",
			st.CanaryWeight, st.CanaryMatched, st.MirrorWeight, st.SessionAffinityCookie, st.PrimarySessionAffinityCookie)
	}
	if len(w.routes) == 0 {
		return
	}
	if got := w.routes[len(w.routes)-1].Split; got != (Split{Primary: 100, Revoked: st.PreviousSessionAffinityCookie}) {
		t.Errorf("after the rollout the route is %+v", got)
	}
}

// TestSteps pins what each analysis comes to, also where a provider cannot do what is asked.
func TestSteps(t *testing.T) {
	all := Traffic{Weighted: true, Matches: true, Mirrors: true, Cookies: true}
	unmatched, uncopied := all, all
	unmatched.Matches, uncopied.Mirrors = false, false
	weightsOfThose := progressive()
	weightsOfThose.Analysis.Match = abTesting().Analysis.Match
	weightsOnServices := progressive()
	for _, tt := range []struct {
		name   string
		spec   v1beta1.CanarySpec
		can    Traffic
		course string
		labels []string
	}{
		{"weights", progressive(), all, "canary | 25, 50", []string{"weight 25", "weight 50"}},
		{"weights of those who match", weightsOfThose, all, "canary 18f2c5a9 | 25, 50", []string{"weight 25", "weight 50"}},
		{"those who match, unknown to the provider", weightsOfThose, unmatched, "blue-green on services 18f2c5a9 | 10 × 0", nil},
		{"A/B testing", abTesting(), all, "ab-testing 18f2c5a9 | 3 × 100", []string{"iteration 1/3", "iteration 2/3", "iteration 3/3"}},
		{"A/B testing, unknown to the provider", abTesting(), unmatched, "blue-green on services 18f2c5a9 | 3 × 0", nil},
		{"blue/green", blueGreen(), all, "blue-green | 2 × 0, 100", []string{"iteration 1/2", "iteration 2/2", "weight 100"}},
		{"blue/green on Services", blueGreen(), Traffic{}, "blue-green on services | 2 × 0", []string{"iteration 1/2", "iteration 2/2"}},
		{"weights on Services", weightsOnServices, Traffic{}, "blue-green on services | 10 × 0", nil},
		{"copies, then weights", mirroring(progressive(), 30), all, "canary | mirror 30, 25, 50", []string{"mirror 30", "weight 25", "weight 50"}},
		{"all copies", mirroring(progressive(), 0), all, "canary | mirror 100, 25, 50", nil},
		{"copies, unknown to the provider", mirroring(progressive(), 30), uncopied, "canary | 25, 50", nil},
		{"copies during blue/green", mirroring(blueGreen(), 0), all, "blue-green | 2 × mirror 100, 100", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDecision(Observed{Canary: &v1beta1.Canary{Spec: tt.spec}, Traffic: tt.can})
			var labels []string
			for _, s := range d.steps() {
				labels = append(labels, s.label)
			}
			if got := d.course(); got != tt.course || tt.labels != nil && !slices.Equal(labels, tt.labels) {
				t.Errorf("course %q with %q; want %q with %q", got, labels, tt.course, tt.labels)
			}
		})
	}
}

// Users who return by steps take the next one only once the provider has accepted the one before.
func TestReturnWaitsForTheProvider(t *testing.T) {
	spec := progressive()
	spec.Analysis.StepWeightPromotion = 20
	w := initialised(t, spec, true)
	w.strict = true
	w.push("v2")
	w.must(t, 2*time.Minute, func() bool { return w.canary.Status.CanaryWeight == 30 })
	w.gateless = true
	w.until(2*time.Minute, func() bool { return false })
	if st := w.canary.Status; st.CanaryWeight != 30 || st.Phase != v1beta1.PhasePromoting {
		t.Errorf("without an answer of the provider: weight %d in %s; want 30 in Promoting\n%s", st.CanaryWeight, st.Phase, w.story())
	}
	w.gateless, w.dirty = false, true
	w.promotes(t, "v2")
	if len(w.violations) > 0 {
		t.Error(w.violations)
	}
}

// Users who go back to a primary that cannot take all of them at once go by its capacity, and nobody is kept on the canary by cookie meanwhile.
func TestNobodyIsKeptByCookieOnTheWayBack(t *testing.T) {
	spec := withCookies(progressive())
	spec.Analysis.Match = abTesting().Analysis.Match
	w := initialised(t, spec, true)
	w.push("v2")
	w.must(t, 2*time.Minute, w.at(1))
	for i := range len(w.primary.pods) / 2 {
		w.primary.pods[i].readyAt = w.now.Add(30 * time.Second)
	}
	w.push("v3")
	w.must(t, time.Minute, func() bool { return w.canary.Status.Rollout.Stage == v1beta1.StageFencing })
	got, cookie := w.routes[len(w.routes)-1].Split, w.canary.Status.PreviousSessionAffinityCookie
	if want := (Split{Primary: 50, Canary: 50, Matched: true, Revoked: cookie}); got != want || cookie == "" {
		t.Errorf("on the way back with half of the primary the route is %+v; want %+v\n%s", got, want, w.story())
	}
	w.promotes(t, "v3")
	w.closed(t)
}

// Where a route cannot share out those who match, they stay together until the primary can take all of them.
func TestThoseWhoMatchStayTogether(t *testing.T) {
	for _, tt := range []struct{ ready, want int32 }{{0, 100}, {1, 100}, {2, 0}} {
		c := &v1beta1.Canary{Spec: abTesting()}
		c.Status.CanaryWeight, c.Status.CanaryMatched = 100, true
		d := newDecision(Observed{
			Canary: c, Traffic: Traffic{Weighted: true, Matches: true, MatchesTogether: true},
			Primary: Workload{Exists: true, Replicas: 2}, Services: Services{PrimaryReady: tt.ready},
		})
		d.takeBack()
		if got := d.plan.Route.Split; int32(got.Canary) != tt.want || d.st.CanaryWeight != tt.want || got.Matched != (tt.want > 0) {
			t.Errorf("with %d of 2 pods ready: %+v", tt.ready, got)
		}
	}
}
