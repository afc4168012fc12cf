package verdict_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/analysis/verdict"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

func limit(f float64) *v1beta1.CanaryMetric { return &v1beta1.CanaryMetric{Name: "m", Threshold: &f} }

func between(low, high *float64) *v1beta1.CanaryMetric {
	return &v1beta1.CanaryMetric{Name: "m", ThresholdRange: &v1beta1.ThresholdRange{Min: low, Max: high}}
}

func TestEvaluate(t *testing.T) {
	const pass, fail = v1beta1.VerdictPass, v1beta1.VerdictFail
	none := &v1beta1.CanaryMetric{Name: "m"}
	both := between(new(99.0), nil)
	both.Threshold = new(50.0)

	tests := map[string]struct {
		metric  *v1beta1.CanaryMetric
		measure verdict.Measure
		value   float64
		want    v1beta1.Verdict
		shown   string
		limits  string
	}{
		"rate above min":             {between(new(99.0), nil), verdict.SuccessRate, 99.5, pass, "99.5", ">= 99"},
		"rate at min":                {between(new(99.0), nil), verdict.SuccessRate, 99, pass, "99", ">= 99"},
		"rate below min":             {between(new(99.0), nil), verdict.SuccessRate, 98.5, fail, "98.5", ">= 99"},
		"rate a hair below min":      {between(new(99.0), nil), verdict.SuccessRate, 98.9999999, fail, "98.9999999", ">= 99"},
		"rate above max":             {between(nil, new(50.0)), verdict.SuccessRate, 51, fail, "51", "<= 50"},
		"rate by threshold passes":   {limit(99), verdict.SuccessRate, 100, pass, "100", ">= 99"},
		"rate by threshold fails":    {limit(99), verdict.SuccessRate, 10, fail, "10", ">= 99"},
		"rate without limits":        {none, verdict.SuccessRate, 0, pass, "0", ">= 0"},
		"range wins over threshold":  {both, verdict.SuccessRate, 60, fail, "60", ">= 99"},
		"empty range accepts all":    {between(nil, nil), verdict.Custom, -7, pass, "-7", "any value"},
		"duration below max":         {between(nil, new(500.0)), verdict.Duration, 499, pass, "499", "<= 500"},
		"duration cut to whole ms":   {between(nil, new(500.0)), verdict.Duration, 500.9, pass, "500", "<= 500"},
		"duration above max":         {between(nil, new(500.0)), verdict.Duration, 501, fail, "501", "<= 500"},
		"duration bound cut too":     {between(nil, new(500.9)), verdict.Duration, 501.2, fail, "501", "<= 500"},
		"duration below min":         {between(new(10.0), new(500.0)), verdict.Duration, 9.9, fail, "9", "10 to 500"},
		"duration by threshold":      {limit(500), verdict.Duration, 501, fail, "501", "<= 500"},
		"duration without limits":    {none, verdict.Duration, 1, fail, "1", "<= 0"},
		"custom inside":              {between(new(1.0), new(2.0)), verdict.Custom, 1.5, pass, "1.5", "1 to 2"},
		"custom at max":              {between(nil, new(2.0)), verdict.Custom, 2, pass, "2", "<= 2"},
		"custom not cut":             {between(nil, new(2.0)), verdict.Custom, 2.0001, fail, "2.0001", "<= 2"},
		"custom by threshold passes": {limit(5), verdict.Custom, 5, pass, "5", "<= 5"},
		"custom by threshold fails":  {limit(5), verdict.Custom, 5.01, fail, "5.01", "<= 5"},
		"custom without limits at 0": {none, verdict.Custom, 0, pass, "0", "<= 0"},
		"custom without limits":      {none, verdict.Custom, 0.1, fail, "0.1", "<= 0"},
		"tiny value":                 {limit(0.01), verdict.Custom, 0.00001, pass, "1.0000e-05", "<= 0.01"},
		"NaN":                        {between(new(99.0), nil), verdict.SuccessRate, math.NaN(), v1beta1.VerdictNaN, "NaN", ">= 99"},
		"NaN without limits":         {between(nil, nil), verdict.Custom, math.NaN(), v1beta1.VerdictNaN, "NaN", "any value"},
		"+Inf":                       {between(new(99.0), nil), verdict.SuccessRate, math.Inf(1), v1beta1.VerdictError, "+Inf", ">= 99"},
		"-Inf":                       {limit(5), verdict.Custom, math.Inf(-1), v1beta1.VerdictError, "-Inf", "<= 5"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := verdict.Evaluate(tt.metric, tt.measure, verdict.Value{Number: tt.value})
			if got.Verdict != tt.want || got.Value != tt.shown || got.Threshold != tt.limits {
				t.Errorf("Evaluate = %s, value %q, threshold %q; want %s, %q, %q",
					got.Verdict, got.Value, got.Threshold, tt.want, tt.shown, tt.limits)
			}
			if limits := verdict.Limits(tt.metric, tt.measure); limits != tt.limits {
				t.Errorf("Limits = %q, want %q", limits, tt.limits)
			}
		})
	}
}

func TestMessages(t *testing.T) {
	tests := map[string]struct {
		got  verdict.Outcome
		want string
	}{
		"percent":      {verdict.Evaluate(between(new(99.0), nil), verdict.SuccessRate, verdict.Value{Number: 98.5}), "m: 98.5%, accepted >= 99"},
		"milliseconds": {verdict.Evaluate(between(nil, new(500.0)), verdict.Duration, verdict.Value{Number: 812.6}), "m: 812ms, accepted <= 500"},
		"no limit":     {verdict.Evaluate(&v1beta1.CanaryMetric{Name: "m"}, verdict.Custom, verdict.Value{Number: 3}), "m: 3, accepted <= 0; the metric sets no limit and 0 is assumed: set thresholdRange"},
	}
	for name, tt := range tests {
		if tt.got.Message != tt.want {
			t.Errorf("%s: message %q, want %q", name, tt.got.Message, tt.want)
		}
	}
	for _, value := range []float64{math.NaN(), math.Inf(1)} {
		message := verdict.Evaluate(between(new(99.0), nil), verdict.SuccessRate, verdict.Value{Number: value}).Message
		if !strings.HasPrefix(message, "m: ") || len(message) > v1beta1.MaxCheckMessage {
			t.Errorf("message of %d bytes %q must name the metric and fit into a status", len(message), message)
		}
	}
}

// A value that is too old is not judged, whatever it is: neither as good nor as bad.
func TestStale(t *testing.T) {
	for name, tt := range map[string]struct {
		age, interval time.Duration
		want          v1beta1.Verdict
	}{
		"fresh":                      {time.Minute, time.Minute, v1beta1.VerdictPass},
		"as old as may be":           {5 * time.Minute, time.Minute, v1beta1.VerdictPass},
		"too old":                    {5*time.Minute + time.Second, time.Minute, v1beta1.VerdictStale},
		"too old, short interval":    {5*time.Minute + time.Second, time.Second, v1beta1.VerdictStale},
		"long interval":              {25 * time.Minute, 5 * time.Minute, v1beta1.VerdictPass},
		"too old for long intervals": {26 * time.Minute, 5 * time.Minute, v1beta1.VerdictStale},
		"of the future":              {-time.Hour, time.Minute, v1beta1.VerdictPass},
	} {
		got := verdict.Evaluate(limit(5), verdict.Custom, verdict.Value{Number: 4, Age: tt.age, Interval: tt.interval})
		if got.Verdict != tt.want || got.Value != "4" || len(got.Message) > v1beta1.MaxCheckMessage {
			t.Errorf("%s: %+v, want %s", name, got, tt.want)
		}
	}
	got := verdict.Evaluate(limit(5), verdict.Custom, verdict.Value{Number: math.NaN(), Age: time.Hour, Interval: time.Minute})
	if got.Verdict != v1beta1.VerdictStale || !strings.Contains(got.Message, "is 1h0m0s old") {
		t.Errorf("an old NaN: %+v", got)
	}
}
