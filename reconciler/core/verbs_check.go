package core

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// VerbState is all that decides whether a verb makes sense. Admission and the core judge by it alike.
type VerbState struct {
	// Spec and Status are those of the Canary.
	Spec   *v1beta1.CanarySpec
	Status *v1beta1.CanaryStatus
	// Live is the digest of the target's revision; empty while it is unknown.
	Live string
	// Stored are the digests of the revisions that can be restored.
	Stored map[string]bool
}

// verbState is what the decision knows of that.
func (d *decision) verbState() VerbState {
	s := VerbState{Spec: d.spec, Status: d.st, Live: d.st.CurrentRevision, Stored: d.in.Stored}
	if d.in.Live != nil {
		s.Live = d.in.Live.Digest
	}
	return s
}

// verbChecks say why a verb makes no sense; "" when it does.
var verbChecks = map[v1beta1.VerbName]func(VerbState, v1beta1.Verb) string{
	v1beta1.VerbPromote:      mayPromote,
	v1beta1.VerbAbort:        mayAbort,
	v1beta1.VerbPause:        mayPause,
	v1beta1.VerbResume:       mayResume,
	v1beta1.VerbRetry:        mayRetry,
	v1beta1.VerbSkipAnalysis: maySkip,
	v1beta1.VerbRestore:      mayRestore,
}

// Refusal says why a verb makes no sense in a state, and what to do instead; "" when it does.
func (s VerbState) Refusal(v v1beta1.Verb) string {
	if s.Status.Phase == "" || s.Status.Phase == v1beta1.PhaseInitializing {
		return "the Canary is being initialised; wait until its condition Ready is True"
	}
	check, known := verbChecks[v.Name]
	if !known {
		return fmt.Sprintf("%s is unknown to this version", v.Name)
	}
	return check(s, v)
}

func mayPromote(s VerbState, _ v1beta1.Verb) string {
	switch ro := s.Status.Rollout; {
	case s.Spec.Suspend:
		return "the Canary is suspended; set spec.suspend to false first"
	case ro == nil || trip(ro):
		return "no rollout is under way; change the target, or retry a failed revision"
	case ro.Stage == v1beta1.StagePromoting || ro.Stage == v1beta1.StageFinalising || ro.Stage == v1beta1.StageReturning:
		return fmt.Sprintf("revision %s is being promoted already", ro.Revision)
	case !beforePromotion(ro.Stage):
		return fmt.Sprintf("users of revision %s are on their way back to the primary (%s)", ro.Revision, ro.Reason)
	case ro.PromotedBy != "":
		return fmt.Sprintf("%s has asked for that already", ro.PromotedBy)
	}
	return ""
}

func mayAbort(s VerbState, _ v1beta1.Verb) string {
	switch ro := s.Status.Rollout; {
	case ro == nil && s.Status.SkipNextBy != "":
		return ""
	case ro == nil || trip(ro):
		return "no rollout is under way; to go back to an earlier revision, restore it"
	default:
		return s.pastAbort(ro)
	}
}

// pastAbort says why the stage of a rollout leaves nothing to abort, or not yet.
func (s VerbState) pastAbort(ro *v1beta1.RolloutStatus) string {
	switch {
	case ro.Stage == v1beta1.StageTurning && !s.Status.TargetServes:
		return fmt.Sprintf("users are turning to the primary, none of them meets revision %s yet; abort again once that is done", ro.Revision)
	case ro.Stage == v1beta1.StageFinalising || ro.Stage == v1beta1.StageReturning && s.Status.TargetServes:
		return fmt.Sprintf("revision %s serves as primary already; to go back to an earlier one, restore it", ro.Revision)
	case ro.Stage == v1beta1.StageFencing && s.Live != ro.Revision:
		return fmt.Sprintf("revision %s was overtaken by %s and is leaving; abort again once that one is rolled out", ro.Revision, s.Live)
	case ro.Stage == v1beta1.StageRollingBack || ro.Stage == v1beta1.StageLeaving:
		return fmt.Sprintf("revision %s is on its way back already (%s)", ro.Revision, ro.Reason)
	}
	return ""
}

func mayPause(s VerbState, _ v1beta1.Verb) string {
	switch ro := s.Status.Rollout; {
	case s.Status.Paused != nil:
		return fmt.Sprintf("%s has paused it already", s.Status.Paused.By)
	case ro != nil && !trip(ro) && !beforePromotion(ro.Stage) && ro.Stage != v1beta1.StageFencing:
		return fmt.Sprintf("revision %s is past its analysis (%s); abort is what stops a promotion", ro.Revision, ro.Stage)
	}
	return ""
}

func mayResume(s VerbState, _ v1beta1.Verb) string {
	if s.Status.Paused == nil {
		return "nobody has paused it"
	}
	return ""
}

func mayRetry(s VerbState, _ v1beta1.Verb) string {
	switch {
	case s.Spec.Suspend:
		return "the Canary is suspended; set spec.suspend to false first"
	case s.Status.Rollout != nil:
		return fmt.Sprintf("the rollout of revision %s is under way (%s); wait until it has ended", s.Status.Rollout.Revision, s.Status.Rollout.Stage)
	case s.Status.FailedRevision == "" || s.Live != s.Status.FailedRevision:
		return "the target's revision has not failed, so there is nothing to retry"
	}
	return ""
}

func maySkip(s VerbState, _ v1beta1.Verb) string {
	ro := s.Status.Rollout
	present := ro != nil && !trip(ro) && beforePromotion(ro.Stage)
	switch {
	case present && ro.SkippedBy != "":
		return fmt.Sprintf("%s has asked for that already", ro.SkippedBy)
	case !present && s.Status.SkipNextBy != "":
		return fmt.Sprintf("%s has asked for that already, for the next rollout", s.Status.SkipNextBy)
	}
	return ""
}

func mayRestore(s VerbState, v v1beta1.Verb) string {
	digest, why := s.resolve(v.Revision)
	switch ro := s.Status.Rollout; {
	case s.Status.TargetServes || s.Spec.Primary != nil && s.Spec.Primary.Lifecycle == v1beta1.LifecycleEphemeral:
		return "the target serves here, and it is not Sluice's to write; set it back itself, users turn to the primary at once while that is kept"
	case why != "":
		return why
	case ro != nil:
		return s.mayOverturn(ro, digest)
	case digest == s.Status.PromotedRevision:
		return fmt.Sprintf("the primary serves revision %s already", digest)
	}
	return ""
}

// mayOverturn says why a revision cannot be restored while a rollout is under way; "" when it can, which ends that rollout.
func (s VerbState) mayOverturn(ro *v1beta1.RolloutStatus, digest string) string {
	switch {
	case digest == s.Status.PromotedRevision:
		return fmt.Sprintf("revision %s is the last good one; abort brings it back", digest)
	case digest == ro.Revision && !terminal(ro.Stage):
		return fmt.Sprintf("revision %s is being rolled out; promote is the way to have it at once", digest)
	case ro.Stage == v1beta1.StageFinalising:
		return fmt.Sprintf("revision %s is about to be recorded as the last good one; restore once that is done", ro.Revision)
	case ro.Shelter > 0 && ro.Stage == v1beta1.StageRollingBack || ro.InPrimary:
		return "users are on the target's pods because the primary cannot take them back; change the target, or find out what ails the primary"
	}
	return ""
}

// maxListed bounds how many revisions a message lists.
const maxListed = 10

// resolve finds the one stored revision whose digest begins so, or says why there is none.
func (s VerbState) resolve(prefix string) (digest, why string) {
	var found, all []string
	for _, d := range slices.Sorted(maps.Keys(s.Stored)) {
		if !s.Stored[d] {
			continue
		}
		if d == prefix {
			return d, ""
		}
		all = append(all, d)
		if strings.HasPrefix(d, prefix) {
			found = append(found, d)
		}
	}
	switch len(found) {
	case 1:
		return found[0], ""
	case 0:
		return "", fmt.Sprintf("no stored revision begins with %s; there are: %s", prefix, strings.Join(all[:min(len(all), maxListed)], ", "))
	}
	return "", fmt.Sprintf("%s is the beginning of several revisions: %s; write more of it", prefix, strings.Join(found[:min(len(found), maxListed)], ", "))
}

// beforePromotion tells whether a rollout in a stage may still be held up, hurried or called off before the primary changes for good.
func beforePromotion(s v1beta1.Stage) bool {
	switch s {
	case v1beta1.StageSettling, v1beta1.StageConfirming, v1beta1.StageTurning, v1beta1.StageScalingUp, v1beta1.StagePreparing, v1beta1.StageAnalysing,
		v1beta1.StageConfirmingPromotion, v1beta1.StageConfirmingRescue, v1beta1.StageRescuing:
		return true
	}
	return false
}

// terminal tells whether a rollout in a stage gives its revision up.
func terminal(s v1beta1.Stage) bool {
	return s == v1beta1.StageRollingBack || s == v1beta1.StageFencing || s == v1beta1.StageLeaving
}
