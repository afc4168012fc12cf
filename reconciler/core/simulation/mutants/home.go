package main

// atHome are the mutants of what is particular to an ephemeral primary; their names begin with "ephemeral".
func atHome() []mutant {
	return []mutant{
		{
			promise: "P1", name: "ephemeral: let a held target go while users are on it", file: "home.go",
			text:    "	case next == v1beta1.StageScalingUp && (d.home() || (d.ephemeral() || d.departing()) && !d.awaySettled()):",
			instead: "	case false:",
		},
		{
			promise: "P1", name: "ephemeral: send users to pods on nodes that join", file: "home.go",
			text:    "	return d.st.ServingHash\n",
			instead: "	return \"\"\n",
		},
		{
			promise: "P1", name: "ephemeral: release the hold as a change settles", file: "stages.go",
			text:    "	if !d.home() && !d.ephemeral() && !d.departing() {",
			instead: "	if d.ro() != nil {",
		},
		{
			promise: "P1", name: "ephemeral: come home to a newer revision", file: "homecoming.go",
			text:    "	if live := d.in.Live; live != nil && live.Digest != ro.Revision {\n		if trip(ro) {",
			instead: "	if live := d.in.Live; live == nil {\n		if trip(ro) {",
		},
		{
			promise: "P3", name: "ephemeral: turn users to a primary that is not ready", file: "turning.go",
			text:    "	return d.primaryServes(digest) && (d.in.Primary.Replicas >= d.in.Target.Replicas || d.scaled() && d.st.Scaler != nil)\n",
			instead: "	return d.in.Primary.Exists\n",
		},
		{
			promise: "P3", name: "ephemeral: come home to a target that is not ready", file: "homecoming.go",
			text:    "	if !d.canaryServes() {",
			instead: "	if ro.PodHash == \"\" {",
		},
		{
			promise: "P4", name: "ephemeral: go and leave what is held", file: "adopt.go",
			text:    "	restored := !t.Held\n",
			instead: "	restored := true\n	d.plan.Target = nil\n	good = nil\n",
		},
		{
			promise: "P5", name: "ephemeral: never bring users home", file: "home.go",
			text:    "	if live != d.in.Promoted.Digest {\n		return false\n	}\n	d.st.FailedRevision = \"\"\n",
			instead: "	if live != \"\" {\n		return false\n	}\n",
		},
		{
			promise: "P7", name: "ephemeral: scale the target to zero with users on it", file: "rollback.go",
			text: "	if d.home() {\n		return d.rollBackAtHome()\n	}\n",
		},
	}
}
