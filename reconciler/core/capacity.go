package core

import (
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// This file holds how much capacity a side needs before it is given users. It concerns workloads with autoscalers: the size of others does not follow
// their load, so both sides of a rollout have all that one needs.

// capacityPatience is how long users wait for pods that an autoscaler, or a full cluster, does not give.
const capacityPatience = 2 * time.Minute

// load returns how many pods all users together need, of a primary with primary pods and a canary with target pods that serve share per cent of them.
// As long as neither side is overloaded each of three bounds is enough: what the sides have together, and what either has in proportion to its share.
// The least of them is the closest.
func load(primary, target, share int32) int32 {
	n := primary + target
	if share < 100 {
		n = min(n, part(primary, 100, 100-share))
	}
	if share > 0 {
		n = min(n, part(target, 100, share))
	}
	return max(n, 1)
}

// part returns n * of / whole, rounded up.
func part(n, of, whole int32) int32 {
	return int32((int64(n)*int64(of) + int64(whole) - 1) / int64(whole))
}

// raiseToReturn raises the floor, once, to what the primary needs for the users who are about to come back from the canary.
func (d *decision) raiseToReturn() {
	s := d.st.Scaler
	if !d.scaled() || s == nil || s.Returning || d.st.CanaryWeight == 0 || !d.homeward() {
		return
	}
	s.Floor, s.FloorUntil, s.Returning = max(s.Floor, d.users()), nil, true
}

// primaryWanted is how many pods the primary is to have before it takes users back. On the way back from a canary that must not be used any more that
// is not waited for without end: then the pods that there are must do. Users who are sheltered by a good canary are well where they are.
func (d *decision) primaryWanted() int32 {
	d.raiseToReturn()
	wanted := max(d.in.Primary.Replicas, d.floor(), 1)
	if !d.scaled() || !d.returning() || d.ro().Shelter > 0 || d.in.Now.Before(d.ro().StageSince.Add(capacityPatience)) {
		return wanted
	}
	ready := max(d.in.Services.PrimaryReady, 1)
	if d.in.Services.PrimaryReady > 0 && ready < wanted && d.st.CanaryWeight > 0 {
		d.tellShort("%s has %d of %d ready pods after %s; it takes all users back nevertheless", d.in.Canary.PrimaryName(), ready, wanted, capacityPatience)
	}
	return min(wanted, ready)
}

// users returns how many pods all users together need, by what the sides have now. Where nobody knows how many of them the canary has, because they
// are chosen by what they send or stay by cookie, only the sum of both sides is certain to be enough.
func (d *decision) users() int32 { return d.usersBy(d.st) }

// usersBy returns the same for the split that a status says is in force. Where autoscalers do not know the load, what the primary had for all of them, or
// has, is all that is known: counting the canary's pods too would have it grow with each rollout.
func (d *decision) usersBy(st *v1beta1.CanaryStatus) int32 {
	primary, target := d.in.Primary.Replicas, d.in.Target.Replicas
	if s := d.st.Scaler; d.in.Scaler.Blind && s != nil {
		return max(primary, s.Floor, 1)
	}
	if st.CanaryMatched || st.SessionAffinityCookie != "" {
		return max(primary+target, 1)
	}
	return load(primary, target, st.CanaryWeight)
}

// canaryShort tells whether the canary has yet to be given pods before a step may give it more requests, be they users' own or copies. Its autoscaler
// belongs to the user, so it is the target that is scaled, and the autoscaler goes on from there; what it takes away before the users have come is
// given again for a while.
func (d *decision) canaryShort(to step) bool {
	s, t := d.st.Scaler, d.in.Target
	more := to.weight > d.st.CanaryWeight || to.mirror > d.st.MirrorWeight
	if !d.scaled() || s == nil || d.fence || !more {
		return false
	}
	need := d.canaryNeeds(to)
	if s.ShortSince != nil {
		// What has been added since serves nobody yet, and says nothing of the load.
		need = s.StepNeeds
	}
	if t.Replicas >= need && d.in.Services.CanaryReady >= needed(need, d.spec.Analysis.CanaryReadyPercent()) {
		s.ShortSince, s.StepNeeds = nil, 0
		return false
	}
	if s.ShortSince == nil {
		s.ShortSince, s.StepNeeds = d.later(0), need
	}
	if d.passed(s.ShortSince.Add(capacityPatience)) {
		s.ShortSince, s.StepNeeds = nil, 0
		d.tellShort("%s has %d of the %d pods that %s needs after %s; its users come nevertheless", d.target(), t.Replicas, need, to.label, capacityPatience)
		return false
	}
	d.wait("CanaryScaling", "waiting for the canary to have %d pods for %s: %s", need, to.label, d.canaryReadiness())
	d.growCanary(need)
	return true
}

// growCanary plans a target of at least need pods.
func (d *decision) growCanary(need int32) {
	if d.in.Target.Replicas < need {
		release := d.plan.Target != nil && d.plan.Target.Release
		d.plan.Target = &TargetIntent{Replicas: &need, Release: release}
	}
}

// growForRescue gives the target's pods company while they serve all users: as many as the primary was to have for them, which was counted when they
// were about to come back.
func (d *decision) growForRescue() {
	if !d.rescuing() || d.plan.Target != nil {
		return
	}
	if need := min(d.floor(), d.in.Scaler.Target.Max); need > d.in.Target.Replicas {
		d.plan.Target = &TargetIntent{Replicas: &need}
	}
}

// canaryNeeds is how many pods the canary needs for a step, within the limits of its autoscaler.
func (d *decision) canaryNeeds(s step) int32 {
	limits := d.in.Scaler.Target
	total := d.users()
	if d.st.CanaryWeight == 0 {
		// What the target has serves nobody yet.
		total = max(d.in.Primary.Replicas, 1)
	}
	if ro := d.ro(); ro != nil && ro.Stage == v1beta1.StageReturning {
		// The primary was kept as large as its users need who are about to come.
		total = max(total, d.in.Primary.Replicas)
	}
	return min(max(part(total, max(s.weight, s.mirror), 100), limits.Min, 1), max(limits.Max, 1))
}

// canaryStart is how many pods the target is scaled up to: where an autoscaler takes over, what the first step needs; else as much as the primary has.
func (d *decision) canaryStart() int32 {
	if !d.scaled() {
		return max(d.in.Primary.Replicas, 1)
	}
	var first step
	if steps := d.steps(); len(steps) > 0 {
		first = steps[0]
	}
	return d.canaryNeeds(first)
}
