package main

import "slices"

// mutant is one promise broken on purpose: text of a file of the core, which is there exactly once, and what stands in its place.
type mutant struct {
	// promise is what the text keeps, name what becomes of it.
	promise, name string
	file          string
	// instead is empty where the text is only left out.
	text, instead string
}

// table holds the mutants by promise. Each is a mistake that a person could make.
func table() []mutant {
	return slices.Concat(users(), analysed(), traffic(), restored(), changes(), healthy(), atHome(), operators(), services())
}

func users() []mutant {
	return []mutant{
		{
			promise: "P1", name: "drop the pin", file: "traffic.go",
			text: "		s.Pin = d.ro().PodHash\n",
		},
		{
			promise: "P1", name: "do not notice a newer change", file: "decide.go",
			text: `	{"fence", fence},` + "\n",
		},
		{
			promise: "P1", name: "begin at the last step", file: "stages.go",
			text:    "d.ro().Step, d.ro().Course = 0, d.course()",
			instead: "d.ro().Step, d.ro().Course = int32(len(d.steps())-1), d.course()",
		},
		{
			promise: "P1", name: "hold no change of a template", file: "hold.go",
			text:    "	return NeedsFence(c)\n",
			instead: "	return false\n",
		},
		{
			promise: "P1", name: "fence no change of a config", file: "hold.go",
			text:    "	case v1beta1.StageSettling, v1beta1.StageConfirming, v1beta1.StageLeaving:",
			instead: "	case v1beta1.StageSettling, v1beta1.StageConfirming, v1beta1.StageLeaving, v1beta1.StageAnalysing:",
		},
		{
			promise: "P1", name: "ignore the fence", file: "fenced.go",
			text: "	d.fence = live == nil || (patient && !landed)\n",
		},
		{
			promise: "P1", name: "let pods from before a change of the config be analysed", file: "stages.go",
			text:    "	if !d.ro().Afresh {",
			instead: "	if d.ro() != nil {",
		},
		{
			promise: "P1", name: "scale the newer revision up while the older is drained", file: "rollback.go",
			text:    "	if d.st.CanaryWeight > 0 && !d.abandon() || !d.drained() {",
			instead: "	if d.st.CanaryWeight > 0 && !d.abandon() {",
		},
		{
			promise: "P1", name: "restart with the newer revision at once", file: "rollback.go",
			text: `	d.rollout(v1beta1.StageFencing, "revision "+ro.Revision+" was overtaken by "+live.Digest)` + "\n" +
				"	return false",
			instead: "	d.supersede(live)\n" +
				"	return true",
		},
		{
			promise: "P1", name: "give a rescued revision users at once", file: "rescue.go",
			text:    "	d.put(allUsers-weight, false, 0)",
			instead: "	d.put(0*weight, false, 0)",
		},
		{
			promise: "P1", name: "take users to a primary that still runs the rescued revision", file: "shelter.go",
			text:    "	if p.Total > p.Updated {",
			instead: "	if p.Total < 0 {",
		},
		{
			promise: "P1", name: "keep users by cookie on a canary without users", file: "split.go",
			text: "	if weight == 0 {\n" +
				"		d.revokeCookies()\n" +
				"	}\n",
		},
	}
}

func analysed() []mutant {
	return []mutant{
		{
			promise: "P2", name: "promote what the target is now", file: "promote.go",
			text: "	d.plan.Primary = &PrimaryIntent{Revision: ro.Revision, Replicas: d.primaryReplicas(d.in.Promoted)}\n" +
				"	if d.spec.AutoscalerRef",
			instead: "	if d.in.Live != nil && d.in.Stored[d.in.Live.Digest] {\n" +
				"		ro.Revision = d.in.Live.Digest\n" +
				"	}\n" +
				"	d.plan.Primary = &PrimaryIntent{Revision: ro.Revision, Replicas: d.primaryReplicas(d.in.Promoted)}\n" +
				"	if d.spec.AutoscalerRef",
		},
		{
			promise: "P2", name: "mark as promoted when the promotion begins", file: "promote.go",
			text: "		ro.Shelter = allUsers\n",
			instead: "		ro.Shelter = allUsers\n" +
				"		d.plan.MarkPromoted = ro.Revision\n",
		},
		{
			promise: "P2", name: "skip the steps in between", file: "analyse.go",
			text:    "	d.ro().Step++\n",
			instead: "	d.ro().Step = int32(len(d.steps()) - 1)\n",
		},
		{
			promise: "P2", name: "promote before everybody has met it", file: "analyse.go",
			text:    "		if steps := d.steps(); int(d.ro().Step)+1 < len(steps) {",
			instead: "		if steps := d.steps(); int(d.ro().Step) > len(steps) {",
		},
		{
			promise: "P2", name: "ask no metric", file: "analyse.go",
			text:    "	return d.ask(d.metrics())",
			instead: "	return passed",
		},
		{
			promise: "P2", name: "let failed checks pass", file: "checks.go",
			text:    "			result = failed\n",
			instead: "			result = passed\n",
		},
		{
			promise: "P2", name: "allow one failed round too many", file: "checks.go",
			text: "	if int(d.st.FailedChecks) >= d.spec.Analysis.FailureThreshold() {\n" +
				`		return d.fail(fmt.Sprintf("failed checks`,
			instead: "	if int(d.st.FailedChecks) > d.spec.Analysis.FailureThreshold() {\n" +
				`		return d.fail(fmt.Sprintf("failed checks`,
		},
		{
			promise: "P2", name: "judge a step before its weight is in force", file: "analyse.go",
			text: "	if !d.converged() {\n" +
				"		d.reportRoute()\n",
			instead: "	if d.converged(); d.spec == nil {\n" +
				"		d.reportRoute()\n",
		},
	}
}

func traffic() []mutant {
	return []mutant{
		{
			promise: "P3", name: "let the weights sum to more than 100", file: "split.go",
			text:    "		Primary: 100 - int(st.CanaryWeight), Canary:",
			instead: "		Primary: 100, Canary:",
		},
		{
			promise: "P3", name: "share users out before the canary is ready", file: "traffic.go",
			text:    "		s.CanaryReady >= needed(t.Replicas, percent) && s.CanaryOther == 0",
			instead: "		s.CanaryOther == 0",
		},
		{
			promise: "P3", name: "scale down before the last requests are through", file: "promote.go",
			text: "	if !d.drained() {\n" +
				`		d.wait("Draining"`,
			instead: "	if !d.converged() {\n" +
				`		d.wait("Draining"`,
		},
		{
			promise: "P3", name: "drop the drain wait", file: "traffic.go",
			text:    "	return d.passed(d.ro().ConvergedAt.Add(d.in.Traffic.Drain))",
			instead: "	return true",
		},
		{
			promise: "P3", name: "take a written route for one in force", file: "traffic.go",
			text:    `	return r.Exists && r.Accepted && r.Problem == "" && r.Split == d.split()`,
			instead: "	return r.Exists && r.Split == d.split()",
		},
		{
			promise: "P3", name: "scale down in a rollback before users are off", file: "rollback.go",
			text:    "	if !d.drained() || !d.scaledToZero() {",
			instead: "	if !d.scaledToZero() {",
		},
		{
			promise: "P3", name: "take users back beyond the primary's capacity", file: "traffic.go",
			text:    "	return min(d.st.CanaryWeight, 100-capacity)",
			instead: "	return min(d.st.CanaryWeight, max(0, 99-100*capacity))",
		},
		{
			promise: "P3", name: "lower a step beyond the primary's capacity", file: "split.go",
			text:    "	d.put(max(s.weight, d.returnWeight()), s.match, s.mirror)",
			instead: "	d.put(s.weight, s.match, s.mirror)",
		},
		{
			promise: "P3", name: "let the primary shrink while its users are away", file: "scalers.go",
			text:    "		s.Floor, s.FloorUntil = max(d.in.Primary.Replicas, 1), nil\n",
			instead: "		s.Floor, s.FloorUntil = 1, nil\n",
		},
		{
			promise: "P3", name: "let the primary shrink as soon as its users are back", file: "scalers.go",
			text:    "	if d.passed(s.FloorUntil.Time) {",
			instead: "	if s.FloorUntil != nil {",
		},
		{
			promise: "P3", name: "take users to a promoted primary that is not ready", file: "traffic.go",
			text:    "	return p.RolledOut(percent) && p.Revision == revision &&",
			instead: "	return p.Revision == revision && d.in.Services.Ready || p.RolledOut(percent) && p.Revision == revision &&",
		},
		{
			promise: "P3", name: "keep users on a canary that has no pods", file: "stages.go",
			text:    "	case d.st.CanaryWeight > 0 && d.in.Services.CanaryReady == 0:",
			instead: "	case d.st.CanaryWeight < 0:",
		},
	}
}

func restored() []mutant {
	return []mutant{
		{
			promise: "P4", name: "do not restore the target when leaving", file: "leave.go",
			text:    "		d.plan.Target.Restore = good.Digest\n",
			instead: "		_ = good\n",
		},
		{
			promise: "P4", name: "do not make a deleted primary again", file: "traffic.go",
			text: "	if !d.promoting() && !d.home() {\n" +
				"		d.ensurePrimary(d.in.Promoted)\n" +
				"	}\n" +
				"	d.ensureServices()",
			instead: "	d.ensureServices()",
		},
		{
			promise: "P4", name: "promote without a snapshot", file: "regain.go",
			text:    "	case d.in.Stored[ro.Revision]:",
			instead: "	case ro != nil:",
		},
		{
			promise: "P4", name: "do not store a lost snapshot again", file: "decide.go",
			text: "		d.plan.Store, d.plan.MarkPromoted = true, live.Digest\n" +
				`		d.wait("SnapshotLost"`,
			instead: `		d.wait("SnapshotLost"`,
		},
	}
}

func changes() []mutant {
	return []mutant{
		{
			promise: "P5", name: "take a read error for a change", file: "detect.go",
			text:    `		d.wait("RevisionUnreadable", "%s; nothing is concluded from that", d.unreadable())`,
			instead: `		d.begin(&Revision{Digest: "unreadable"})`,
		},
		{
			promise: "P5", name: "try a failed revision again by itself", file: "detect.go",
			text:    "	case d.st.FailedRevision:",
			instead: `	case "":`,
		},
		{
			promise: "P5", name: "forget which revision failed", file: "rollback.go",
			text: "	d.st.FailedRevision = ro.Revision\n",
		},
		{
			promise: "P5", name: "roll the promoted revision out", file: "rollback.go",
			text:    "	if live.Digest != d.in.Promoted.Digest {",
			instead: `	if live.Digest != "" {`,
		},
		{
			promise: "P5", name: "absorb a change that came during a rollout", file: "detect.go",
			text: "	case d.in.Promoted.Digest:\n" +
				"		d.st.FailedRevision",
			instead: "	case d.in.Promoted.Digest, d.in.Canary.Status.CurrentRevision:\n" +
				"		d.st.FailedRevision",
		},
		{
			promise: "P5", name: "go on while suspended", file: "decide.go",
			text:    "	if !d.spec.Suspend || d.returning() || d.restoring() {",
			instead: "	if d.spec != nil || d.returning() || d.restoring() {",
		},
		{
			promise: "P5", name: "do not ask to be woken", file: "traffic.go",
			text: "		d.againAt(t)\n",
		},
		{
			promise: "P5", name: "leave the fence on the route", file: "split.go",
			text:    "KeepFence: d.fence, Version",
			instead: "KeepFence: d.in.Route.Fence != nil, Version",
		},
		{
			promise: "P5", name: "end a rescue that was taken back without a verdict", file: "rescue.go",
			text: "		d.setPhase(v1beta1.PhaseSucceeded)\n" +
				"		return v1beta1.StageRollingBack",
			instead: "		return v1beta1.StageRollingBack",
		},
	}
}

func healthy() []mutant {
	return []mutant{
		{
			promise: "P7", name: "scale the target down before the first primary serves", file: "initialise.go",
			text:    "	if !d.primaryServes(good.Digest) {",
			instead: "	if !d.in.Primary.Exists {",
		},
		{
			promise: "P7", name: "take the healthy canary of a failed promotion away", file: "rollback.go",
			text:    "	if d.keepsUsers() && !d.abandon() {",
			instead: "	if d.st.CanaryWeight > 100 {",
		},
		{
			promise: "P7", name: "let a rescue that is overtaken begin as usual", file: "rescue.go",
			text: "	ro.Stage = v1beta1.StageConfirmingRescue\n",
		},
		{
			promise: "P7", name: "wait for ever for a primary that the newer revision would mend", file: "shelter.go",
			text: "	ro.WithoutPrimary = true\n",
			instead: "	d.again(primaryPatience)\n" +
				"	if ro != nil {\n" +
				"		return true\n" +
				"	}\n",
		},
	}
}

// operators are mistakes about what they ask for.
func operators() []mutant {
	return []mutant{
		{
			promise: "P1", name: "do what admission has not let through", file: "verbs.go",
			text:    "	case req.Problem != \"\":\n		return req.Problem\n",
			instead: "	case req.Problem != \"\":\n		return \"\"\n",
		},
		{
			promise: "P2", name: "skip every analysis after the one that was to be skipped", file: "detect.go",
			text:    "	d.st.SkipNextBy = \"\"\n",
			instead: "	_ = d.st.SkipNextBy\n",
		},
		{
			promise: "P5", name: "advance while paused", file: "analyse.go",
			text:    "	if d.paused() {\n		d.judgedOn()\n		return here\n	}\n",
			instead: "",
		},
		{
			promise: "P5", name: "roll out what a restored revision has taken the place of", file: "verbs_act.go",
			text:    "		d.st.FailedRevision = live\n",
			instead: "		_ = live\n",
		},
		{
			promise: "P2", name: "restore what nobody has asked for", file: "verbs_act.go",
			text:    "	digest, _ := d.verbState().resolve(v.Revision)\n",
			instead: "	digest, _ := d.st.CurrentRevision, v.Revision\n",
		},
		{
			promise: "P2", name: "restore without looking into the history", file: "verbs_check.go",
			text:    "	case why != \"\":\n		return why\n	case ro != nil:",
			instead: "	case why == \"never\":\n		return why\n	case ro != nil:",
		},
	}
}

// services are mistakes about targets that are Services.
func services() []mutant {
	return []mutant{
		{
			promise: "P7", name: "service: lead users of the primary to where no endpoint is seen", file: "podless.go",
			text: "	if d.unlisted() {\n		d.plan.Primary = nil\n	}\n",
		},
		{
			promise: "P1", name: "service: send users to a target that leads elsewhere still", file: "podless.go",
			text:    "	return s.ApexOther == 0 && s.ApexReady >= s.PrimaryReady\n",
			instead: "	return s.ApexOther+s.ApexReady >= s.PrimaryReady\n",
		},
	}
}
