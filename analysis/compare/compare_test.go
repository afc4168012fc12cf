package compare

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestRatio(t *testing.T) {
	latency := Ratio{Limit: 1.1, Floor: 5, MinSamples: 100}
	success := Ratio{Limit: 1.01, Direction: LowerIsWorse}
	plain := Ratio{Limit: 1.1}
	side := func(v float64) Side { return Side{Value: v, Samples: 100} }
	for name, test := range map[string]struct {
		ratio           Ratio
		canary, primary Side
		want            Finding
		says            string
	}{
		"above":                  {latency, side(231), side(200), Worse, "canary 231 vs primary 200: ratio canary/primary 1.155 above 1.1"},
		"at the limit":           {Ratio{Limit: 1.25}, side(250), side(200), NotWorse, "1.25, accepted <= 1.25"},
		"better":                 {latency, side(100), side(200), NotWorse, "ratio canary/primary 0.5"},
		"both below the floor":   {latency, side(4), side(1), NotWorse, "ratio canary/primary 1,"},
		"primary below floor":    {latency, side(6), side(0), Worse, "ratio canary/primary 1.2 above"},
		"both zero":              {plain, side(0), side(0), NotWorse, "ratio canary/primary 1,"},
		"primary zero, no floor": {plain, side(0.001), side(0), Worse, "+Inf above 1.1"},
		"success lower":          {success, side(98), side(100), Worse, "primary/canary 1.02 above 1.01"},
		"success gone":           {success, side(0), side(100), Worse, "+Inf"},
		"success higher":         {success, side(100), side(98), NotWorse, "accepted"},
		"few requests":           {latency, Side{231, 99}, side(200), Unjudged, "canary had 99 requests, fewer than 100"},
		"few at the primary":     {latency, side(231), Side{200, math.NaN()}, Unjudged, "primary had NaN requests"},
		"NaN":                    {latency, side(math.NaN()), side(200), Unjudged, "canary has the value NaN"},
		"infinite":               {latency, side(231), side(math.Inf(1)), Unjudged, "primary has the value +Inf"},
		"negative":               {latency, side(-1), side(200), Unjudged, "canary has the value -1"},
		"limit below 1":          {Ratio{Limit: 0.9}, side(1), side(1), Unjudged, "limit 0.9"},
		"no floor":               {Ratio{Limit: 2, Floor: math.NaN()}, side(1), side(1), Unjudged, "floor NaN"},
	} {
		t.Run(name, func(t *testing.T) {
			got := test.ratio.Judge(test.canary, test.primary)
			if got.Finding != test.want || !strings.Contains(got.Message, test.says) {
				t.Errorf("Judge = %+v, want finding %d and %q", got, test.want, test.says)
			}
		})
	}
}

// Each way to deal out the values is counted one by one.
func TestMannWhitneyIsExact(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		m, n := 1+dice.IntN(6), 1+dice.IntN(6)
		values := make([]float64, m+n)
		for i := range values {
			values[i] = float64(dice.IntN(8)) // many ties
		}
		got := MannWhitney(values[:m], values[m:])
		want := pairs(values, 1<<m-1)
		atLeast, all := 0.0, 0.0
		for chosen := range 1 << (m + n) {
			if bits.OnesCount(uint(chosen)) != m {
				continue
			}
			all++
			if pairs(values, chosen) >= want {
				atLeast++
			}
		}
		if got.U != want || math.Abs(got.P-atLeast/all) > 1e-12 || got.Effect != want/float64(m*n) {
			t.Fatalf("MannWhitney(%v, %v) = %+v, want U %v, P %v", values[:m], values[m:], got, want, atLeast/all)
		}
	}
}

// pairs counts the pairs of a chosen and another value in which the chosen one is larger, ties by half.
func pairs(values []float64, chosen int) float64 {
	u := 0.0
	for i, a := range values {
		for j, b := range values {
			if chosen>>i&1 == 0 || chosen>>j&1 == 1 {
				continue
			}
			switch {
			case a > b:
				u++
			case a == b:
				u += 0.5
			}
		}
	}
	return u
}

func TestRank(t *testing.T) {
	high, low := []float64{11, 12, 13, 14, 15}, []float64{1, 2, 3, 4, 5}
	rank := Rank{Alpha: 0.05, Looks: 10, MinEffect: 0.7}
	if rank.Needed() != 5 {
		t.Errorf("Needed = %d, want 5, since 1/C(8,4) is above 0.005 and 1/C(10,5) is not", rank.Needed())
	}
	with := func(change func(*Rank)) Rank { r := rank; change(&r); return r }
	for name, test := range map[string]struct {
		rank            Rank
		canary, primary []float64
		want            Finding
		says            string
	}{
		"worse":          {rank, high, low, Worse, "with chance 1 over 5 windows, p 0.003968, below 0.005"},
		"better":         {rank, low, high, NotWorse, "with chance 0"},
		"lower is worse": {with(func(r *Rank) { r.Direction = LowerIsWorse }), low, high, Worse, "chance 1"},
		"all alike":      {rank, []float64{1, 1, 1, 1, 1}, []float64{1, 1, 1, 1, 1}, NotWorse, "chance 0.5 over 5 windows, p 1"},
		"small effect": {with(func(r *Rank) { r.Alpha, r.Looks, r.MinEffect = 0.9, 3, 0.9 }), []float64{3, 4, 7}, []float64{1, 2, 5},
			NotWorse, "but the chance is below 0.9"},
		"too early": {rank, high[:4], low[:4], Unjudged, "4 of at least 5 windows"},
		"uneven":    {rank, high, low[:4], Unjudged, "canary has 5 windows and primary 4"},
		"unplanned": {with(func(r *Rank) { r.Looks = 4 }), high, low, Unjudged, "only 4 looks were planned"},
		"NaN":       {rank, []float64{1, 2, 3, 4, math.NaN()}, low, Unjudged, "value NaN"},
		"alpha":     {with(func(r *Rank) { r.Alpha = 0 }), high, low, Unjudged, "alpha 0"},
		"looks":     {with(func(r *Rank) { r.Looks = 51 }), high, low, Unjudged, "looks 51"},
		"effect":    {with(func(r *Rank) { r.MinEffect = 0.4 }), high, low, Unjudged, "minEffect 0.4"},
	} {
		t.Run(name, func(t *testing.T) {
			got := test.rank.Judge(test.canary, test.primary)
			if got.Finding != test.want || !strings.Contains(got.Message, test.says) {
				t.Errorf("Judge = %+v, want finding %d and %q", got, test.want, test.says)
			}
		})
	}
}
