package v1beta1

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestSetCondition(t *testing.T) {
	at := func(minute int) metav1.Time { return metav1.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC) }
	var s CanaryStatus
	steps := []struct {
		name                string
		condition           Condition
		now                 metav1.Time
		changed             bool
		updated, transition metav1.Time
	}{
		{"new", Condition{Type: "Promoted", Status: metav1.ConditionUnknown, Reason: "Progressing"}, at(1), true, at(1), at(1)},
		{"same", Condition{Type: "Promoted", Status: metav1.ConditionUnknown, Reason: "Progressing"}, at(2), false, at(1), at(1)},
		{"reason", Condition{Type: "Promoted", Status: metav1.ConditionUnknown, Reason: "Promoting"}, at(3), true, at(3), at(1)},
		{"status", Condition{Type: "Promoted", Status: metav1.ConditionTrue, Reason: "Succeeded"}, at(4), true, at(4), at(4)},
	}
	for _, tt := range steps {
		if got := s.SetCondition(tt.condition, tt.now); got != tt.changed {
			t.Errorf("%s: SetCondition() = %v; want %v", tt.name, got, tt.changed)
		}
		c := s.Condition("Promoted")
		if !c.LastUpdateTime.Equal(&tt.updated) || !c.LastTransitionTime.Equal(&tt.transition) || c.Reason != tt.condition.Reason {
			t.Errorf("%s: %+v; want updated %v, transition %v", tt.name, *c, tt.updated, tt.transition)
		}
	}
	if s.Condition("Ready") != nil || len(s.Conditions) != 1 {
		t.Errorf("conditions: %+v", s.Conditions)
	}
}

func TestRecordCheck(t *testing.T) {
	var s CanaryStatus
	for i := range 40 {
		s.RecordCheck(CheckResult{Name: fmt.Sprint("m", i%35), Kind: CheckMetric, Step: 10, Attempt: int32(i)})
	}
	if len(s.Checks) != MaxChecks {
		t.Fatalf("%d checks; want %d", len(s.Checks), MaxChecks)
	}
	seen := map[string]bool{}
	for i, c := range s.Checks {
		if want := int32(39 - i); c.Attempt != want {
			t.Errorf("check %d is attempt %d; want %d: newest first, none lost", i, c.Attempt, want)
		}
		if seen[c.Name] {
			t.Errorf("two results of %s at one step", c.Name)
		}
		seen[c.Name] = true
	}
	s.RecordCheck(CheckResult{Name: "m4", Kind: CheckMetric, Step: 20})
	if s.Checks[0].Step != 20 || s.Checks[1].Name != "m4" {
		t.Error("a result at another step replaced the earlier one")
	}
	s.RecordCheck(CheckResult{Name: "long", Message: strings.Repeat("ä", 200)})
	if m := s.Checks[0].Message; len(m) > MaxCheckMessage || len(m) < MaxCheckMessage-1 || !utf8.ValidString(m) {
		t.Errorf("message of %d bytes, valid %v", len(m), utf8.ValidString(m))
	}
}

func TestRecordCheckHandsOnTheLastAnswers(t *testing.T) {
	var s CanaryStatus
	for i := range 12 {
		s.RecordCheck(CheckResult{Name: "m", Kind: CheckMetric, Step: int32(i / 2), Weight: int32(i), Value: fmt.Sprint(i), Verdict: VerdictPass})
		s.RecordCheck(CheckResult{Name: "m", Kind: CheckWebhook, Step: int32(i / 2), Verdict: VerdictPass})
	}
	before := s.DeepCopy()
	held := s
	held.RecordCheck(CheckResult{Name: "m", Kind: CheckMetric, Step: 6, Weight: 12, Value: "12", Verdict: VerdictFail})
	if !reflect.DeepEqual(&s, before) {
		t.Error("a status that was copied before is changed by a result")
	}
	for i, c := range held.Checks {
		if want := map[bool]int{true: MaxRecent, false: 0}[i == 0]; len(c.Recent) != want {
			t.Fatalf("result %d of %s %s has %d answers; want %d", i, c.Kind, c.Name, len(c.Recent), want)
		}
	}
	for i, v := range held.Checks[0].Recent {
		want := CheckValue{Value: fmt.Sprint(i + 3), Verdict: VerdictPass, Step: int32((i + 3) / 2), Weight: int32(i + 3)}
		if i == MaxRecent-1 {
			want.Verdict = VerdictFail
		}
		if v != want {
			t.Errorf("answer %d is %+v; want %+v", i, v, want)
		}
	}
}

func TestPhasesInRollout(t *testing.T) {
	want := map[CanaryPhase]bool{
		"": false, PhaseInitializing: false, PhaseInitialized: false, PhaseWaiting: true, PhaseProgressing: true,
		PhaseWaitingPromotion: true, PhasePromoting: true, PhaseFinalising: true, PhaseSucceeded: false, PhaseFailed: false,
		PhaseTerminating: false, PhaseTerminated: false,
	}
	for phase, in := range want {
		if got := phase.InRollout(); got != in {
			t.Errorf("%q.InRollout() = %v; want %v", phase, got, in)
		}
	}
}

func TestHold(t *testing.T) {
	h := Hold{Revision: "abc123", Paused: true}
	if got, want := h.String(), `{"revision":"abc123","paused":true}`; got != want {
		t.Errorf("String() = %s; want %s", got, want)
	}
	if got, err := ParseHold(h.String()); err != nil || got != h {
		t.Errorf("ParseHold(String()) = %+v, %v; want %+v", got, err, h)
	}
	for _, bad := range []string{"", "yes", "{}", `{"paused":true}`} {
		if got, err := ParseHold(bad); err == nil {
			t.Errorf("ParseHold(%q) = %+v without error", bad, got)
		}
	}
}
