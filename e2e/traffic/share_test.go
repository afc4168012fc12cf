package traffic

import (
	"math/rand/v2"
	"testing"
)

func TestCheckShare(t *testing.T) {
	for _, test := range []struct {
		got, total, weight int
		ok                 bool
	}{
		{100, 1000, 10, true},
		{70, 1000, 10, true},
		{132, 1000, 10, true},
		{60, 1000, 10, false},
		{145, 1000, 10, false},
		{25000, 50000, 50, true},
		{25500, 50000, 50, false},
		{0, 1000, 0, true},
		{1, 1000, 0, false},
		{1000, 1000, 100, true},
		{999, 1000, 100, false},
		{0, 0, 50, true},
		{0, 3, 10, true},
	} {
		if s := CheckShare(test.got, test.total, test.weight, DefaultConfidence); s.OK() != test.ok {
			t.Errorf("%s: ok is %v", s, s.OK())
		}
	}
}

// A correct share must hardly ever be called wrong, and the bounds must not be
// so wide that nothing is.
func TestBoundsCoverAsOftenAsPromised(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const rounds, n, weight = 4000, 400, 25
	outside := 0
	for range rounds {
		got := 0
		for range n {
			if random.IntN(100) < weight {
				got++
			}
		}
		if !CheckShare(got, n, weight, 0.99).OK() {
			outside++
		}
	}
	if outside > rounds/50 || outside < rounds/1000 {
		t.Errorf("%d of %d correct shares were outside of 99 %% bounds", outside, rounds)
	}
}
