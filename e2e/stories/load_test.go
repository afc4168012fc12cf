//go:build e2e

package stories

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/e2e/harness"
	"github.com/sluice-dev/sluice/e2e/traffic/changes"
)

// What people and programs change under load, by name.
const (
	tracked    = "tracked Deployment"
	stored     = "tracked Deployment, stored"
	canaries   = "Canary"
	untracked  = "untracked Deployment"
	kubeSystem = "Deployment in kube-system"
	ownPlace   = "Deployment in sluice-system"
)

// gated are the changes that the gate is asked about, ungated those that it never is.
var (
	gated   = []string{tracked, stored, canaries}
	ungated = []string{untracked, kubeSystem, ownPlace}
)

// webhookTimeout bounds what a change waits for a gate that does not answer, beyond what it would take without one: two seconds in each of two
// phases, one of them perhaps asked again.
const webhookTimeout = 3 * 2 * time.Second

// bystanders are objects that Sluice must never be asked about, though two of them carry its label.
const bystanders = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: bystander, namespace: test}
spec:
  replicas: 0
  selector: {matchLabels: {app: bystander}}
  template:
    metadata: {labels: {app: bystander}}
    spec: {containers: [{name: pause, image: "local/pause:1"}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: bystander, namespace: kube-system, labels: {sluice.dev/tracked: target}}
spec: {replicas: 0, selector: {matchLabels: {app: bystander}}, template: {metadata: {labels: {app: bystander}}, spec: {containers: [{name: pause, image: "local/pause:1"}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: bystander, namespace: sluice-system, labels: {sluice.dev/tracked: target}}
spec: {replicas: 0, selector: {matchLabels: {app: bystander}}, template: {metadata: {labels: {app: bystander}}, spec: {containers: [{name: pause, image: "local/pause:1"}]}}}
`

// load is many changes a second, and what the API server counts about them.
type load struct {
	*story
	generator *changes.Generator
}

// changesOf are changes at a rate each: of an application and its Canary by dry run, of another one for good, and of what Sluice is not asked
// about. Few are under way at a time, so that a busy machine sends fewer instead of all of them late.
func changesOf(app, lasting string) map[string]changes.Change {
	template := func(n int) string {
		return fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"example.com/change":"%d"}}}}}`, n)
	}
	deployment := func(namespace, name, query string) string {
		return "/apis/apps/v1/namespaces/" + namespace + "/deployments/" + name + query
	}
	const dry = "?dryRun=All"
	all := map[string]changes.Change{}
	for _, c := range []changes.Change{
		{Name: tracked, Path: deployment(harness.TestNamespace, app, dry), Patch: template, Rate: 42, MaxInFlight: 4},
		{Name: stored, Path: deployment(harness.TestNamespace, lasting, ""), Patch: template, Rate: 1,
			// Two at once would keep sending each other back.
			MaxInFlight: 1},
		{Name: canaries, Path: "/apis/flagger.app/v1beta1/namespaces/" + harness.TestNamespace + "/canaries/" + app + dry, Rate: 12, MaxInFlight: 2,
			// A persistent primary is not retained: the gate warns of that.
			Patch: func(n int) string { return fmt.Sprintf(`{"spec":{"primary":{"retain":"%dm"}}}`, n) }},
		{Name: untracked, Path: deployment(harness.TestNamespace, "bystander", dry), Patch: template, Rate: 8, MaxInFlight: 2},
		{Name: kubeSystem, Path: deployment("kube-system", "bystander", dry), Patch: template, Rate: 8, MaxInFlight: 2},
		{Name: ownPlace, Path: deployment(harness.SluiceNamespace, "bystander", dry), Patch: template, Rate: 4, MaxInFlight: 1},
	} {
		all[c.Name] = c
	}
	return all
}

// load starts the named changes.
func (s *story) load(all map[string]changes.Change, names ...string) *load {
	s.Helper()
	server, err := stage.Cluster.RESTConfig()
	s.ok(err)
	config := changes.Config{Server: server, Gate: "Sluice: "}
	for _, name := range names {
		config.Changes = append(config.Changes, all[name])
	}
	generator, err := changes.Start(s.ctx, config)
	s.ok(err)
	s.Cleanup(func() { generator.Stop() })
	return &load{story: s, generator: generator}
}

// answered waits until so many requests of each kind that were sent from a time on are answered.
func (l *load) answered(since time.Time, each int, kinds ...string) {
	l.Helper()
	l.eventually(fmt.Sprintf("%d changes of each kind are answered", each), func() bool {
		recording := l.generator.Recording().Between(since, time.Time{})
		for _, kind := range kinds {
			if len(recording.Of(kind).Answers) < each {
				return false
			}
		}
		return true
	})
}

func (s *story) admissions() harness.Admissions {
	s.Helper()
	a, err := stage.Admissions(s.ctx)
	s.ok(err)
	return a
}

// spell is what happened to the changes while something else did.
type spell struct {
	*load
	name  string
	since time.Time
	// calls are the API server's counts of the time and reasons why it went on without an answer; all are the answers to changes sent in it.
	calls   harness.Admissions
	reasons map[string]int
	all     changes.Recording
}

// late is how the API server says that a webhook's two seconds were over.
const late = "context deadline exceeded"

// starved is what changes that no webhook is asked about take on a machine that is too busy to tell anything by two seconds.
const starved = 500 * time.Millisecond

// during disturbs Sluice under load and tells what became of the changes. What holds always is checked: nothing is refused or lost, and what
// Sluice is not asked about goes its way.
func (l *load) during(name string, disturb func()) spell {
	l.Helper()
	p := spell{load: l, name: name, since: time.Now()}
	// In this order, so that every call that is counted as failed has its reason.
	logged := stage.LoggedBytes()
	before := l.admissions()
	disturb()
	// Until here the disturbance may have left its mark, and on whatever was under way.
	l.answered(time.Now(), 12, tracked, canaries, untracked, kubeSystem)
	p.all = l.generator.Recording().Between(p.since, time.Time{})
	p.calls = l.admissions().Minus(before)
	p.reasons = stage.Failures(logged)
	l.Logf("%s, %s: %d calls, %d failed open %v", name, time.Since(p.since).Round(100*time.Millisecond), p.calls.Calls, p.calls.FailedOpen, p.reasons)
	aside := p.all.Of(ungated...).Summary()
	for _, kinds := range [][]string{{tracked}, {stored}, {canaries}, ungated} {
		summary := p.all.Of(kinds...).Summary()
		l.Logf("  %s: %s", kinds, summary)
		if summary.Refused > 0 || summary.Lost > 0 {
			l.Errorf("%s: changes were refused or lost: %s", name, summary)
		}
		if summary.Max > webhookTimeout+aside.Max {
			l.Errorf("%s: a change took %s, longer than the timeouts of the webhooks allow", name, summary.Max)
		}
	}
	if p.calls.FailedClosed > 0 {
		l.Errorf("%s: %d requests were refused because Sluice did not answer", name, p.calls.FailedClosed)
	}
	if aside.Open != aside.Sent {
		l.Errorf("%s: what Sluice is not asked about was affected: %s", name, aside)
	}
	return p
}

// gapless fails the story if any change went through without the gate. Where the machine is so busy that even changes which nobody is asked about
// take long, answers that came late are told and not counted.
func (p spell) gapless() {
	p.Helper()
	lates := p.reasons[late]
	if p99 := p.all.Of(ungated...).Summary().P99; lates > 0 && len(p.reasons) == 1 && p99 > starved {
		p.Logf("%s: %d answers came late; what nobody is asked about took %s", p.name, lates, p99)
		return
	}
	open := p.all.Of(gated...).Summary().Open
	if p.calls.FailedOpen > 0 || open > 0 {
		p.Errorf("%s: %d admissions failed open, %d changes went through without the gate: %v", p.name, p.calls.FailedOpen, open, p.reasons)
	}
}

// closes waits until the gate has a say in changes again; in every single one of them is for the next spell to tell.
func (l *load) closes() {
	l.Helper()
	const few = 8
	since := time.Now()
	l.within(rollout, "the gate has a say again", func() bool {
		recording := l.generator.Recording().Between(since, time.Time{})
		for _, kind := range []string{tracked, canaries} {
			answers := recording.Of(kind).Answers
			if len(answers) < few {
				return false
			}
			recording := changes.Recording{Answers: answers[len(answers)-few:]}
			if recording.Summary().Gated < few-1 {
				return false
			}
		}
		return true
	})
}

// counted holds Sluice's reach against the API server's counts: not one call for what it is not asked about, and one answer of Sluice's for each call.
func (s *story) counted(all map[string]changes.Change) {
	s.Helper()
	s.Run("who is asked", func(t *testing.T) {
		aside, own := *s, *s
		aside.T, own.T = t, t
		before := s.admissions()
		l := aside.load(all, ungated...)
		l.answered(time.Time{}, 20, ungated...)
		sent := l.generator.Stop().Summary()
		if calls := s.admissions().Minus(before).Calls; calls != 0 || sent.Open != sent.Sent {
			t.Errorf("%d calls for what Sluice is not to be asked about: %s", calls, sent)
		}
		before = s.admissions()
		l = own.load(all, tracked, canaries)
		l.answered(time.Time{}, 20, tracked, canaries)
		asked := l.generator.Stop().Summary()
		calls := s.admissions().Minus(before)
		if asked.Refused+asked.Lost > 0 || calls.Calls < asked.Sent || calls.Answered != calls.Calls || asked.Open > calls.FailedOpen || calls.Broken != 0 {
			t.Errorf("of %s the API server and Sluice count %+v", asked, calls)
		}
		t.Logf("%d changes elsewhere: no call; %d changes of tracked objects: %d calls, %d answers of Sluice's", sent.Sent, asked.Sent, calls.Calls, calls.Answered)
	})
}

// changeOnce is a change of one tracked Deployment, sent once; it tells whether the gate had a say.
func (s *story) changeOnce(all map[string]changes.Change) changes.Answer {
	s.Helper()
	one := all[tracked]
	one.Rate = 1000
	server, err := stage.Cluster.RESTConfig()
	s.ok(err)
	generator, err := changes.Start(s.ctx, changes.Config{Server: server, Gate: "Sluice: ", Changes: []changes.Change{one}, MaxChanges: 1})
	s.ok(err)
	s.eventually("a change is answered", func() bool { return len(generator.Recording().Answers) == 1 })
	answer := generator.Stop().Answers[0]
	if answer.Status != http.StatusOK {
		s.Errorf("a change was refused or lost: %+v", answer)
	}
	return answer
}
