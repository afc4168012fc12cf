package core

import (
	"fmt"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// This file holds what happens to users whom the primary cannot take: those of a promotion that fails stay with the canary, which has passed its
// analysis, for as long as that is so; and a fix is analysed although there is no healthy primary to compare it with.

const (
	// primaryPatience is how long a primary without a single ready pod is waited for before a fix goes ahead without it. One that merely lacks some
	// is waited for until the progress deadline.
	primaryPatience = 30 * time.Second
	// rescuePatience is how long a primary that cannot take users back is waited for before a newer revision may change that.
	rescuePatience = time.Minute
	// allUsers is the share of a canary that has passed its analysis.
	allUsers = 100
)

// share is ready pods in proportion to those wanted, in per cent.
func share(ready, wanted int32) int32 {
	wanted = max(wanted, 1)
	return int32(int64(max(0, min(ready, wanted))) * 100 / int64(wanted))
}

// goodCapacity is the share of users that the primary's pods of good revisions can take: those that were promoted or have passed their analysis. A
// rescue leaves pods of another one there: until these are gone, and while the workload's controller has yet to look at what it was given, it can take
// nobody.
func (d *decision) goodCapacity() int32 {
	p := d.in.Primary
	if !d.ro().InPrimary {
		return share(d.in.Services.PrimaryReady, p.Replicas)
	}
	if !p.Exists || !p.Current || d.in.Promoted == nil || p.Revision != d.in.Promoted.Digest {
		return 0
	}
	if p.Total > p.Updated {
		// Its Service leads to all of its pods alike.
		return 0
	}
	return share(d.in.Services.PrimaryReady, p.Replicas)
}

// shelter gives the canary the users that the primary can take less of than it has, as far as the canary's own pods go. It never takes users away from
// the canary. Without a route with weights nobody can be sent there.
func (d *decision) shelter(capacity int32) {
	if !d.in.Traffic.Weighted || !d.sound() {
		return
	}
	want := min(allUsers-capacity, share(d.in.Services.CanaryReady, d.in.Primary.Replicas), d.ro().Shelter)
	if want <= d.st.CanaryWeight && !(d.st.CanaryMatched && want > 0) {
		return
	}
	d.warn("Sheltering", "The primary of %s cannot take all of its users: %d%% of them are sent to the canary's pods, which passed their analysis",
		d.target(), want)
	d.put(want, false, 0)
}

// sound tells whether the pods behind the canary Service are those that passed an analysis, and nobody is about to change them.
func (d *decision) sound() bool {
	ro, s := d.ro(), d.in.Services
	if ro.Shelter == 0 || ro.PodHash == "" || s.PinnedHash != ro.PodHash || s.CanaryOther > 0 || d.fence {
		return false
	}
	return d.in.Live == nil || d.in.Live.Digest == ro.Revision || d.rescuing() || d.in.Target.Held || d.podless()
}

// takeBackSheltered takes users back to the primary's pods of the last good revision, and shelters them where these cannot take them.
func (d *decision) takeBackSheltered() {
	if d.in.Services.CanaryReady > 0 {
		d.shelter(d.goodCapacity())
	}
	d.takeBack()
}

// keepsUsers tells whether a rollout on its way back has to keep the canary: users are on it, or it is healthy and the primary is not.
func (d *decision) keepsUsers() bool {
	if d.st.CanaryWeight > 0 {
		return true
	}
	return d.ro().Shelter > 0 && d.in.Services.CanaryReady > 0 && !d.primaryServes(d.in.Promoted.Digest)
}

// waitToTakeBack says why users are still on the canary, and what can be done about it.
func (d *decision) waitToTakeBack() {
	ro := d.ro()
	switch {
	case d.st.CanaryWeight == 0 && !d.in.Traffic.Weighted && ro.Shelter > 0:
		_, _, canary := d.in.Canary.ServiceNames()
		d.wait("RollingBack", "%s; users are on the primary, which is going back to revision %s (%s); no route can send them to the healthy pods behind "+
			"the Service %s, which are kept until then, or until %s is changed",
			ro.Reason, d.in.Promoted.Digest, d.primaryReadiness(), canary, d.spec.TargetRef.Name)
		return
	case d.st.CanaryWeight == 0:
		d.wait("RollingBack", "%s; users are on the primary, which is going back to revision %s: %s", ro.Reason, d.in.Promoted.Digest, d.primaryReadiness())
		return
	case ro.Shelter == 0:
		d.wait("RollingBack", "%s; waiting for ready pods of the primary to take its traffic: %s", ro.Reason, d.primaryReadiness())
		return
	}
	const failed = "PromotionFailed"
	message := fmt.Sprintf("%s; the healthy pods of %s serve %d%% of the users until %s can take them with revision %s (%s): "+
		"find out why its pods do not get ready, or change %s, which is analysed without taking these pods away",
		ro.Reason, d.spec.TargetRef.Name, d.st.CanaryWeight, d.in.Canary.PrimaryName(), d.in.Promoted.Digest, d.primaryReadiness(), d.spec.TargetRef.Name)
	if last := d.in.Canary.Status.Condition(v1beta1.ConditionReady); last == nil || last.Reason != failed {
		d.warn(failed, "%s", message)
	}
	d.wait(failed, "%s", message)
}

// primaryStuck tells whether the primary has been unable to take users back for too long, counted in the present stage.
func (d *decision) primaryStuck() bool {
	ro := d.ro()
	if ro.UnreadySince == nil {
		now := d.now()
		ro.UnreadySince = &now
	}
	return d.passed(ro.UnreadySince.Add(min(d.in.Canary.ProgressDeadline(), rescuePatience)))
}

// overtaken tells whether the target is a newer revision than that of the rollout, and not the last good one.
func (d *decision) overtaken() bool {
	live := d.in.Live
	return live != nil && live.Digest != d.ro().Revision && live.Digest != d.in.Promoted.Digest
}

// abandon takes users off a canary that did not pass an analysis, or that no route can lead them to, although the primary cannot take them, once that
// has lasted and a newer revision waits: as long as nobody else serves them, what waits may be the fix.
func (d *decision) abandon() bool {
	if (d.ro().Shelter > 0 && d.in.Traffic.Weighted) || !d.primaryStuck() || !d.overtaken() {
		return false
	}
	d.ro().Shelter = 0
	follows := "users leave the canary for it"
	if !d.in.Traffic.Weighted {
		follows = "it takes the place of the canary, which no route has led users to"
	}
	d.warn("PrimaryUnhealthy", "The primary of %s does not get ready (%s), and a newer revision waits: %s", d.target(), d.primaryReadiness(), follows)
	d.putInForce(0)
	return true
}

// awaitPrimary tells whether the primary is still waited for before, or while, users are shared out. A comparison and a way back need one; but the
// revision may be the fix for what ails it.
func (d *decision) awaitPrimary() bool {
	ro := d.ro()
	if d.primaryServes(d.in.Promoted.Digest) {
		ro.PrimaryUnreadySince, ro.WithoutPrimary = nil, false
		return false
	}
	if ro.WithoutPrimary {
		return false
	}
	if ro.PrimaryUnreadySince == nil {
		now := d.now()
		ro.PrimaryUnreadySince = &now
	}
	patience := d.in.Canary.ProgressDeadline()
	if d.in.Services.PrimaryReady == 0 {
		patience = min(patience, primaryPatience)
	}
	if !d.passed(ro.PrimaryUnreadySince.Add(patience)) {
		d.wait("PrimaryNotReady", "waiting for the primary: %s", d.primaryReadiness())
		return true
	}
	ro.WithoutPrimary = true
	d.warn("PrimaryUnhealthy", "The primary of %s does not get ready with revision %s (%s); revision %s is analysed all the same, it may be the fix",
		d.target(), d.in.Promoted.Digest, d.primaryReadiness(), ro.Revision)
	return false
}

// neverReady says that the primary has missed the deadline with the rollout's revision.
func (d *decision) neverReady() string {
	return fmt.Sprintf("the primary did not become ready with revision %s within %s: %s", d.ro().Revision, d.in.Canary.ProgressDeadline(), d.primaryReadiness())
}

// rescuing tells whether the primary is used to analyse a newer revision while the target's pods serve the users.
func (d *decision) rescuing() bool {
	return d.ro() != nil && (d.ro().Stage == v1beta1.StageConfirmingRescue || d.ro().Stage == v1beta1.StageRescuing)
}
