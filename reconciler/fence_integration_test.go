//go:build integration

package reconciler

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// fence is what admission does before it lets a change of the ConfigMap through.
func (s *stage) fence() {
	s.Helper()
	c := s.canary()
	if !core.NeedsHold(c, time.Now()) {
		return
	}
	if err := s.router.Fence(s.Context(), c, v1beta1.Fence{Cause: "configmap/settings", At: metav1.NowMicro()}); err != nil {
		s.Fatal(err)
	}
}

func (s *stage) colour(value string) {
	s.Helper()
	change(s, "settings", &corev1.ConfigMap{}, func(c *corev1.ConfigMap) { c.Data["colour"] = value })
}

// A config changes at 50 %: users are off the canary before the change lands, the analysis starts over with new pods, and what is promoted is what
// was analysed. A change that never lands holds the rollout up for a while and nothing else.
func TestFencedConfigChange(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.application()
	s.settled(v1beta1.PhaseInitialized)
	s.checks.set(false, "")
	s.setImage("web:2")
	s.until("the canary is at 50 %", func() bool { return s.canary().Status.CanaryWeight == 50 })
	old := s.canary().Status.Rollout
	asked := len(s.checks.keys())

	s.fence()
	s.until("the rollout waits for the change", func() bool {
		ready := s.canary().Status.Condition(v1beta1.ConditionReady)
		return ready.Reason == "Fenced" && strings.Contains(ready.Message, "configmap/settings")
	})
	if weight, fenced := s.router.at(s.ns); weight != 0 || !fenced {
		t.Errorf("behind the fence the canary has %d %%, fence stands: %t", weight, fenced)
	}
	s.told("Fenced", "configmap/settings is about to change")
	s.until("the rollout resumes at its step", func() bool {
		weight, fenced := s.router.at(s.ns)
		return weight == 50 && !fenced && s.canary().Status.CanaryWeight == 50
	})
	if ro := s.canary().Status.Rollout; ro.ID != old.ID || ro.Attempt == old.Attempt {
		t.Errorf("resumed as %+v, was %+v", ro, old)
	}
	s.until("the checks are asked anew", func() bool { return len(s.checks.keys()) > asked })

	before := len(s.router.written())
	s.fence()
	s.colour("green")
	s.until("the analysis starts over", func() bool {
		ro := s.canary().Status.Rollout
		return ro != nil && ro.Revision != old.Revision
	})
	// By now it may be at its first step already.
	if weights := slices.Compact(s.router.written()[before:]); !slices.Equal(weights, []int{0}) && !slices.Equal(weights, []int{0, 50}) {
		t.Errorf("since the fence the weights were %v; the new revision has to begin without users", weights)
	}
	s.checks.set(true, "")
	s.settled(v1beta1.PhaseSucceeded)
	if got := s.served("colour"); got != "green" || s.image("web-primary") != "web:2" {
		t.Errorf("the primary serves %s with %s", s.image("web-primary"), got)
	}
}

// keys returns the keys of the checks asked.
func (f *fakeChecker) keys() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for k := range f.asked {
		out = append(out, k)
	}
	return out
}

// served is what the primary's pods read of the ConfigMap.
func (s *stage) served(field string) string {
	s.Helper()
	for _, from := range s.deployment("web-primary").Spec.Template.Spec.Containers[0].EnvFrom {
		if from.ConfigMapRef != nil {
			c := &corev1.ConfigMap{}
			s.get(from.ConfigMapRef.Name, c)
			return c.Data[field]
		}
	}
	return ""
}

// TestConfigChangesAtRandomInstants changes a ConfigMap fifty times at random instants around the last check and the promotion of the change before, with
// admission's fence and without. What is promoted was analysed, always, and no change is lost: the last one serves in the end.
func TestConfigChangesAtRandomInstants(t *testing.T) {
	t.Parallel()
	const changes, lanes = 50, 5
	for lane := range uint64(lanes) {
		t.Run(fmt.Sprint("lane ", lane), func(t *testing.T) {
			t.Parallel()
			t.Logf("seed %d", lane)
			s := newStage(t)
			s.application()
			s.settled(v1beta1.PhaseInitialized)
			initial := s.canary().Status.PromotedRevision
			stop := s.watchPromotions(initial)
			random := rand.New(rand.NewPCG(lane, 3))
			last := ""
			for i := range changes / lanes {
				// With the interval of a second, a check and a promotion follow within two; a good part of the instants falls between them.
				s.sometime(random)
				if random.IntN(3) > 0 {
					s.fence()
				}
				last = fmt.Sprintf("c%d", i)
				s.colour(last)
			}
			s.until("the last change serves", func() bool { return s.served("colour") == last && s.canary().Status.Phase == v1beta1.PhaseSucceeded })
			for _, unanalysed := range stop() {
				t.Errorf("seed %d: the primary was given %s, which no check had passed", lane, unanalysed)
			}
		})
	}
}

// sometime waits until the rollout in progress has come to a random place: an instant after it began, at its last step, being promoted, or over.
func (s *stage) sometime(random *rand.Rand) {
	s.Helper()
	place := random.IntN(5)
	s.until("the rollout gets somewhere", func() bool {
		st := s.canary().Status
		ro := st.Rollout
		switch {
		case ro == nil:
			return place == 4 || st.PromotedRevision == st.CurrentRevision
		case place == 0:
			return true
		case place == 1:
			return ro.Stage == v1beta1.StageAnalysing
		case place == 2:
			return ro.Stage == v1beta1.StageAnalysing && st.CanaryWeight == 50
		case place == 3:
			return ro.Stage == v1beta1.StagePromoting || ro.Stage == v1beta1.StageFinalising
		}
		return false
	})
	// And a random while later, up to the length of an interval.
	done := time.Now().Add(time.Duration(random.IntN(1000)) * time.Millisecond)
	s.until("a while has passed", func() bool { return time.Now().After(done) })
}

// watchPromotions notes each revision that the primary is given, and returns those whose checks had not passed by then.
func (s *stage) watchPromotions(known string) func() []string {
	ctx, cancel := context.WithCancel(s.Context())
	finished := make(chan struct{})
	var bad, seen []string
	go func() {
		defer close(finished)
		wait.UntilWithContext(ctx, func(context.Context) {
			if ctx.Err() != nil {
				return
			}
			digest := s.deployment("web-primary").Annotations[v1beta1.LabelRevision]
			if digest == "" || digest == known || slices.Contains(seen, digest) {
				return
			}
			seen = append(seen, digest)
			if !s.checks.passed(digest) {
				bad = append(bad, digest)
			}
		}, 10*time.Millisecond)
	}()
	return func() []string {
		cancel()
		<-finished
		return bad
	}
}

// passed tells whether the checks of a revision were ever answered.
func (f *fakeChecker) passed(revision string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answered[revision]
}
