package core

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

func TestCourseOfAMetric(t *testing.T) {
	r := v1beta1.CheckResult{Name: "latency", Threshold: "<= 500", Time: metav1.NewTime(time.Date(2026, 5, 4, 13, 40, 12, 0, time.UTC))}
	if got := course(&r); got != "" {
		t.Errorf("a result without answers is told as %q", got)
	}
	r.Recent = []v1beta1.CheckValue{
		{Value: "120", Verdict: v1beta1.VerdictPass, Weight: 10},
		{Verdict: v1beta1.VerdictNoData, Weight: 20},
		{Value: "NaN", Verdict: v1beta1.VerdictNaN, Weight: 20},
		{Value: "130", Verdict: v1beta1.VerdictStale, Weight: 20},
		{Verdict: v1beta1.VerdictError, Weight: 30},
		{Value: "600", Verdict: v1beta1.VerdictFail, Weight: 30},
	}
	want := "; last values of latency: 120 at 10%, NoData at 20%, NaN at 20%, 130 Stale at 20%, Error at 30%, 600 at 30%, accepted <= 500, at 2026-05-04T13:40:12Z"
	if got := course(&r); got != want {
		t.Errorf("it is told as\n%s; want\n%s", got, want)
	}
}
