package reconciler

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

func TestOnlyWordsAreHeldBack(t *testing.T) {
	then := time.Unix(1000, 0)
	stored := v1beta1.CanaryStatus{}
	stored.Phase, stored.Rollout = v1beta1.PhaseProgressing, &v1beta1.RolloutStatus{Revision: "a"}
	stored.SetCondition(v1beta1.Condition{Type: v1beta1.ConditionReady, Status: metav1.ConditionFalse, Reason: "CanaryNotReady", Message: "0 of 2 pods"}, metav1.NewTime(then))
	say := func(s *v1beta1.CanaryStatus, reason, message string) {
		s.SetCondition(v1beta1.Condition{Type: v1beta1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason, Message: message}, metav1.NewTime(then.Add(time.Second)))
	}
	for name, c := range map[string]struct {
		change func(*core.Plan)
		after  time.Duration
		want   time.Duration
	}{
		"other words":                 {func(*core.Plan) {}, time.Second, wordsEvery - time.Second},
		"other words, later":          {func(*core.Plan) {}, wordsEvery, 0},
		"a clock that is behind":      {func(*core.Plan) {}, -time.Second, 0},
		"another reason":              {func(p *core.Plan) { say(&p.Status, "Analysing", "1 of 2 pods") }, time.Second, 0},
		"an intent with the words":    {func(p *core.Plan) { p.Status.Rollout.Attempt++ }, time.Second, 0},
		"another phase":               {func(p *core.Plan) { p.Status.Phase = v1beta1.PhaseFailed }, time.Second, 0},
		"an event with the words":     {func(p *core.Plan) { p.Events = []core.Event{{Reason: "Synced"}} }, time.Second, 0},
		"the condition for the first": {func(p *core.Plan) { p.Status.Conditions = nil }, time.Second, 0},
	} {
		plan := core.Plan{}
		stored.DeepCopyInto(&plan.Status)
		say(&plan.Status, "CanaryNotReady", "1 of 2 pods")
		c.change(&plan)
		if got := holdWords(stored, plan, then.Add(c.after)); got != c.want {
			t.Errorf("%s: held back for %s, want %s", name, got, c.want)
		}
	}
}
