package validation

// Workload is what matters of a Canary's target beside its name.
type Workload struct {
	// HostNetwork tells that its pods use the network of their node, HostPort a port of the node that they take; 0 for none.
	HostNetwork bool
	HostPort    int64
	// RollsOut tells that its pods follow its template by themselves.
	RollsOut bool
	// LeadsNowhere tells of a Service that somebody else lists its endpoints; Ports are its ports.
	LeadsNowhere bool
	Ports        []int32
}

// bystanders warns of what will go on minding the target's pods when those of the primary serve in their place.
func (r *review) bystanders() {
	ref, old := r.canary.Spec.TargetRef, r.opts.Old
	if old != nil && sameObject(old.Spec.TargetRef, ref) {
		return
	}
	for _, name := range r.opts.Facts.OnlyTarget {
		r.warn(fieldTarget, ref.Kind+"/"+ref.Name, "is all that %s selects, and users will be served by the pods of %s; select these there too",
			name, r.canary.PrimaryName())
	}
}

// workload denies a DaemonSet that cannot be taken over. One that was taken over is not judged here again: what it becomes later must not keep
// anybody from changing its Canary, and is reported with the rollout that it concerns.
func (r *review) workload() {
	const daemonSet = "DaemonSet"
	ref := r.canary.Spec.TargetRef
	if ref.Kind != daemonSet {
		return
	}
	if a := r.canary.Spec.AutoscalerRef; a != nil {
		r.warn("spec.autoscalerRef", a.Kind+"/"+a.Name, "has no effect on a DaemonSet, whose pods are as many as its nodes; remove it")
	}
	target, old := r.opts.Facts.Target, r.opts.Old
	if target == nil || (old != nil && sameObject(old.Spec.TargetRef, ref)) {
		return
	}
	name := daemonSet + "/" + ref.Name
	switch {
	case target.HostNetwork:
		r.deny(fieldTarget, name, "uses the network of its nodes, where its primary runs beside it; remove hostNetwork from its template")
	case target.HostPort != 0:
		r.deny(fieldTarget, name, "takes port %d of its nodes, where its primary runs beside it; remove hostPort from its template, "+
			"the Services of the Canary lead to its pods", target.HostPort)
	}
	if !target.RollsOut {
		r.deny(fieldTarget, name, "leaves it to people to replace its pods, which a rollout does; set its spec.updateStrategy.type to RollingUpdate")
	}
}
