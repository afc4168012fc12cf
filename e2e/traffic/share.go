package traffic

import (
	"fmt"
	"math"
)

// DefaultConfidence is how sure a check of shares is: a correct share is called
// wrong once in a thousand checks.
const DefaultConfidence = 0.999

// Share compares how many requests a version got with its weight.
type Share struct {
	// Got of Total requests went to the version.
	Got, Total int
	// Weight is the share that it was to get, 0 to 100.
	Weight int
	// Low and High are the numbers of requests within sampling error, both
	// included.
	Low, High int
}

// CheckShare tells what a weight (0 to 100) allows. At weights 0 and 100 there
// is no sampling error: each request must go where it should.
func CheckShare(got, total, weight int, confidence float64) Share {
	s := Share{Got: got, Total: total, Weight: weight}
	s.Low, s.High = bounds(total, float64(weight)/100, confidence)
	return s
}

// OK tells whether the share is within sampling error.
func (s Share) OK() bool { return s.Low <= s.Got && s.Got <= s.High }

// Percent of the requests that the version got; 0 without requests.
func (s Share) Percent() float64 {
	if s.Total == 0 {
		return 0
	}
	return 100 * float64(s.Got) / float64(s.Total)
}

// String is such as "103 of 1000 requests (10.3 %), weight 10 allows 70 to 133".
func (s Share) String() string {
	return fmt.Sprintf("%d of %d requests (%.1f %%), weight %d allows %d to %d", s.Got, s.Total, s.Percent(), s.Weight, s.Low, s.High)
}

// bounds of a binomial count: the numbers that are not, on either side, less
// likely than half of what confidence leaves over.
func bounds(n int, p, confidence float64) (low, high int) {
	if n == 0 || p <= 0 {
		return 0, 0
	}
	if p >= 1 {
		return n, n
	}
	tail := (1 - confidence) / 2
	low, high = n, 0
	for k, sum := 0, 0.0; k <= n; k++ {
		if sum += likelihood(k, n, p); sum > tail {
			low = k
			break
		}
	}
	for k, sum := n, 0.0; k >= 0; k-- {
		if sum += likelihood(k, n, p); sum > tail {
			high = k
			break
		}
	}
	return low, high
}

// likelihood of exactly k out of n, by logarithms because the factors overflow.
func likelihood(k, n int, p float64) float64 {
	lgamma := func(x int) float64 {
		v, _ := math.Lgamma(float64(x) + 1)
		return v
	}
	return math.Exp(lgamma(n) - lgamma(k) - lgamma(n-k) + float64(k)*math.Log(p) + float64(n-k)*math.Log(1-p))
}
