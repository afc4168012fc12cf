//go:build integration

package reconciler

import (
	"slices"
	"sync"
	"testing"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// watched records the splits of an application's route, and holds that the stored status had each of them before the route.
type watched struct {
	mu     sync.Mutex
	splits []core.Split
	early  []core.Split
}

func (s *stage) watchSplits() *watched {
	w := &watched{}
	s.router.mu.Lock()
	defer s.router.mu.Unlock()
	s.router.before = func(split core.Split) {
		st := s.canary().Status
		w.mu.Lock()
		defer w.mu.Unlock()
		w.splits = append(w.splits, split)
		stored := core.Split{
			Primary: 100 - int(st.CanaryWeight), Canary: int(st.CanaryWeight), Matched: st.CanaryMatched, Mirror: int(st.MirrorWeight),
			Cookie: st.SessionAffinityCookie, PrimaryCookie: st.PrimarySessionAffinityCookie,
		}
		if stored.Cookie == "" {
			stored.Revoked = st.PreviousSessionAffinityCookie
		}
		if stored != split {
			w.early = append(w.early, split)
		}
	}
	return w
}

// outlines are the splits without the values of cookies.
func (w *watched) outlines() []core.Split {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []core.Split
	for _, s := range w.splits {
		for _, cookie := range []*string{&s.Cookie, &s.PrimaryCookie, &s.Revoked} {
			if *cookie != "" {
				*cookie = "some"
			}
		}
		out = append(out, s)
	}
	return slices.Compact(out)
}

// Each strategy on an API server: what is in force is stored, the CRD drops nothing of it, and it is stored before the route has it.
func TestStrategiesOnAnAPIServer(t *testing.T) {
	t.Parallel()
	back := core.Split{Primary: 100}
	for name, tt := range map[string]struct {
		analysis v1beta1.CanaryAnalysis
		want     []core.Split
	}{
		"ab-testing": {
			v1beta1.CanaryAnalysis{Iterations: 2, Match: []v1beta1.AnalysisMatch{{Headers: map[string]v1beta1.StringMatch{"x-user": {Exact: "me"}}}}},
			[]core.Split{{Canary: 100, Matched: true}, back},
		},
		"blue-green": {v1beta1.CanaryAnalysis{Iterations: 1}, []core.Split{{Canary: 100}, back}},
		"mirrored canary, back by steps": {
			v1beta1.CanaryAnalysis{StepWeights: []int32{60}, Mirror: true, MirrorWeight: 10, StepWeightPromotion: 40},
			[]core.Split{{Primary: 100, Mirror: 10}, {Primary: 40, Canary: 60}, {Primary: 80, Canary: 20}, back},
		},
		"session affinity": {
			v1beta1.CanaryAnalysis{StepWeights: []int32{40, 80}, SessionAffinity: &v1beta1.SessionAffinity{CookieName: "c", PrimaryCookieName: "p"}},
			[]core.Split{
				{Primary: 60, Canary: 40, Cookie: "some", PrimaryCookie: "some"}, {Primary: 20, Canary: 80, Cookie: "some", PrimaryCookie: "some"},
				{Primary: 100, Revoked: "some"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.application()
			change(s, "web", &v1beta1.Canary{}, func(c *v1beta1.Canary) {
				tt.analysis.Interval, tt.analysis.Threshold = "1s", 2
				c.Spec.Analysis = tt.analysis
			})
			s.settled(v1beta1.PhaseInitialized)
			seen := s.watchSplits()
			s.setImage("web:2")
			s.settled(v1beta1.PhaseSucceeded)
			if got := seen.outlines(); !slices.Equal(got, tt.want) {
				t.Errorf("the route went through %+v; want %+v", got, tt.want)
			}
			if len(seen.early) > 0 {
				t.Errorf("the route had %+v before the status", seen.early)
			}
			if got := s.image("web-primary"); got != "web:2" {
				t.Errorf("the primary runs %s", got)
			}
		})
	}
}
