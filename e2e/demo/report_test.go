package demo

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/harness"
	"github.com/sluice-dev/sluice/e2e/traffic"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(second float64) time.Time {
	return start.Add(time.Duration(second * float64(time.Second)))
}

// moment of a Canary whose checks were answered at weight analysed.
func moment(second float64, phase v1beta1.CanaryPhase, stage v1beta1.Stage, weight, analysed int) harness.Moment {
	canary := &v1beta1.Canary{}
	canary.Status.Phase = phase
	canary.Status.AnalysedRevision = "some"
	if stage != "" {
		canary.Status.Rollout = &v1beta1.RolloutStatus{Stage: stage}
	}
	if analysed > 0 {
		canary.Status.Checks = []v1beta1.CheckResult{{
			Name: "request-success-rate", Kind: v1beta1.CheckMetric, Weight: int32(analysed), Time: metav1.NewTime(at(second)),
		}}
	}
	return harness.Moment{At: at(second), Canary: canary, RouteWeight: weight}
}

// goodMoments is a promotion by the steps 10 and 50.
func goodMoments() []harness.Moment {
	return []harness.Moment{
		{At: at(0), RouteWeight: harness.NoRoute},
		moment(0.1, v1beta1.PhaseInitialized, "", 0, 0),
		moment(10, v1beta1.PhaseProgressing, v1beta1.StageScalingUp, 0, 0),
		moment(20, v1beta1.PhaseProgressing, v1beta1.StageAnalysing, 10, 0),
		moment(30, v1beta1.PhaseProgressing, v1beta1.StageAnalysing, 10, 10),
		moment(40, v1beta1.PhaseProgressing, v1beta1.StageAnalysing, 50, 10),
		moment(50, v1beta1.PhaseProgressing, v1beta1.StageAnalysing, 50, 50),
		moment(60, v1beta1.PhasePromoting, v1beta1.StagePromoting, 50, 50),
		moment(80, v1beta1.PhaseFinalising, v1beta1.StageFinalising, 0, 50),
		moment(90, v1beta1.PhaseSucceeded, "", 0, 50),
	}
}

// badMoments is a rollback from the step 10.
func badMoments() []harness.Moment {
	return []harness.Moment{
		moment(0, v1beta1.PhaseSucceeded, "", 0, 0),
		moment(10, v1beta1.PhaseProgressing, v1beta1.StageScalingUp, 0, 0),
		moment(20, v1beta1.PhaseProgressing, v1beta1.StageAnalysing, 10, 0),
		moment(35, v1beta1.PhaseProgressing, v1beta1.StageAnalysing, 10, 10),
		moment(40, v1beta1.PhaseProgressing, v1beta1.StageRollingBack, 10, 10),
		moment(40.2, v1beta1.PhaseProgressing, v1beta1.StageRollingBack, 0, 10),
		moment(50, v1beta1.PhaseFailed, "", 0, 10),
	}
}

// serve makes 100 requests a second, of which by the route's weight every so
// many go to the new version.
func serve(moments []harness.Moment, old, version string, bad bool, until float64) traffic.Recording {
	var r traffic.Recording
	next := 0
	for i := range int(until * 100) {
		now := at(float64(i) / 100)
		for next+1 < len(moments) && !moments[next+1].At.After(now) {
			next++
		}
		m := moments[next]
		result := traffic.Result{Start: now, Version: old, Status: http.StatusOK}
		if m.Phase() == v1beta1.PhaseSucceeded && !bad || m.Stage() == v1beta1.StageFinalising {
			result.Version = version
		}
		if share := max(m.RouteWeight, 0); share > 0 && (i*share)%100 < share {
			result.Version = version
			if bad {
				result.Status = http.StatusInternalServerError
			}
		}
		r.Results = append(r.Results, result)
	}
	return r
}

func good() evidence {
	return evidence{
		version: "v2", previous: "v1", serving: "v2", phase: v1beta1.PhaseSucceeded,
		deployed: at(9), noticed: at(9.3), ended: at(90),
		moments: goodMoments(), recording: serve(goodMoments(), "v1", "v2", false, 100),
	}
}

func bad() evidence {
	return evidence{
		version: "v3", previous: "v2", serving: "v2", phase: v1beta1.PhaseFailed, bad: true,
		deployed: at(9), noticed: at(9.3), ended: at(50),
		moments: badMoments(), recording: serve(badMoments(), "v2", "v3", true, 60),
	}
}

func TestRowsTellWhatEachStepServed(t *testing.T) {
	var got []string
	for _, r := range good().rows() {
		got = append(got, r.title())
	}
	if want := "before, step 10 %, step 50 %, promoting, promoted"; strings.Join(got, ", ") != want {
		t.Errorf("rows are %q, want %q", got, want)
	}
	for _, r := range good().rows() {
		if r.title() == "step 10 %" && (r.share.Got < 170 || r.share.Got > 190 || r.summary.Requests < 1700) {
			t.Errorf("at weight 10 %s; there were 18 s of it at 100 requests/s", r.share)
		}
	}
	got = nil
	for _, r := range bad().rows() {
		got = append(got, r.title())
	}
	if want := "before, step 10 %, rolled back"; strings.Join(got, ", ") != want {
		t.Errorf("rows of the bad version are %q, want %q", got, want)
	}
}

func TestRolloutsAsPromisedHaveNoFindings(t *testing.T) {
	for _, e := range []evidence{good(), bad()} {
		if found := e.findings(); len(found) > 0 {
			t.Errorf("%s: %q", e.version, found)
		}
	}
}

// spoil changes the results that start at a time or later, up to a number.
func spoil(e *evidence, second float64, number int, change func(*traffic.Result)) {
	for i := range e.recording.Results {
		if r := &e.recording.Results[i]; number > 0 && !r.Start.Before(at(second)) {
			change(r)
			number--
		}
	}
}

func TestFindings(t *testing.T) {
	fail := func(r *traffic.Result) { r.Status, r.Version = http.StatusBadGateway, "" }
	asNew := func(version string) func(*traffic.Result) {
		return func(r *traffic.Result) { r.Version = version }
	}
	for name, test := range map[string]struct {
		e     evidence
		spoil func(*evidence)
		want  string
	}{
		"good not promoted":            {good(), func(e *evidence) { e.phase = v1beta1.PhaseFailed }, "ended in phase Failed"},
		"good not serving":             {good(), func(e *evidence) { e.serving = "v1" }, `the primary serves version "v1"`},
		"good never ended":             {good(), func(e *evidence) { e.ended = time.Time{} }, "did not end"},
		"good fails one request":       {good(), func(e *evidence) { spoil(e, 70, 1, fail) }, "1 of 10000 user requests failed: 1 x HTTP 502"},
		"good served before its step":  {good(), func(e *evidence) { spoil(e, 5, 1, asNew("v2")) }, "before: v2 served 1 of"},
		"good served too often":        {good(), func(e *evidence) { spoil(e, 22, 300, asNew("v2")) }, "step 10 %: v2 served"},
		"good served too rarely":       {good(), func(e *evidence) { spoil(e, 42, 1700, asNew("v1")) }, "step 50 %: v2 served"},
		"old served after promotion":   {good(), func(e *evidence) { spoil(e, 95, 1, asNew("v1")) }, "promoted: v2 served"},
		"bad promoted":                 {bad(), func(e *evidence) { e.phase, e.serving = v1beta1.PhaseSucceeded, "v3" }, "ended in phase Succeeded"},
		"bad served after rollback":    {bad(), func(e *evidence) { spoil(e, 55, 1, asNew("v3")) }, "rolled back: v3 served 1 of"},
		"bad fails after rollback":     {bad(), func(e *evidence) { spoil(e, 55, 2, fail) }, "2 user requests failed before the first step or after the rollback"},
		"bad fails before its step":    {bad(), func(e *evidence) { spoil(e, 5, 1, fail) }, "1 user requests failed before the first step"},
		"others fail beside the bad":   {bad(), func(e *evidence) { spoil(e, 25, 1, fail) }, "1 user requests failed that v3 did not answer"},
		"bad went beyond its analysis": {bad(), func(e *evidence) { e.moments[4].RouteWeight = 25 }, "at weight 25, but it was analysed up to weight 10 only"},
	} {
		t.Run(name, func(t *testing.T) {
			test.spoil(&test.e)
			if found := strings.Join(test.e.findings(), "\n"); !strings.Contains(found, test.want) {
				t.Errorf("findings are %q, want %q among them", found, test.want)
			}
		})
	}
}

func TestReportCountsFaults(t *testing.T) {
	var out bytes.Buffer
	if n := report(&out, []evidence{good(), bad()}); n != 0 || strings.Contains(out.String(), "FAULT") {
		t.Errorf("%d faults in rollouts as promised:\n%s", n, &out)
	}
	for _, want := range []string{"v2, the good version: promoted", "v3, the bad version: rolled back", "step 10 %"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report does not say %q:\n%s", want, &out)
		}
	}
	out.Reset()
	broken := good()
	broken.phase = v1beta1.PhaseFailed
	if n := report(&out, []evidence{broken, bad()}); n != 1 || !strings.Contains(out.String(), "FAULT  v2: the rollout of v2 ended in phase Failed") {
		t.Errorf("%d faults, want 1:\n%s", n, &out)
	}
}
