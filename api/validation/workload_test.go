package validation

import (
	"testing"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

func TestDaemonSetTargets(t *testing.T) {
	const network = `spec.targetRef: "DaemonSet/podinfo" uses the network of its nodes, where its primary runs beside it; ` +
		`remove hostNetwork from its template`
	const port = `spec.targetRef: "DaemonSet/podinfo" takes port 9100 of its nodes, where its primary runs beside it; ` +
		`remove hostPort from its template, the Services of the Canary lead to its pods`
	const onDelete = `spec.targetRef: "DaemonSet/podinfo" leaves it to people to replace its pods, which a rollout does; ` +
		`set its spec.updateStrategy.type to RollingUpdate`
	const autoscaler = `spec.autoscalerRef: "HorizontalPodAutoscaler/podinfo" has no effect on a DaemonSet, whose pods are as many as its nodes; remove it`
	daemonSet := `{spec: {targetRef: {kind: DaemonSet, name: podinfo}}}`
	for _, tt := range []struct {
		name, patch  string
		target       *Workload
		deny, warn   []string
		stored, same bool
	}{
		{name: "unknown yet", patch: daemonSet},
		{name: "good", patch: daemonSet, target: &Workload{RollsOut: true}},
		{name: "network", patch: daemonSet, target: &Workload{HostNetwork: true, HostPort: 80, RollsOut: true}, deny: []string{network}},
		{name: "port", patch: daemonSet, target: &Workload{HostPort: 9100, RollsOut: true}, deny: []string{port}},
		{name: "both wrong", patch: daemonSet, target: &Workload{HostPort: 9100}, deny: []string{port, onDelete}},
		{name: "taken over long ago", patch: daemonSet, target: &Workload{HostPort: 9100}, stored: true, same: true},
		{name: "retargeted", patch: daemonSet, target: &Workload{}, stored: true, deny: []string{onDelete}},
		{name: "a Deployment finds other nodes", patch: `{spec: {targetRef: {name: podinfo}}}`, target: &Workload{HostPort: 9100}},
		{
			name:  "autoscaler",
			patch: `{spec: {targetRef: {kind: DaemonSet, name: podinfo}, autoscalerRef: {apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, name: podinfo}}}`,
			warn:  []string{autoscaler},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := options()
			o.Facts.Target = tt.target
			c := canary(t, tt.patch)
			if tt.stored {
				o.Old = c.DeepCopy()
				o.Old.Spec.Analysis.Threshold++
				if !tt.same {
					o.Old.Spec.TargetRef = v1beta1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "podinfo"}
				}
			}
			denials, warnings := ValidateCanary(c, o)
			expect(t, "denials", denials, tt.deny...)
			expect(t, "warnings", warnings, tt.warn...)
		})
	}
}
