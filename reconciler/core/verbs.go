package core

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// This file holds what operators ask for by an annotation: that each is done once, by somebody who may, and that people hear what has become of it.
// What makes sense when is in verbs_check.go, what follows in verbs_act.go.

// verbPatience is how old a verb may be when it is acted on: an abort that comes a day later would surprise everybody. It also bounds by how much the
// clocks of replicas may differ.
const verbPatience = 10 * time.Minute

// VerbRequest is what the verb annotation of a Canary asks for.
type VerbRequest struct {
	// Text is the value of the annotation.
	Text string
	// ID, By and At are those of admission's stamp; empty without one that holds.
	ID, By string
	At     time.Time
	// Problem says why nobody knows that the user may do that; empty of a stamp that holds.
	Problem string
}

// heed acts on a verb that was not acted on before, and leaves the situation to the rules below.
func heed(d *decision) bool {
	req, last := d.in.Verb, d.st.Verb
	if req == nil {
		if last != nil {
			last.Standing = false
		}
	} else if !handled(last, req) {
		d.answer(req)
	}
	d.plan.ClearVerb = req != nil
	d.beginRestore()
	return false
}

// handled tells whether a request is the one that status tells of. One without a stamp is known by its text, as long as that stands there.
func handled(last *v1beta1.VerbStatus, req *VerbRequest) bool {
	switch {
	case last == nil:
		return false
	case req.Problem == "":
		return last.ID == req.ID
	}
	return last.Standing && last.Text == cut(req.Text, v1beta1.MaxVerb)
}

// answer finds out what becomes of a request, acts on it, and tells.
func (d *decision) answer(req *VerbRequest) {
	out := &v1beta1.VerbStatus{
		Text: cut(req.Text, v1beta1.MaxVerb), ID: req.ID, By: req.By, At: metav1.NewMicroTime(req.At), Outcome: v1beta1.VerbIgnored, Standing: true,
	}
	before := len(d.plan.Events)
	if req.Problem != "" {
		out.ID, out.By, out.At = "", "", d.now()
	}
	if why := d.untimely(req); why != "" {
		out.Message = why
	} else if verb, err := v1beta1.ParseVerb(req.Text); err != nil {
		out.Outcome, out.Message = v1beta1.VerbRefused, err.Error()
	} else if why := d.verbState().Refusal(verb); why != "" {
		out.Outcome, out.Message = v1beta1.VerbRefused, why
	} else {
		out.Outcome, out.Message = v1beta1.VerbDone, verbActs[verb.Name](d, verb, req)
		if verb.Note != "" {
			out.Message += " (" + verb.Note + ")"
		}
	}
	out.Message = cut(out.Message, v1beta1.MaxVerbMessage)
	d.st.Verb = out
	d.tellVerb(out)
	// The cause comes before what it has caused.
	last := len(d.plan.Events) - 1
	d.plan.Events = slices.Insert(d.plan.Events[:last:last], before, d.plan.Events[last])
}

// untimely says why a request must not be acted on, whatever it asks for; "" when it may be.
func (d *decision) untimely(req *VerbRequest) string {
	last := d.st.Verb
	age := d.in.Now.Sub(req.At)
	switch {
	case req.Problem != "":
		return req.Problem
	case last != nil && !req.At.After(last.At.Time):
		return fmt.Sprintf("it was admitted at %s, not after the last verb, so its stamp was used before; set it again", req.At.UTC().Format(time.RFC3339))
	case age > verbPatience || age < -verbPatience:
		return fmt.Sprintf("it was admitted at %s, more than %s from now; set it again", req.At.UTC().Format(time.RFC3339), verbPatience)
	}
	return ""
}

// tellVerb announces what has become of a verb.
func (d *decision) tellVerb(v *v1beta1.VerbStatus) {
	text := cut(v.Text, maxVerbText)
	switch v.Outcome {
	case v1beta1.VerbDone:
		d.normal("OperatorVerb", "%s by %s: %s", text, v.By, v.Message)
	case v1beta1.VerbRefused:
		d.warn("VerbRefused", "%s by %s is not done: %s", text, v.By, v.Message)
	default:
		d.warn("VerbIgnored", "%s of %s.%s is ignored: %s", text, d.in.Canary.Name, d.in.Canary.Namespace, v.Message)
	}
}

// maxVerbText bounds how much of a verb is repeated in an event, in characters.
const maxVerbText = 80

// paused says so and tells whether an operator keeps the rollout where it is. Its pods, its deadlines and its checks go on to be watched: users are on
// it, and a bad canary is rolled back, paused or not.
func (d *decision) paused() bool {
	p := d.st.Paused
	if p == nil {
		return false
	}
	d.wait("Paused", "%s paused revision %s at weight %d; its checks go on. Set %s to resume, promote or abort",
		p.By, d.ro().Revision, d.st.CanaryWeight, v1beta1.AnnotationVerb)
	return true
}

// judgedOn keeps a step in force that is not to be left, with another round of its checks after an interval.
func (d *decision) judgedOn() {
	interval := d.spec.Analysis.CheckInterval()
	d.ro().Attempt++
	d.ro().NextCheckAt = d.later(interval)
	d.again(interval)
}
