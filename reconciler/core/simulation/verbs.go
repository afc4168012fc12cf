package simulation

import (
	"fmt"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// This file models operators, and keeps the books on what they have asked for.

// operators are the books on verbs.
type operators struct {
	// verbs counts them, admitted are the texts of those that admission has let through, by ID, and done is the last that was acted on.
	verbs    int
	admitted map[string]string
	// verbAt is when the last one was set: no two are at one moment.
	verbAt moment
	done   string
	// skip tells that an operator has had an analysis skipped at some time, restore which revision is to be restored.
	skip    bool
	restore string
}

// operator is somebody who sets a verb that may, or may not, make sense.
func operator(w *World, a, b int) {
	verb := v1beta1.Verbs[a%len(v1beta1.Verbs)]
	if verb == v1beta1.VerbRestore {
		restoreOne(w, a, b)
		return
	}
	w.setVerb(string(verb))
}

// restoreOne asks for one of the stored revisions, good or bad, and now and then for any, stored or not.
func restoreOne(w *World, a, b int) {
	if b%8 == 0 {
		w.setVerb(string(v1beta1.VerbRestore) + ":" + revision{template: int8(a % templates)}.digest())
		return
	}
	var stored []string
	for t := range int8(templates) {
		for c := range int8(contents) {
			if r := (revision{t, c}); w.snapshots.real.has(r) {
				stored = append(stored, r.digest())
			}
		}
	}
	if len(stored) > 0 {
		w.setVerb(string(v1beta1.VerbRestore) + ":" + stored[a%len(stored)])
	}
}

// setVerb sets a verb. While admission is away nobody looks whether its user may do that.
func (w *World) setVerb(text string) {
	c := w.canary.real
	if c.gone || c.deleted {
		return
	}
	w.say("operator: %s", text)
	w.verbs++
	w.verbAt = max(w.now, w.verbAt+time.Millisecond)
	c.verb = &core.VerbRequest{Text: text, Problem: "admission was away"}
	if w.webhook() {
		id := fmt.Sprint(w.verbs)
		c.verb = &core.VerbRequest{Text: text, ID: id, By: "jane", At: at(w.verbAt)}
		if w.admitted == nil {
			w.admitted = map[string]string{}
		}
		w.admitted[id] = text
	}
	set(w, kindCanary, &w.canary, c)
}

// carryVerb takes a verb off that status tells of.
func (w *World) carryVerb(_ *core.Observed, p *core.Plan) {
	if !p.ClearVerb || w.canary.seen.verb == nil {
		return
	}
	c := w.canary.seen
	c.verb = nil
	write(w, &w.canary, c)
}

// noteVerb holds that verbs are done once, and only those that admission has let through.
func (w *World) noteVerb(st *v1beta1.CanaryStatus) {
	v := st.Verb
	if v == nil || v.Outcome != v1beta1.VerbDone || v.ID == w.done {
		return
	}
	text, admitted := w.admitted[v.ID]
	if !admitted || text != v.Text {
		w.violate(promiseUsers, "%s is done (%s), which admission has not let through", v.Text, v.ID)
		return
	}
	w.done = v.ID
	delete(w.admitted, v.ID)
	verb, asked, _ := strings.Cut(text, ":")
	switch v1beta1.VerbName(verb) {
	case v1beta1.VerbPromote, v1beta1.VerbSkipAnalysis:
		w.skip = true
	case v1beta1.VerbRetry:
		w.failedBefore = false
	case v1beta1.VerbRestore:
		w.restore = asked
	}
}

// skips tells whether a rollout goes by an operator's word in place of an analysis.
func (w *World) skips(ro *v1beta1.RolloutStatus) bool {
	if ro.SkippedBy != "" && !w.skip {
		w.violate(promiseAnalysed, "the analysis of %s is skipped for %s, who has not asked for that", ro.Revision, ro.SkippedBy)
	}
	return ro.SkippedBy != "" || ro.RestoredBy != ""
}

// holdRestoring holds that the primary is given back what an operator has asked for, once.
func (w *World) holdRestoring(ro *v1beta1.RolloutStatus) {
	// The beginning of a digest will do.
	if w.restore == "" || !strings.HasPrefix(ro.Revision, w.restore) {
		w.violate(promiseAnalysed, "%s is restored, asked for was %q", ro.Revision, w.restore)
	}
	w.restore = ""
}
