package fleet

import (
	"slices"
	"time"
)

// spans are the times that something took.
type spans struct {
	// whole is from the first change to the last end.
	whole time.Duration
	// each is of the single objects, in order of length.
	each []time.Duration
}

// spansFrom makes spans of the time at which everything began, when each change
// was sent (begun if that is not known), and when each had ended.
func spansFrom(begun time.Time, sent, ended map[string]time.Time) spans {
	var out spans
	for name, at := range ended {
		from, known := sent[name]
		if !known {
			from = begun
		}
		out.each = append(out.each, at.Sub(from))
		out.whole = max(out.whole, at.Sub(begun))
	}
	slices.Sort(out.each)
	return out
}

// median of the single objects; 0 if there is none.
func (s spans) median() time.Duration {
	if len(s.each) == 0 {
		return 0
	}
	return s.each[len(s.each)/2]
}

// longest of the single objects; 0 if there is none.
func (s spans) longest() time.Duration {
	if len(s.each) == 0 {
		return 0
	}
	return s.each[len(s.each)-1]
}
