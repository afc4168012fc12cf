package v1beta1

import (
	"slices"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// InRollout tells whether a change is on its way in this phase.
func (p CanaryPhase) InRollout() bool {
	switch p {
	case PhaseWaiting, PhaseProgressing, PhaseWaitingPromotion, PhasePromoting, PhaseFinalising:
		return true
	}
	return false
}

// Condition returns the condition of a type, or nil.
func (s *CanaryStatus) Condition(conditionType string) *Condition {
	for i := range s.Conditions {
		if s.Conditions[i].Type == conditionType {
			return &s.Conditions[i]
		}
	}
	return nil
}

// SetCondition stores a condition by its type and tells whether anything changed. It dates the condition itself: the
// update time moves when any field changes, the transition time when the status does.
func (s *CanaryStatus) SetCondition(c Condition, now metav1.Time) bool {
	c.LastUpdateTime, c.LastTransitionTime = now, now
	old := s.Condition(c.Type)
	if old == nil {
		s.Conditions = append(s.Conditions, c)
		return true
	}
	if old.Status == c.Status && old.Reason == c.Reason && old.Message == c.Message {
		return false
	}
	if old.Status == c.Status {
		c.LastTransitionTime = old.LastTransitionTime
	}
	*old = c
	return true
}

// RecordCheck puts a result in front of the checks. It replaces the result of the same check at the same stage and step, cuts the
// message to MaxCheckMessage, hands on the last answers to a metric and keeps the newest MaxChecks.
func (s *CanaryStatus) RecordCheck(r CheckResult) {
	r.Message = cut(r.Message, MaxCheckMessage)
	older := slices.Clone(s.Checks)
	r.remember(older)
	rest := slices.DeleteFunc(older, func(o CheckResult) bool {
		return o.Name == r.Name && o.Kind == r.Kind && o.Stage == r.Stage && o.Step == r.Step
	})
	s.Checks = append([]CheckResult{r}, rest[:min(len(rest), MaxChecks-1)]...)
}

// cut shortens text to at most n bytes without splitting a character.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
