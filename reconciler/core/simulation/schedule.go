package simulation

import (
	"slices"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Schedule is what happens to a World that begins with a seed.
type Schedule struct {
	Strategy *Strategy
	Seed     uint64
	Actions  []Action
}

const (
	// patience is how long a stage is waited for, noRollout how long if there is no rollout, settling how long the world may take to come to rest, rest
	// how long it must stay so.
	patience  = time.Minute
	noRollout = 5 * time.Second
	settling  = 8 * time.Minute
	rest      = 90 * time.Second
	// restless is how many decisions are made at rest, at most.
	restless = 24
)

// stagesWaited are the stages that actions wait for, the short ones too.
func (s *Strategy) stagesWaited() []v1beta1.Stage {
	if s.ephemeral {
		return stagesWaitedAtHome
	}
	return stagesWaited
}

// stagesWaitedAtHome are those under an ephemeral primary.
var stagesWaitedAtHome = []v1beta1.Stage{
	v1beta1.StageSettling, v1beta1.StageTurning, v1beta1.StageTurning, v1beta1.StageScalingUp, v1beta1.StagePreparing, v1beta1.StageAnalysing,
	v1beta1.StageConfirmingPromotion, v1beta1.StageReturning, v1beta1.StageReturning, v1beta1.StageFencing, v1beta1.StageRollingBack,
}

var stagesWaited = []v1beta1.Stage{
	v1beta1.StageSettling, v1beta1.StageScalingUp, v1beta1.StagePreparing, v1beta1.StageAnalysing, v1beta1.StageAnalysing, v1beta1.StageConfirmingPromotion,
	v1beta1.StagePromoting, v1beta1.StageFinalising, v1beta1.StageFencing, v1beta1.StageRollingBack,
}

// NewSchedule makes up a schedule: the same for the same seed.
func NewSchedule(s *Strategy, seed uint64) Schedule {
	d := dice{seed: mix(seed)}
	d.seed = uint64(d.hashed(s.Name, 1<<62))
	out := Schedule{Strategy: s, Seed: seed}
	shares := 0
	for _, a := range s.deeds() {
		shares += a.share
	}
	roll := func(n int) int { return d.roll(diceActions, n) }
	if roll(12) == 0 && !s.ephemeral {
		out.Actions = append(out.Actions, stuckPromotion(roll)...)
	}
	for range 2 + roll(6) {
		a := chosenByShare(roll, shares)
		s.setTime(&a, roll)
		out.Actions = append(out.Actions, a)
	}
	if roll(4) == 0 {
		out.Actions = s.withOperators(out.Actions, roll)
	}
	return out
}

// chosenByShare is one of the actions, each as likely as its part of all shares.
func chosenByShare(roll func(int) int, shares int) Action {
	a := Action{A: roll(1000), B: roll(1000)}
	n := roll(shares)
	for n >= actions[a.Do].share {
		n -= actions[a.Do].share
		a.Do++
	}
	return a
}

// setTime says when an action comes: after a while, a while into a stage of the rollout, or between two writes of one decision.
func (s *Strategy) setTime(a *Action, roll func(int) int) {
	switch roll(8) {
	case 0:
		a.Wait = time.Duration(roll(600)) * 100 * time.Millisecond
	case 1, 2, 3:
		a.Wait = time.Duration(roll(80)) * 100 * time.Millisecond
	case 4, 5:
		waited := s.stagesWaited()
		a.On, a.Wait = waited[roll(len(waited))], time.Duration(roll(15))*100*time.Millisecond
	case 6, 7:
		a.Wait = time.Duration(roll(40)) * 100 * time.Millisecond
		a.Mid = 1 + roll(6)
	}
}

// withOperators adds what operators do to a schedule, between what happens otherwise.
func (s *Strategy) withOperators(actions []Action, roll func(int) int) []Action {
	waited := s.stagesWaited()
	for range 1 + roll(3) {
		a := Action{Do: doing("an operator's verb"), A: roll(1000), B: roll(1000), Wait: time.Duration(roll(80)) * 100 * time.Millisecond}
		switch roll(4) {
		case 0:
			a.Do = doing("an operator restores a revision")
		case 1:
			a.On = waited[roll(len(waited))]
		case 2:
			a.Mid = 1 + roll(6)
		}
		actions = slices.Insert(actions, roll(len(actions)+1), a)
	}
	return actions
}

// stuckPromotion is a promotion that does not end well, and a newer change that may be the fix. Chance alone seldom finds it.
func stuckPromotion(roll func(int) int) []Action {
	return []Action{
		{Do: doing("push a template"), A: 1 + roll(goodTemplates-1)},
		{Do: doing("the primary sickens"), On: v1beta1.StagePromoting, Wait: time.Duration(roll(8)) * 100 * time.Millisecond},
		{Do: doing("push a template"), A: roll(1000), Wait: time.Duration(roll(70)) * time.Second},
	}
}

// doing finds an action by its name.
func doing(name string) int {
	return slices.IndexFunc(actions, func(d deed) bool { return d.name == name })
}

// Play plays a schedule and returns the world as it was at the end, or when a promise was broken.
func (s Schedule) Play(cover *Coverage, tell bool) *World {
	w := NewWorld(s.Strategy, s.Seed)
	w.cover, w.tells = cover, tell
	for i := range s.Actions {
		if len(w.violations) > 0 {
			return w
		}
		w.await(&s.Actions[i])
	}
	w.settle()
	cover.played(w)
	return w
}

// await lets time pass until an action is due, and carries it out.
func (w *World) await(a *Action) {
	if a.On != "" {
		soon := w.now + noRollout
		w.Run(w.now+patience, func() bool {
			stage := stageOf(w.status())
			return stage == a.On || stage == "" && w.now > soon
		})
	}
	w.Run(w.now+a.Wait, nil)
	if len(w.violations) > 0 {
		return
	}
	if a.Mid > 0 {
		w.mid, w.midIn = a, a.Mid
		// Something that means nothing has the controller decide.
		w.awake = true
		w.Run(w.now+patience/10, func() bool { return w.mid == nil })
		w.mid = nil
		return
	}
	w.do(*a)
}
