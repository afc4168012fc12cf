package reconciler

import (
	"fmt"
	"strings"

	"github.com/sluice-dev/sluice/analysis/alert"
	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// severities are what people are alerted of, by the reason of the event. Warnings that are not listed are worth a warning, normal events nothing.
// Each transition has one reason that alerts: a failure is told when it is decided, whatever caused it, and not again when its traces are gone.
var severities = map[string]v1beta1.AlertSeverity{
	"Initialized": v1beta1.SeverityInfo,
	"TakenOver":   v1beta1.SeverityInfo,
	"NewRevision": v1beta1.SeverityInfo,
	"Promoted":    v1beta1.SeverityInfo,
	"Reverted":    v1beta1.SeverityInfo,
	"Restored":    v1beta1.SeverityInfo,

	"RollingBack":      v1beta1.SeverityError,
	"PromotionFailed":  v1beta1.SeverityError,
	"PrimaryUnhealthy": v1beta1.SeverityError,
	"TargetUnhealthy":  v1beta1.SeverityError,
	"CanaryLost":       v1beta1.SeverityError,
	"SnapshotLost":     v1beta1.SeverityError,

	// One of several rounds; the end of the rollout alerts.
	"CheckFailed": "",
	// The end of what RollingBack told.
	"Failed": "",
	// Whoever asked reads the answer where it was asked.
	"VerbRefused": "",
	"VerbIgnored": "",
}

// severityOf returns how severe an event is; empty alerts nobody.
func severityOf(e core.Event) v1beta1.AlertSeverity {
	if s, known := severities[e.Reason]; known {
		return s
	}
	if e.Type == "Warning" {
		return v1beta1.SeverityWarn
	}
	return ""
}

// alert tells the alerts of a Canary of an event of its plan. The status that holds the transition is stored by then, so it happens once, and where the
// process ends in between it is lost.
func (r *Reconciler) alert(w *world, plan core.Plan, e core.Event) {
	severity := severityOf(e)
	if r.Alerter == nil || severity == "" || e.Reason == "WaitingForApproval" && muted(w, plan) {
		return
	}
	c := w.canary
	r.Alerter.Alert(c.Spec.Analysis.Alerts, alert.Message{
		Namespace: c.Namespace, Canary: c.Name, Phase: c.Status.Phase, Severity: severity, Reason: e.Reason, Text: e.Message,
		Fields: alertFields(c, w.observed.Traffic, e.Reason),
	})
}

// muted tells whether all gates that refuse have asked for silence.
func muted(w *world, plan core.Plan) bool {
	quiet := false
	for _, ask := range plan.Checks {
		hooks := w.canary.Spec.Analysis.Webhooks
		answer, known := w.observed.Answers[ask.Key]
		if !known || answer.Verdict == v1beta1.VerdictPass || ask.Kind != v1beta1.CheckWebhook || ask.Index < 0 || ask.Index >= len(hooks) {
			continue
		}
		if !hooks[ask.Index].MuteAlert {
			return false
		}
		quiet = true
	}
	return quiet
}

// alertFields are the details of an alert; the beginnings say what to expect, as Flagger's do.
func alertFields(c *v1beta1.Canary, traffic core.Traffic, reason string) []alert.Field {
	ref := c.Spec.TargetRef
	fields := []alert.Field{{Name: "Target", Value: fmt.Sprintf("%s/%s.%s", ref.Kind, ref.Name, c.Namespace)}}
	if reason != "Initialized" && reason != "NewRevision" {
		return fields
	}
	a := &c.Spec.Analysis
	return append(fields,
		alert.Field{Name: "Failed checks threshold", Value: fmt.Sprint(a.FailureThreshold())},
		alert.Field{Name: "Progress deadline", Value: fmt.Sprintf("%ds", int(c.ProgressDeadline().Seconds()))},
		alert.Field{Name: "Traffic routing", Value: routing(a, traffic)},
	)
}

// routing says how users come to the canary.
func routing(a *v1beta1.CanaryAnalysis, traffic core.Traffic) string {
	switch strategy := a.Strategy(traffic.Weighted); {
	case strategy != v1beta1.StrategyCanary:
		return string(strategy)
	case len(a.StepWeights) > 0:
		steps := strings.Trim(fmt.Sprint(a.StepWeights), "[]")
		return fmt.Sprintf("Weights %s max %d", strings.ReplaceAll(steps, " ", ","), a.MaxWeight)
	default:
		return fmt.Sprintf("Weight step %d max %d", a.StepWeight, a.MaxWeight)
	}
}
