package validation

import (
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

func serviceTargetDenials() []ruleCase {
	return []ruleCase{
		{"good", `{spec: {targetRef: {apiVersion: v1, kind: Service, name: podinfo}}}`, nil},
		{"its own name", `{spec: {targetRef: {apiVersion: v1, kind: Service, name: podinfo}, service: {name: podinfo}}}`, nil},
		{"another Service", `{spec: {targetRef: {apiVersion: v1, kind: Service, name: podinfo}, service: {name: other}}}`, []string{
			`spec.service.name: "other" is another Service than the target, whose copies the route leads to; remove it`,
		}},
		{"of Knative", `{spec: {targetRef: {apiVersion: serving.knative.dev/v1, kind: Service, name: podinfo}}}`, []string{
			`spec.targetRef.apiVersion: "serving.knative.dev/v1" is that of Knative, which is not available in this version; use v1 for a Service of Kubernetes`,
		}},
		{"ephemeral", `{spec: {targetRef: {apiVersion: v1, kind: Service, name: podinfo}, primary: {lifecycle: Ephemeral}}}`, []string{
			`spec.primary.lifecycle: "Ephemeral" is not possible with a Service, which has no pods of its own; use Persistent or remove the field`,
		}},
		{"built-in metrics", `{spec: {targetRef: {apiVersion: v1, kind: Service, name: podinfo},
			analysis: {metrics: [{name: request-success-rate, thresholdRange: {min: 99}}]}}}`, []string{
			`spec.analysis.metrics[0].name: "request-success-rate" cannot be asked: target kind "Service": ` +
				`pods can be told by name for Deployment and DaemonSet only; use a MetricTemplate`,
		}},
	}
}

func serviceTargetWarnings() []ruleCase {
	return []ruleCase{
		{"autoscaler", `{spec: {targetRef: {apiVersion: v1, kind: Service, name: podinfo},
			autoscalerRef: {apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, name: podinfo}}}`, []string{
			`spec.autoscalerRef: "HorizontalPodAutoscaler/podinfo" has no effect on a Service, which has no pods of its own; remove it`,
		}},
		{"ports", `{spec: {targetRef: {apiVersion: v1, kind: Service, name: podinfo},
			service: {portName: web, targetPort: 8080, appProtocol: http, portDiscovery: true}}}`, []string{
			`spec.service.portName: has no effect on a Service, whose copies have its own ports; remove it`,
			`spec.service.targetPort: has no effect on a Service, whose copies have its own ports; remove it`,
			`spec.service.appProtocol: has no effect on a Service, whose copies have its own ports; remove it`,
			`spec.service.portDiscovery: has no effect on a Service, whose copies have its own ports; remove it`,
		}},
		{"no route", `{spec: {provider: kubernetes, targetRef: {apiVersion: v1, kind: Service, name: podinfo}, analysis: {stepWeight: 0, iterations: 4}}}`, []string{
			`spec.provider: "kubernetes" leads nobody: who calls Service podinfo meets each change of it at once; send users to podinfo-primary`,
		}},
	}
}

func TestServiceTargets(t *testing.T) {
	for _, c := range serviceTargetDenials() {
		t.Run(c.name, func(t *testing.T) {
			denials, _ := ValidateCanary(canary(t, strings.ReplaceAll(c.patch, "\t", " ")), options())
			expect(t, "denials", denials, c.want...)
		})
	}
	for _, c := range serviceTargetWarnings() {
		t.Run(c.name, func(t *testing.T) {
			denials, warnings := ValidateCanary(canary(t, strings.ReplaceAll(c.patch, "\t", " ")), options())
			expect(t, "denials", denials)
			expect(t, "warnings", warnings, c.want...)
		})
	}
}

// What the Service is like matters when its Canary takes it up.
func TestServiceTargetsAsTheyAre(t *testing.T) {
	const patch = `{spec: {targetRef: {apiVersion: v1, kind: Service, name: podinfo}}}`
	const nowhere = `spec.targetRef: "Service/podinfo" has no selector, so copies of it would have no endpoints; give it a selector, or make it an ExternalName`
	const port = `spec.service.port: 80 is no port of Service podinfo, so the route leads nowhere; use one of 8080 9090`
	o := options()
	o.Facts.Target = &Workload{LeadsNowhere: true, Ports: []int32{8080, 9090}}
	c := canary(t, patch)
	denials, warnings := ValidateCanary(c, o)
	expect(t, "denials", denials, nowhere)
	expect(t, "warnings", warnings, port)
	o.Old = c.DeepCopy()
	o.Old.Spec.Analysis.Threshold++
	denials, warnings = ValidateCanary(c, o)
	expect(t, "denials of one taken over", denials)
	expect(t, "warnings of one taken over", warnings)
}

// A target that was looked at is not left behind.
func TestAnotherTarget(t *testing.T) {
	const denied = `spec.targetRef: "Deployment/other" cannot take the place of Deployment/podinfo, which would not be given back; ` +
		`delete the Canary, which gives it back, and create it anew`
	for name, c := range map[string]struct {
		phase   v1beta1.CanaryPhase
		current string
		want    []string
	}{
		"not looked at":        {"", "", nil},
		"did not exist":        {v1beta1.PhaseInitializing, "", nil},
		"is being initialised": {v1beta1.PhaseInitializing, "r", []string{denied}},
		"was rolled out":       {v1beta1.PhaseSucceeded, "r", []string{denied}},
		"of Flagger":           {v1beta1.PhaseSucceeded, "", []string{denied}},
	} {
		o := options()
		o.Old = canary(t, `{spec: {targetRef: {name: podinfo}}}`)
		o.Old.Status.Phase, o.Old.Status.CurrentRevision = c.phase, c.current
		denials, _ := ValidateCanary(canary(t, `{spec: {targetRef: {name: other}}}`), o)
		expect(t, name, denials, c.want...)
		denials, _ = ValidateCanary(canary(t, `{spec: {targetRef: {apiVersion: apps/v1beta2, name: podinfo}, analysis: {threshold: 7}}}`), o)
		expect(t, name+": another version of its API", denials)
	}
}
