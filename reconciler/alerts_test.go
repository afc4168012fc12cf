package reconciler

import (
	"slices"
	"testing"

	"github.com/sluice-dev/sluice/analysis/alert"
	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

func TestSeverities(t *testing.T) {
	for _, tt := range []struct {
		event core.Event
		want  v1beta1.AlertSeverity
	}{
		{core.Event{Type: "Warning", Reason: "RollingBack"}, v1beta1.SeverityError},
		{core.Event{Type: "Warning", Reason: "Failed"}, ""},
		{core.Event{Type: "Warning", Reason: "CheckFailed"}, ""},
		{core.Event{Type: "Warning", Reason: "WaitingForApproval"}, v1beta1.SeverityWarn},
		{core.Event{Type: "Warning", Reason: "Unheard"}, v1beta1.SeverityWarn},
		{core.Event{Type: "Normal", Reason: "Promoted"}, v1beta1.SeverityInfo},
		{core.Event{Type: "Normal", Reason: "Advance"}, ""},
	} {
		if got := severityOf(tt.event); got != tt.want {
			t.Errorf("%+v is %q, want %q", tt.event, got, tt.want)
		}
	}
}

// toldAlerts remembers what it is told.
type toldAlerts struct{ got []alert.Message }

func (a *toldAlerts) Alert(_ []v1beta1.CanaryAlert, m alert.Message) { a.got = append(a.got, m) }

// A gate that asks for silence alerts nobody; one that does not beside it does.
func TestMutedGates(t *testing.T) {
	gate := func(i int) core.Check {
		return core.Check{Key: string(rune('a' + i)), Kind: v1beta1.CheckWebhook, Index: i}
	}
	hooks := []v1beta1.CanaryWebhook{{Name: "quiet", MuteAlert: true}, {Name: "loud"}, {Name: "agrees"}}
	for _, tt := range []struct {
		refuse []int
		event  string
		told   int
	}{
		{[]int{0}, "WaitingForApproval", 0},
		{[]int{1}, "WaitingForApproval", 1},
		{[]int{0, 1}, "WaitingForApproval", 1},
		{[]int{0}, "RollingBack", 1},
		{nil, "WaitingForApproval", 1},
	} {
		c := &v1beta1.Canary{Spec: v1beta1.CanarySpec{Analysis: v1beta1.CanaryAnalysis{Webhooks: hooks}}}
		w := &world{canary: c, observed: core.Observed{Answers: map[string]core.Answer{}}}
		plan := core.Plan{}
		for i := range hooks {
			verdict := v1beta1.VerdictPass
			if slices.Contains(tt.refuse, i) {
				verdict = v1beta1.VerdictFail
			}
			plan.Checks = append(plan.Checks, gate(i))
			w.observed.Answers[gate(i).Key] = core.Answer{Verdict: verdict}
		}
		alerts := &toldAlerts{}
		r := New(Options{Alerter: alerts})
		r.alert(w, plan, core.Event{Type: "Warning", Reason: tt.event, Message: "m"})
		if len(alerts.got) != tt.told {
			t.Errorf("%v refuse, %s: %d alerts, want %d", tt.refuse, tt.event, len(alerts.got), tt.told)
		}
	}
}

func TestAlertFields(t *testing.T) {
	c := &v1beta1.Canary{}
	c.Namespace = "prod"
	c.Spec.TargetRef.Kind, c.Spec.TargetRef.Name = "Deployment", "web"
	c.Spec.Analysis = v1beta1.CanaryAnalysis{StepWeights: []int32{1, 10, 50}, MaxWeight: 60, Threshold: 5}
	target := alert.Field{Name: "Target", Value: "Deployment/web.prod"}
	if got := alertFields(c, core.Traffic{Weighted: true}, "RollingBack"); !slices.Equal(got, []alert.Field{target}) {
		t.Errorf("%v", got)
	}
	want := []alert.Field{target, {Name: "Failed checks threshold", Value: "5"}, {Name: "Progress deadline", Value: "600s"},
		{Name: "Traffic routing", Value: "Weights 1,10,50 max 60"}}
	if got := alertFields(c, core.Traffic{Weighted: true}, "NewRevision"); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
