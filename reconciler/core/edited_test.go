package core

import (
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// midway starts a rollout of v2 and waits for a step.
func (w *world) midway(t *testing.T, step int32) {
	t.Helper()
	w.push("v2")
	w.must(t, 2*time.Minute, w.at(step))
}

// stepsTo replaces the weights of a Canary.
func stepsTo(weights ...int32) func(*v1beta1.CanarySpec) {
	return func(s *v1beta1.CanarySpec) {
		s.Analysis.StepWeight, s.Analysis.MaxWeight, s.Analysis.StepWeights = 0, 0, weights
	}
}

func toBlueGreen(s *v1beta1.CanarySpec) {
	s.Analysis.StepWeight, s.Analysis.MaxWeight, s.Analysis.Iterations = 0, 0, 2
}

func editStories() []strategyStory {
	skipped := func(s *v1beta1.CanarySpec) { s.SkipAnalysis = true }
	return []strategyStory{
		{name: "skipped-midway", spec: progressive(), play: func(t *testing.T, w *world) {
			w.midway(t, 0)
			w.edit("sets skipAnalysis", skipped)
			w.promotes(t, "v2")
		}},
		{name: "skipped-while-waiting-for-promotion", spec: withGate(progressive()), play: func(t *testing.T, w *world) {
			w.verdict = closed
			w.push("v2")
			w.must(t, time.Minute, func() bool { return w.canary.Status.Phase == v1beta1.PhaseWaitingPromotion })
			w.edit("sets skipAnalysis", skipped)
			w.promotes(t, "v2")
		}},
		{name: "suspended-midway", spec: progressive(), play: func(t *testing.T, w *world) {
			w.midway(t, 0)
			w.edit("suspends the Canary", func(s *v1beta1.CanarySpec) { s.Suspend = true })
			w.until(time.Minute, func() bool { return false })
			if w.canary.Status.CanaryWeight != 25 {
				t.Errorf("suspended at weight %d; want 25", w.canary.Status.CanaryWeight)
			}
			w.edit("resumes it", func(s *v1beta1.CanarySpec) { s.Suspend = false })
			w.promotes(t, "v2")
		}},
		{name: "edited-to-fewer-steps", spec: analysed(func(a *v1beta1.CanaryAnalysis) { a.StepWeights = []int32{10, 20, 40, 80} }), play: func(t *testing.T, w *world) {
			w.midway(t, 2)
			w.edit("asks for the steps 10, 30", stepsTo(10, 30))
			w.promotes(t, "v2")
		}},
		{name: "edited-to-more-steps", spec: analysed(func(a *v1beta1.CanaryAnalysis) { a.StepWeights = []int32{30, 60} }), play: func(t *testing.T, w *world) {
			w.midway(t, 0)
			w.edit("asks for the steps 10, 30, 50, 100", stepsTo(10, 30, 50, 100))
			w.promotes(t, "v2")
		}},
		{name: "edited-to-higher-steps", spec: analysed(func(a *v1beta1.CanaryAnalysis) { a.StepWeights = []int32{10, 20} }), play: func(t *testing.T, w *world) {
			w.midway(t, 1)
			w.edit("asks for the steps 50, 100", stepsTo(50, 100))
			w.promotes(t, "v2")
		}},
		{name: "edited-to-fewer-iterations", spec: analysed(func(a *v1beta1.CanaryAnalysis) { a.Iterations = 9 }), play: func(t *testing.T, w *world) {
			w.midway(t, 4)
			w.edit("asks for 3 iterations", func(s *v1beta1.CanarySpec) { s.Analysis.Iterations = 3 })
			w.promotes(t, "v2")
		}},
		{name: "edited-without-copies", spec: mirroring(blueGreen(), 0), play: func(t *testing.T, w *world) {
			w.midway(t, 0)
			w.edit("wants no copies", func(s *v1beta1.CanarySpec) { s.Analysis.Mirror = false })
			w.promotes(t, "v2")
		}},
		{name: "edited-to-blue-green", spec: progressive(), play: func(t *testing.T, w *world) {
			w.midway(t, 1)
			w.edit("asks for blue/green", toBlueGreen)
			w.promotes(t, "v2")
		}},
		{name: "edited-while-the-gate-is-asked", spec: withGate(progressive()), play: func(t *testing.T, w *world) {
			w.push("v2")
			w.must(t, time.Minute, func() bool {
				ro := w.canary.Status.Rollout
				return ro != nil && ro.Stage == v1beta1.StageConfirmingPromotion
			})
			w.edit("asks for blue/green", toBlueGreen)
			w.promotes(t, "v2")
		}},
		{name: "edited-to-blue-green-with-cookies", spec: withCookies(progressive()), play: func(t *testing.T, w *world) {
			w.midway(t, 0)
			w.edit("asks for blue/green", func(s *v1beta1.CanarySpec) {
				toBlueGreen(s)
				s.Analysis.SessionAffinity = nil
			})
			w.promotes(t, "v2")
		}},
		{name: "edited-to-other-users", spec: abTesting(), play: func(t *testing.T, w *world) {
			w.midway(t, 1)
			w.edit("means others by match", func(s *v1beta1.CanarySpec) {
				s.Analysis.Match = []v1beta1.AnalysisMatch{{Headers: map[string]v1beta1.StringMatch{"x-user": {Exact: "volunteer"}}}}
			})
			w.promotes(t, "v2")
		}},
		{name: "edited-while-suspended", spec: abTesting(), play: func(t *testing.T, w *world) {
			w.midway(t, 1)
			w.edit("suspends the Canary", func(s *v1beta1.CanarySpec) { s.Suspend = true })
			w.until(5*time.Second, func() bool { return false })
			w.edit("takes match out", func(s *v1beta1.CanarySpec) { s.Analysis.Match = nil })
			w.until(5*time.Second, func() bool { return false })
			if got := w.routes[len(w.routes)-1].Split; got != onPrimary() {
				t.Errorf("without a condition the route is %+v; want everybody on the primary", got)
			}
			w.edit("resumes it", func(s *v1beta1.CanarySpec) { s.Suspend = false })
			w.promotes(t, "v2")
		}},
		{name: "edited-other-cookies", spec: withCookies(progressive()), play: func(t *testing.T, w *world) {
			w.midway(t, 0)
			w.edit("renames the cookies", func(s *v1beta1.CanarySpec) {
				s.Analysis.SessionAffinity = &v1beta1.SessionAffinity{CookieName: "other-cookie"}
			})
			w.until(5*time.Second, func() bool { return false })
			w.edit("wants no cookies", func(s *v1beta1.CanarySpec) { s.Analysis.SessionAffinity = nil })
			w.promotes(t, "v2")
			if got := w.canary.Status.PreviousSessionAffinityCookie; got != "" {
				t.Errorf("a Canary without cookies remembers %q", got)
			}
		}},
		{name: "edited-promotion-steps", spec: progressive(), play: func(t *testing.T, w *world) {
			w.edit("wants users to return by steps of 10", func(s *v1beta1.CanarySpec) { s.Analysis.StepWeightPromotion = 10 })
			w.push("v2")
			w.must(t, 2*time.Minute, func() bool { return w.canary.Status.CanaryWeight == 30 })
			w.edit("wants them to return at once", func(s *v1beta1.CanarySpec) { s.Analysis.StepWeightPromotion = 0 })
			w.promotes(t, "v2")
		}},
	}
}

// TestEditedMidway compares with golden files what an edit of the analysis does to a rollout that is under way: nobody is left where neither the old nor
// the new analysis wants them.
func TestEditedMidway(t *testing.T) { playStories(t, editStories()) }
