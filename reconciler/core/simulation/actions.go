package simulation

import (
	"fmt"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// Action is something that users, faults or the cluster do.
type Action struct {
	// Wait is how long after the one before it comes. With On it comes that long after the rollout under way has reached the stage, which is waited
	// for up to a minute.
	Wait time.Duration
	On   v1beta1.Stage
	// Mid has it come between two writes of a decision, after so many.
	Mid int
	// Do is which, A and B are what of it differs from time to time.
	Do   int
	A, B int
}

func (a Action) String() string {
	when := fmt.Sprintf("after %s", a.Wait)
	if a.On != "" {
		when = fmt.Sprintf("%s into %s", a.Wait, a.On)
	}
	if a.Mid > 0 {
		when += fmt.Sprintf(", between writes (%d)", a.Mid)
	}
	return fmt.Sprintf("%s: %s (%d, %d)", when, actions[a.Do].name, a.A, a.B)
}

// deed is a kind of actions. share is how often it is chosen, compared with others.
type deed struct {
	name  string
	share int
	do    func(w *World, a, b int)
}

// faultConflict is visited by writes that meet something newer; it is counted beside the actions.
const faultConflict = "write conflict"

// actions are all that can happen. The numbers that they are given are from 0 to 999.
var actions = makeActions()

func makeActions() []deed {
	return []deed{
		{"push a template", 24, func(w *World, a, _ int) { w.push(int8(a % goodTemplates)) }},
		{"push a template whose pods never become ready", 3, func(w *World, _, _ int) { w.push(brokenTemplate) }},
		{"push a template whose metrics are bad", 4, func(w *World, _, _ int) { w.push(badTemplate) }},
		{"change the config", 12, func(w *World, a, b int) {
			// It goes back and forth between a few contents, which is the hardest case.
			w.changeConfig(int8(a%contents), time.Duration(b%30)*100*time.Millisecond, b%4 == 0)
		}},
		{"scale the target", 3, scaleTarget},
		{"more or fewer users", 4, load},
		{"edit the analysis", 4, editAnalysis},
		{"switch the strategy", 2, switchStrategy},
		{"skip the analysis", 1, func(w *World, a, _ int) { w.editSpec(func(s *v1beta1.CanarySpec) { s.SkipAnalysis = a%2 == 0 }) }},
		{"suspend", 2, suspend},
		{"delete the Canary", 1, deleteCanary},
		{"delete the target", 1, deleteTarget},
		{"delete the primary", 2, deletePrimary},
		{"delete a Service", 2, deleteService},
		{"delete a snapshot", 1, deleteSnapshot},
		{"take the webhook away", 4, func(w *World, a, _ int) { w.webhookUntil = w.now + upTo(a, 20); w.say("admission: away for a while") }},
		{"take the gateway away", 2, func(w *World, a, _ int) { w.say("gateway: away for a while"); w.gatewayAway(upTo(a, 15)) }},
		{"slow answers", 2, func(w *World, a, _ int) {
			w.slowUntil = w.now + upTo(a, 20)
			w.say("metrics and hooks: slow for a while")
		}},
		{"failing metrics", 3, func(w *World, a, _ int) { w.metricsUntil = w.now + upTo(a, 12); w.say("metrics: bad for a while") }},
		{"failing hooks", 1, func(w *World, a, _ int) { w.hooksUntil = w.now + upTo(a, 12); w.say("hooks: fail for a while") }},
		{"shut gates", 1, func(w *World, a, _ int) { w.gatesUntil = w.now + upTo(a, 20); w.say("gates: shut for a while") }},
		{"configs cannot be read", 2, func(w *World, a, _ int) { w.unreadable(upTo(a, 8)) }},
		{"lose pods", 3, losePods},
		{"unready pods", 3, unreadyPods},
		{"a template rots", 2, rot},
		{"the primary sickens", 1, sicken},
		{"a watch breaks", 4, breakWatch},
		{"events wake nobody", 2, func(w *World, a, _ int) {
			w.lostUntil = w.now + upTo(a, 10)
			w.say("controller: hears no events for a while")
		}},
		{"a needless event", 3, func(w *World, _, _ int) { w.awake = true }},
		{"kill the controller", 8, func(w *World, a, _ int) { w.killIn = a % 12 }},
		{"somebody annotates an object", 4, annotate},
		// These come in schedules of their own, see withOperators.
		{"an operator's verb", 0, operator},
		{"an operator restores a revision", 0, restoreOne},
		// Those that follow happen under an ephemeral primary only.
		{"switch the lifecycle", 2, switchLifecycle},
		{"replace a node", 3, replaceNode},
	}
}

// deeds are the actions that can happen to a strategy.
func (s *Strategy) deeds() []deed {
	const others = 2
	if s.ephemeral {
		return actions
	}
	return actions[:len(actions)-others]
}

// upTo is a duration of up to n seconds.
func upTo(a, n int) time.Duration { return time.Duration(1+a%(n*10)) * 100 * time.Millisecond }

// do carries an action out.
func (w *World) do(a Action) {
	w.cover.fault(actions[a.Do].name)
	w.cover.during(w.status())
	actions[a.Do].do(w, a.A, a.B)
}

// editSpec is a user's change of the Canary.
func (w *World) editSpec(change func(*v1beta1.CanarySpec)) {
	c := w.canary.real
	if c.gone || c.deleted {
		return
	}
	spec := *c.spec
	change(&spec)
	c.spec = &spec
	c.generation++
	set(w, kindCanary, &w.canary, c)
	w.admissionAt = min(w.admissionAt, w.now+w.lagging)
	w.specChanged(&spec)
	w.say("user: edits the Canary: %s", describe(&spec))
}

func describe(s *v1beta1.CanarySpec) string {
	return fmt.Sprintf("stepWeight %d, maxWeight %d, stepWeights %v, iterations %d, threshold %d, skipAnalysis %t, suspend %t",
		s.Analysis.StepWeight, s.Analysis.MaxWeight, s.Analysis.StepWeights, s.Analysis.Iterations, s.Analysis.Threshold, s.SkipAnalysis, s.Suspend)
}

func scaleTarget(w *World, a, _ int) {
	d := w.target.real
	if !d.exists || w.target.daemonSet || w.strategy.service {
		return
	}
	d.replicas = int8(a % 4)
	w.idleReplicas = true
	w.hurtIf(d.replicas < w.target.real.replicas || w.strategy.ephemeral && w.target.real.replicas == 0)
	w.say("user: scales the target to %d", d.replicas)
	w.edit(&w.target, d)
}

func (w *World) hurtIf(yes bool) {
	if yes {
		w.hurtAt = w.now
	}
}

func editAnalysis(w *World, a, b int) {
	w.editSpec(func(s *v1beta1.CanarySpec) {
		switch a % 3 {
		case 0:
			s.Analysis.Threshold = int32(1 + b%3)
		case 1:
			s.Analysis.Interval = []v1beta1.Duration{"1s", "2s", "5s"}[b%3]
		case 2:
			if s.Analysis.Iterations > 0 {
				s.Analysis.Iterations = int32(1 + b%3)
			} else {
				s.Analysis.StepWeight, s.Analysis.StepWeights, s.Analysis.MaxWeight = int32(10+10*(b%3)), nil, int32(30+20*(b%4))
			}
		}
	})
}

// switchStrategy turns a canary into blue/green or the other way.
func switchStrategy(w *World, _, b int) {
	w.editSpec(func(s *v1beta1.CanarySpec) {
		if s.Analysis.Iterations > 0 {
			s.Analysis.Iterations, s.Analysis.Match, s.Analysis.StepWeight, s.Analysis.MaxWeight = 0, nil, 20, 40
			return
		}
		s.Analysis.StepWeight, s.Analysis.StepWeights, s.Analysis.MaxWeight, s.Analysis.Iterations = 0, nil, 0, int32(1+b%2)
	})
}

func suspend(w *World, a, _ int) {
	w.editSpec(func(s *v1beta1.CanarySpec) { s.Suspend = a%3 != 0 })
}

func deleteCanary(w *World, _, _ int) {
	c := w.canary.real
	if c.gone || c.deleted || c.status.Phase == "" {
		return
	}
	c.deleted = true
	set(w, kindCanary, &w.canary, c)
	w.say("user: deletes the Canary")
}

func deleteTarget(w *World, _, _ int) {
	if !w.target.real.exists {
		return
	}
	w.snapshotFirst()
	w.say("user: deletes the target")
	w.hurtIf(true)
	w.edit(&w.target, deployment{generation: w.target.real.generation, spec: w.target.real.spec})
}

// recreateTarget is what a user does some time after a target was deleted.
func (w *World) recreateTarget() {
	d := w.target.real
	if d.exists = true; !w.strategy.service {
		d.replicas, w.idleReplicas = 2, true
	}
	if w.strategy.ephemeral {
		d.guarded = w.webhook() && !w.canary.real.gone && core.NeedsHold(w.admit(), at(w.now))
		d.held = d.guarded
		w.target.running, w.target.pods = revision{template: nothing}, w.target.pods[:0]
		w.moved()
	}
	w.say("user: creates the target again")
	w.edit(&w.target, d)
	w.userChanged()
}

func deletePrimary(w *World, _, _ int) {
	if !w.primary.real.exists {
		return
	}
	w.say("user: deletes the primary")
	w.hurtIf(true)
	w.edit(&w.primary, deployment{generation: w.primary.real.generation})
}

func deleteService(w *World, a, _ int) {
	if a %= 3; w.strategy.service && a != 1 {
		// The primary's copy is the primary, and the apex Service is the target.
		deletePrimary(w, 0, 0)
		return
	}
	s := w.services.real
	switch a {
	case 0:
		s.primary = false
	case 1:
		s.canary, s.pin = false, unpinned
	case 2:
		s.apex = false
	}
	w.say("user: deletes Service %d", a)
	w.hurtIf(true)
	set(w, kindServices, &w.services, s)
	w.moved()
}

func deleteSnapshot(w *World, a, b int) {
	s := w.snapshots.real
	r := revision{int8(a % templates), int8(b % contents)}
	if s.hasPromoted && b%2 == 0 {
		r = s.promoted
	}
	if s.has(r) {
		w.say("user: deletes the snapshot of %s", r.digest())
		set(w, kindSnapshots, &w.snapshots, s.without(r))
	}
}

func (w *World) unreadable(d time.Duration) {
	w.say("the config cannot be read for a while")
	w.unreadableUntil = w.now + d
	w.awake = true
}

// side chooses a workload.
func (w *World) side(a int) *workload {
	if a%2 == 0 {
		return &w.primary
	}
	return &w.target
}

func losePods(w *World, a, b int) {
	wl := w.side(a)
	w.hurtIf(true)
	keep := b % 2
	w.say("cluster: pods of %s are lost", kindNames[wl.kind])
	if w.strategy.service {
		w.hurt(wl, func(p *pod) {
			if p.readyAt <= w.now {
				p.readyAt = w.now + podStart
			}
		})
		return
	}
	if len(wl.pods) > keep {
		wl.pods = wl.pods[:keep]
	}
	w.hurt(wl, func(*pod) {})
}

func unreadyPods(w *World, a, b int) {
	wl := w.side(a)
	w.hurtIf(true)
	until := w.now + upTo(b, 30)
	w.say("cluster: pods of %s are not ready for a while", kindNames[wl.kind])
	w.hurt(wl, func(p *pod) {
		if p.readyAt <= w.now {
			p.readyAt = until
		}
	})
}

// rot has no pod of a template become ready any more, for instance because its image is gone, and those that run fail.
func rot(w *World, a, _ int) {
	wl := w.side(a)
	if !wl.real.exists || len(wl.pods) == 0 {
		return
	}
	w.fail(wl.pods[0].spec.template)
}

// fail has no pod of a template be ready any more.
func (w *World) fail(template int8) {
	w.hurtIf(true)
	w.say("cluster: no pod of %s becomes ready any more", revision{template: template}.hash())
	if w.strategy.service {
		w.hurtCopies(template, func(p *pod) { p.readyAt = never })
		return
	}
	for _, side := range []*workload{&w.primary, &w.target} {
		side.rotten |= 1 << template
		w.hurt(side, func(p *pod) {
			if p.spec.template == template {
				p.readyAt = never
			}
		})
	}
}

// sicken has no new pod of the primary become ready, whatever it runs, until it heals.
func sicken(w *World, _, b int) {
	w.hurtIf(true)
	if w.strategy.service {
		w.sickenCopy(b%2 == 0)
		return
	}
	w.say("cluster: no new pod of the primary becomes ready for now")
	w.primary.rotten = 1<<templates - 1
	if b%2 == 0 {
		w.hurt(&w.primary, func(p *pod) { p.readyAt = never })
	}
}

// heal lets pods of all templates but the broken one become ready again.
func (w *World) heal() {
	if w.strategy.service {
		w.healCopies()
		return
	}
	for _, side := range []*workload{&w.primary, &w.target} {
		side.rotten = 0
		w.hurt(side, func(p *pod) {
			if p.readyAt > w.now && p.spec.template != brokenTemplate {
				p.readyAt = w.now + podStart
			}
		})
	}
}

func breakWatch(w *World, a, b int) {
	k := kind(b % int(kinds))
	w.say("controller: its watch of %s is broken for a while", kindNames[k])
	w.brokenUntil[k] = w.now + upTo(a, 10)
}

// annotate changes an object in a way that means nothing, but a write that was decided on before collides.
func annotate(w *World, a, _ int) {
	switch a % 4 {
	case 0:
		changed(w, kindTarget, &w.target.object)
	case 1:
		changed(w, kindPrimary, &w.primary.object)
	case 2:
		changed(w, kindRoute, &w.route)
	case 3:
		changed(w, kindCanary, &w.canary)
	}
}

// interfere carries out an action that was to come between two writes.
func (w *World) interfere() {
	if w.mid == nil {
		return
	}
	if w.midIn--; w.midIn <= 0 {
		a := *w.mid
		w.mid = nil
		w.do(a)
	}
}
