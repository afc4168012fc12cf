package core

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// outcome is what a set of checks came to.
type outcome int

const (
	// pending: at least one has not been answered; the plan asks them.
	pending outcome = iota
	passed
	failed
)

// gateRetry bounds how long a refused gate waits before it is asked again.
const gateRetry = 10 * time.Second

// ask puts checks into the plan and tells what their answers come to. Results go to status once all have been answered. Metrics are asked side by
// side; hooks one after the other, because one may prepare what the next needs, and the first refusal spares the rest.
func (d *decision) ask(checks []Check) outcome {
	result, answered := passed, 0
	for _, c := range checks {
		d.plan.Checks = append(d.plan.Checks, c)
		hook := c.Kind == v1beta1.CheckWebhook
		a, known := d.in.Answers[c.Key]
		switch {
		case !known && hook:
			return pending
		case !known:
			result = pending
			continue
		}
		answered++
		if a.Verdict == v1beta1.VerdictPass || d.dryRun(c) {
			continue
		}
		if result == passed {
			result = failed
		}
		if hook {
			break
		}
	}
	if result == pending {
		return pending
	}
	for _, c := range checks[:answered] {
		d.record(c, d.in.Answers[c.Key])
	}
	return result
}

// record writes an answer to status.
func (d *decision) record(c Check, a Answer) {
	d.st.RecordCheck(v1beta1.CheckResult{
		Name: c.Name, Kind: c.Kind, Stage: d.ro().Stage, Step: d.ro().Step, Weight: d.st.CanaryWeight, Attempt: d.ro().Attempt,
		Value: cut(a.Value, v1beta1.MaxCheckValue), Threshold: cut(a.Threshold, v1beta1.MaxCheckValue),
		Verdict: a.Verdict, Message: a.Message, Time: metav1.NewTime(a.At),
	})
}

// dryRun tells whether a check is measured and reported but decides nothing.
func (d *decision) dryRun(c Check) bool {
	return c.Kind == v1beta1.CheckMetric && d.spec.Analysis.Metrics[c.Index].DryRun
}

// countFailure counts one failed round of checks: the next one follows after an interval, or the rollout is over.
func (d *decision) countFailure(stage v1beta1.Stage) v1beta1.Stage {
	d.st.FailedChecks++
	why := d.refusal()
	d.warn("CheckFailed", "Halt %s.%s advancement %s", d.in.Canary.Name, d.in.Canary.Namespace, why)
	if int(d.st.FailedChecks) >= d.spec.Analysis.FailureThreshold() {
		return d.fail(fmt.Sprintf("failed checks threshold reached %d: %s", d.st.FailedChecks, why+d.recently()))
	}
	interval := d.spec.Analysis.CheckInterval()
	d.ro().Attempt++
	d.ro().NextCheckAt = d.later(interval)
	d.again(interval)
	d.wait("CheckFailed", "%d of %d failed checks: %s", d.st.FailedChecks, d.spec.Analysis.FailureThreshold(), why)
	return stage
}

// refusal says why the checks of this plan did not pass.
func (d *decision) refusal() string {
	var why []string
	for _, c := range d.plan.Checks {
		if a, ok := d.in.Answers[c.Key]; ok && a.Verdict != v1beta1.VerdictPass && !d.dryRun(c) {
			why = append(why, a.Message)
		}
	}
	return strings.Join(why, "; ")
}

// gateState is what a set of gates came to.
type gateState int

const (
	gateAsked gateState = iota
	gateOpen
	gateShut
)

// gate asks the gates of a type. Refused ones are asked again, at most gateRetry later, without being counted as failures.
func (d *decision) gate(t v1beta1.HookType) gateState {
	ro := d.ro()
	if ro.NextCheckAt != nil && !d.passed(ro.NextCheckAt.Time) {
		return gateAsked
	}
	ro.NextCheckAt = nil
	hooks := d.hooks(t)
	switch d.ask(hooks) {
	case pending:
		return gateAsked
	case failed:
		retry := min(d.spec.Analysis.CheckInterval(), gateRetry)
		ro.Attempt++
		ro.NextCheckAt = d.later(retry)
		d.again(retry)
		return gateShut
	}
	for _, h := range hooks {
		d.normal("GatePassed", "%s check %s passed", hookTitle(t), h.Name)
	}
	return gateOpen
}

// hookTitle is how events call a type of hooks: Confirm-rollout, Pre-rollout.
func hookTitle(t v1beta1.HookType) string {
	return strings.ToUpper(string(t[:1])) + string(t[1:])
}

// hooks returns the checks for the webhooks of a type, in the Canary's order.
func (d *decision) hooks(t v1beta1.HookType) []Check {
	var checks []Check
	for i := range d.spec.Analysis.Webhooks {
		if w := &d.spec.Analysis.Webhooks[i]; w.EffectiveType() == t {
			checks = append(checks, d.check(v1beta1.CheckWebhook, i, string(t), w.Name))
		}
	}
	return checks
}

// metrics returns the checks for all metrics, in the Canary's order.
func (d *decision) metrics() []Check {
	var checks []Check
	for i := range d.spec.Analysis.Metrics {
		checks = append(checks, d.check(v1beta1.CheckMetric, i, "metric", d.spec.Analysis.Metrics[i].Name))
	}
	return checks
}

// check is one question in the present round of the rollout: a round asks it once, however often it is decided on; the next asks anew.
func (d *decision) check(kind v1beta1.CheckKind, index int, typ, name string) Check {
	ro, c := d.ro(), d.in.Canary
	return Check{
		Key:      fmt.Sprintf("%s/%s/%s/%d/%s/%d", c.Namespace, c.Name, ro.ID, ro.Attempt, typ, index),
		Kind:     kind,
		Index:    index,
		Name:     name,
		Phase:    d.st.Phase,
		Checksum: ro.Revision,

		OnPrimary: ro.Stage == v1beta1.StageRescuing,
	}
}
