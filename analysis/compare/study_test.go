package compare

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

const (
	windows = 10
	alpha   = 0.05
	trials  = 1000
)

// study is a kind of rollout: ten windows, of each of which the 99th percentile of both sides' latencies is known. Latencies are log-normal
// with a spread of 0.5, so the percentile of n requests errs by the factor exp(spread*sqrt(q(1-q)/n)/density), as sample quantiles do for large n.
type study struct {
	// effect is how many times as slow the canary is.
	effect float64
	// requests of each side in a window.
	requests float64
	// drift is by how much both sides move together, carry how much of one side's noise stays from window to window.
	drift, carry float64
}

// rates are the shares of rollouts in which each method found the canary worse.
type rates struct{ rank, naive, ratio, threshold float64 }

// play makes trials rollouts of a study with fixed seeds.
func (s study) play() rates {
	const spread, q, density = 0.5, 0.99, 0.026652
	noise := spread * math.Sqrt(q*(1-q)/s.requests) / density
	dice := rand.New(rand.NewPCG(7, uint64(s.requests)))
	var found rates
	for range trials {
		var canary, primary [windows]float64
		var c, p, drift float64
		for i := range windows {
			fresh := math.Sqrt(1 - s.carry*s.carry)
			if i == 0 {
				fresh = 1
			}
			c, p = s.carry*c+fresh*noise*dice.NormFloat64(), s.carry*p+fresh*noise*dice.NormFloat64()
			drift = 0.8*drift + s.drift*dice.NormFloat64()
			canary[i], primary[i] = 200*s.effect*math.Exp(c+drift), 200*math.Exp(p+drift)
		}
		found.add(judge(canary[:], primary[:]))
	}
	return rates{found.rank / trials, found.naive / trials, found.ratio / trials, found.threshold / trials}
}

func (r *rates) add(o rates) {
	r.rank, r.naive, r.ratio, r.threshold = r.rank+o.rank, r.naive+o.naive, r.ratio+o.ratio, r.threshold+o.threshold
}

// judge looks after each window. The naive test spends all of alpha at each look; ratio (1.1) and threshold (300 ms, half as much again as
// usual) take three failed windows, as a Canary with threshold: 3 does.
func judge(canary, primary []float64) rates {
	rank, naive := Rank{Alpha: alpha, Looks: windows, MinEffect: 0.5}, Rank{Alpha: alpha * windows, Looks: windows, MinEffect: 0.5}
	ratio := Ratio{Limit: 1.1}
	var out rates
	slow, over := 0, 0
	for i := range windows {
		if out.rank == 0 && rank.Judge(canary[:i+1], primary[:i+1]).Finding == Worse {
			out.rank = 1
		}
		if out.naive == 0 && naive.Judge(canary[:i+1], primary[:i+1]).Finding == Worse {
			out.naive = 1
		}
		if ratio.Judge(Side{Value: canary[i]}, Side{Value: primary[i]}).Finding == Worse {
			slow++
		}
		if canary[i] > 300 {
			over++
		}
	}
	if slow >= 3 {
		out.ratio = 1
	}
	if over >= 3 {
		out.threshold = 1
	}
	return out
}

// A rate seen in so many trials lies within this of the true one, but for one time in a thousand.
func within(rate float64) float64 { return 3.1 * math.Sqrt(rate*(1-rate)/trials) }

func TestFalseAlarmsStayBelowAlpha(t *testing.T) {
	for _, s := range []study{{1, 100, 0, 0}, {1, 10000, 0, 0}, {1, 1000, 0.2, 0}} {
		got := s.play()
		if got.rank > alpha+within(alpha) {
			t.Errorf("%+v: %.3f of rollouts had a false alarm, want at most %v", s, got.rank, alpha)
		}
		if s.drift == 0 && got.naive <= alpha+within(alpha) {
			t.Errorf("%+v: repeated testing without a schedule has %.3f false alarms: these studies cannot tell the two apart", s, got.naive)
		}
	}
}

func TestASmallRegressionIsFound(t *testing.T) {
	for s, least := range map[study]float64{
		{1.15, 1000, 0, 0}:   0.85,
		{1.05, 10000, 0, 0}:  0.85,
		{1.5, 100, 0, 0}:     0.85,
		{1.15, 10000, 0, 0}:  0.99,
		{1.15, 1000, 0.1, 0}: 0.1,
	} {
		if got := s.play(); got.rank < least-within(least) || got.threshold > got.rank {
			t.Errorf("%+v: found %.3f, by a threshold %.3f, want at least %v and no more by the threshold", s, got.rank, got.threshold, least)
		}
	}
}

// BenchmarkStudies prints the table of docs/measurements.md: make bench-compare
func BenchmarkStudies(b *testing.B) {
	for b.Loop() {
		var table strings.Builder
		table.WriteString("| canary | requests | drift | carry | rank | every look at alpha | ratio | threshold |\n|---|---|---|---|---|---|---|---|\n")
		row := func(s study) {
			r := s.play()
			fmt.Fprintf(&table, "| %v | %v | %v | %v | %.1f %% | %.1f %% | %.1f %% | %.1f %% |\n",
				s.effect, s.requests, s.drift, s.carry, 100*r.rank, 100*r.naive, 100*r.ratio, 100*r.threshold)
		}
		for _, effect := range []float64{1, 1.05, 1.15, 1.5} {
			for _, requests := range []float64{100, 1000, 10000} {
				row(study{effect: effect, requests: requests})
			}
		}
		for _, s := range []study{{1, 1000, 0.1, 0}, {1.15, 1000, 0.1, 0}, {1, 1000, 0, 0.5}, {1, 1000, 0, 0.9}} {
			row(s)
		}
		b.Log("\n" + table.String())
	}
}
