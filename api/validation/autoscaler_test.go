package validation

import "testing"

func TestAutoscaler(t *testing.T) {
	ref := func(rest string) string { return `{spec: {autoscalerRef: {` + rest + `}}}` }
	for _, tt := range []struct {
		name, patch string
		deny, warn  []string
	}{
		{name: "an HPA", patch: ref(`apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, name: h`)},
		{name: "an old version", patch: ref(`apiVersion: autoscaling/v2beta2, kind: HorizontalPodAutoscaler, name: h`)},
		{name: "a ScaledObject", patch: ref(`apiVersion: keda.sh/v1alpha1, kind: ScaledObject, name: s, primaryScalerQueries: {q: up}`)},
		{
			name: "another kind", patch: ref(`apiVersion: autoscaling.k8s.io/v1, kind: VerticalPodAutoscaler, name: v`),
			deny: []string{`spec.autoscalerRef.kind: "VerticalPodAutoscaler" is not a kind of autoscaler; use HorizontalPodAutoscaler or ScaledObject`},
		},
		{
			name: "another API", patch: ref(`apiVersion: apps/v1, kind: HorizontalPodAutoscaler, name: h`),
			deny: []string{`spec.autoscalerRef.apiVersion: "apps/v1" is not the API of a HorizontalPodAutoscaler; use autoscaling/v2`},
		},
		{
			name: "no API", patch: ref(`apiVersion: a/b/c, kind: ScaledObject, name: s`),
			deny: []string{`spec.autoscalerRef.apiVersion: "a/b/c" is not the API of a ScaledObject; use keda.sh/v1alpha1`},
		},
		{
			name: "no name", patch: ref(`apiVersion: keda.sh/v1alpha1, kind: ScaledObject, name: ""`),
			deny: []string{`spec.autoscalerRef.name: is required; name the autoscaler of the target`},
		},
		{
			name: "queries of an HPA", patch: ref(`apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, name: h, primaryScalerQueries: {q: up}`),
			warn: []string{`spec.autoscalerRef.primaryScalerQueries: has no effect on a HorizontalPodAutoscaler, which asks no queries; remove it`},
		},
		{
			name:  "limits the wrong way round",
			patch: ref(`apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, name: h, primaryScalerReplicas: {minReplicas: 5, maxReplicas: 2}`),
			deny:  []string{`spec.autoscalerRef.primaryScalerReplicas.minReplicas: 5 is above maxReplicas 2; swap them`},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			denials, warnings := ValidateCanary(canary(t, tt.patch), options())
			expect(t, "denials", denials, tt.deny...)
			expect(t, "warnings", warnings, tt.warn...)
		})
	}
}
