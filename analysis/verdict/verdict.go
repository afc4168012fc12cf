// Package verdict judges measured values. It is a pure leaf: numbers and words in, a verdict in words out. Asking for the values is
// not its business.
package verdict

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Measure says what a value means.
type Measure int

// The measures. They differ in what the deprecated threshold means and in their unit.
const (
	// Custom is the result of a template or inline query; a lone threshold is its upper limit.
	Custom Measure = iota
	// SuccessRate is in percent; a lone threshold is its lower limit.
	SuccessRate
	// Duration is in milliseconds, of which only whole ones count; a lone threshold is its upper limit.
	Duration
)

// Outcome is a judged value.
type Outcome struct {
	Verdict v1beta1.Verdict
	// Value is the number judged, such as "98.5"; "NaN", "+Inf" or "-Inf" where it is none.
	Value string
	// Threshold is what is accepted, such as ">= 99" or "0 to 500".
	Threshold string
	// Message says what was measured, what is accepted and, unless it passed, what to do.
	Message string
}

// Value is what a query answered.
type Value struct {
	Number float64
	// Age of the number; 0 where it is not known, or fresh.
	Age time.Duration
	// Interval over which the metric is taken.
	Interval time.Duration
}

// Freshness bounds the age of a value: providers take some minutes to make points of what they are sent, and long intervals have points far apart.
func Freshness(interval time.Duration) time.Duration {
	return max(freshIntervals*interval, minFreshness)
}

const (
	freshIntervals = 5
	minFreshness   = 5 * time.Minute
)

// Evaluate judges a value by the metric's thresholdRange, bounds included. Without a range the deprecated threshold counts: a success
// rate must not be below it, any other value not above it; an absent threshold is 0, so such a metric passes only at 0 (a success rate
// always). A value older than Freshness is Stale; NaN, which a division without requests gives, is NaN; infinities are an Error. Durations
// and their bounds are cut to whole milliseconds first.
func Evaluate(metric *v1beta1.CanaryMetric, measure Measure, v Value) Outcome {
	limits, value := limitsOf(metric, measure), v.Number
	out := Outcome{Threshold: limits.String()}
	switch fresh := Freshness(v.Interval); {
	case v.Age > fresh:
		out.Verdict, out.Value = v1beta1.VerdictStale, limits.show(value)
		out.Message = fmt.Sprintf("%s: the newest value, %s, is %s old, but at most %s is accepted, so it does not tell of the canary as it is; "+
			"check what sends the metric", metric.Name, withUnit(out.Value, measure), v.Age.Round(time.Second), fresh)
		return out
	case math.IsNaN(value):
		out.Verdict, out.Value = v1beta1.VerdictNaN, "NaN"
		out.Message = fmt.Sprintf("%s: the query answered NaN, which usually means that no requests reached the canary in the interval; "+
			"send it traffic or lengthen the interval", metric.Name)
		return out
	case math.IsInf(value, 0):
		out.Verdict, out.Value = v1beta1.VerdictError, number(value)
		out.Message = fmt.Sprintf("%s: the query answered %s, which no threshold can judge; check the query for a division by zero", metric.Name, out.Value)
		return out
	}
	if measure == Duration {
		value = math.Trunc(value)
	}
	out.Value = limits.show(value)
	if limits.accept(value) {
		out.Verdict = v1beta1.VerdictPass
		out.Message = fmt.Sprintf("%s: %s, accepted %s", metric.Name, withUnit(out.Value, measure), out.Threshold)
		return out
	}
	out.Verdict = v1beta1.VerdictFail
	out.Message = fmt.Sprintf("%s: %s, accepted %s", metric.Name, withUnit(out.Value, measure), out.Threshold)
	if metric.ThresholdRange == nil && metric.Threshold == nil {
		out.Message += "; the metric sets no limit and 0 is assumed: set thresholdRange"
	}
	return out
}

// Limits describes what a metric accepts, such as ">= 99", also where no value is at hand.
func Limits(metric *v1beta1.CanaryMetric, measure Measure) string {
	return limitsOf(metric, measure).String()
}

// limits are inclusive bounds; infinite ones are open.
type limits struct{ min, max float64 }

func limitsOf(metric *v1beta1.CanaryMetric, measure Measure) limits {
	l := limits{min: math.Inf(-1), max: math.Inf(1)}
	switch r := metric.ThresholdRange; {
	case r != nil:
		if r.Min != nil {
			l.min = *r.Min
		}
		if r.Max != nil {
			l.max = *r.Max
		}
	default:
		bound := 0.0
		if metric.Threshold != nil {
			bound = *metric.Threshold
		}
		if measure == SuccessRate {
			l.min = bound
		} else {
			l.max = bound
		}
	}
	if measure == Duration {
		l.min, l.max = math.Trunc(l.min), math.Trunc(l.max)
	}
	return l
}

func (l limits) accept(value float64) bool { return value >= l.min && value <= l.max }

// show writes a value for people, with all its digits where fewer would seem to fall on the other side of a limit.
func (l limits) show(value float64) string {
	short := number(value)
	if rounded, err := strconv.ParseFloat(short, 64); err == nil && l.accept(rounded) == l.accept(value) {
		return short
	}
	return strconv.FormatFloat(value, 'g', -1, 64)
}

func (l limits) String() string {
	low, high := !math.IsInf(l.min, -1), !math.IsInf(l.max, 1)
	switch {
	case low && high:
		return fmt.Sprintf("%s to %s", number(l.min), number(l.max))
	case low:
		return ">= " + number(l.min)
	case high:
		return "<= " + number(l.max)
	default:
		return "any value"
	}
}

// number writes a value without exponent where people would, and short enough for a status field.
func number(v float64) string {
	switch abs := math.Abs(v); {
	case math.IsInf(v, 0):
		return strconv.FormatFloat(v, 'f', -1, 64)
	case abs != 0 && (abs < 1e-4 || abs >= 1e15):
		return strconv.FormatFloat(v, 'e', 4, 64)
	default:
		return strconv.FormatFloat(math.Round(v*1e4)/1e4, 'f', -1, 64)
	}
}

func withUnit(value string, measure Measure) string {
	switch measure {
	case SuccessRate:
		return value + "%"
	case Duration:
		return value + "ms"
	default:
		return value
	}
}
