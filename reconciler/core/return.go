package core

// returnedByStep moves users to the promoted primary by steps of analysis.stepWeightPromotion, one an interval, and tells when the next step is the
// last. Each counts from when the provider has accepted the one before. Without such steps, and without a route, all users move at once. A promotion
// begins with the split of the last step; one that was taken off the canary meanwhile has nothing left to move.
func (d *decision) returnedByStep() bool {
	size, ro := d.spec.Analysis.StepWeightPromotion, d.ro()
	if size <= 0 || !d.in.Traffic.Weighted || d.st.CanaryWeight == 0 {
		return true
	}
	if ro.NextCheckAt != nil {
		if !d.converged() {
			d.reportRoute()
			return false
		}
		d.wait("Returning", "revision %s serves as primary; its users return by steps, %d%% are still on the canary", ro.Revision, d.st.CanaryWeight)
		if !d.passed(ro.ConvergedAt.Add(d.spec.Analysis.CheckInterval())) {
			return false
		}
	}
	if d.st.CanaryWeight <= size {
		return true
	}
	d.putInForce(d.st.CanaryWeight - size)
	ro.NextCheckAt = d.later(d.spec.Analysis.CheckInterval())
	d.normal("Returning", "Advance %s.%s primary weight %d", d.in.Canary.Name, d.in.Canary.Namespace, 100-d.st.CanaryWeight)
	d.wait("Returning", "revision %s serves as primary; its users return by steps, %d%% are still on the canary", ro.Revision, d.st.CanaryWeight)
	d.again(d.spec.Analysis.CheckInterval())
	return false
}
