package main

import (
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// A Canary that was stored while admission was away is judged by the same rules before it starts anything.
func TestJudge(t *testing.T) {
	c := &v1beta1.Canary{Spec: v1beta1.CanarySpec{
		Provider:  "kubernetes",
		TargetRef: v1beta1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
		Service:   v1beta1.CanaryService{Port: 80},
		Analysis:  v1beta1.CanaryAnalysis{Interval: "30s", Threshold: 2, Iterations: 3},
	}}
	c.Namespace, c.Name = "test", "web"
	ask := judge(engineOptions{})
	if got := ask(c); len(got) > 0 {
		t.Errorf("a valid Canary: %q", got)
	}
	c.Spec.Analysis.Match = []v1beta1.AnalysisMatch{{Headers: map[string]v1beta1.StringMatch{"x-canary": {Exact: "yes"}}}}
	if got := strings.Join(ask(c), "\n"); !strings.Contains(got, "spec.analysis.match") {
		t.Errorf("conditions on a provider that sends everybody: %q", got)
	}
}
