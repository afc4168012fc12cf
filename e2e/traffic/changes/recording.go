package changes

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Answer is one request.
type Answer struct {
	// Change is the name of what was sent.
	Change string
	// Start is when it was sent, Latency until the whole answer or the error
	// was there.
	Start   time.Time
	Latency time.Duration
	// Status of the answer; 0 without one.
	Status int
	// Gated tells that the gate had a say.
	Gated bool
	// Problem says why the change was not taken; "" if it was.
	Problem string
}

// Refused tells that the API server answered and did not take the change.
func (a Answer) Refused() bool { return a.Status >= http.StatusBadRequest }

// Lost tells that there was no whole answer.
func (a Answer) Lost() bool { return a.Problem != "" && !a.Refused() }

// Open tells that the change was taken and the gate had no say.
func (a Answer) Open() bool { return a.Problem == "" && !a.Gated }

// recorder collects answers.
type recorder struct {
	mu      sync.Mutex
	answers []Answer
	skipped int
}

func (r *recorder) add(a Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers = append(r.answers, a)
}

func (r *recorder) skip() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.skipped++
}

// snapshot orders the answers by the time they were asked for.
func (r *recorder) snapshot() Recording {
	r.mu.Lock()
	defer r.mu.Unlock()
	answers := slices.Clone(r.answers)
	slices.SortStableFunc(answers, func(a, b Answer) int { return a.Start.Compare(b.Start) })
	return Recording{Answers: answers, Skipped: r.skipped}
}

// Recording is what became of the changes.
type Recording struct {
	// Answers in the order of their start.
	Answers []Answer
	// Skipped is how many were not sent because too many were under way.
	Skipped int
}

// Of returns the answers to the named changes.
func (r Recording) Of(names ...string) Recording {
	return r.where(func(a Answer) bool { return slices.Contains(names, a.Change) })
}

// Between returns the answers to what was sent from one time up to, but not
// including, another. A zero time sets no limit.
func (r Recording) Between(from, to time.Time) Recording {
	return r.where(func(a Answer) bool {
		return !a.Start.Before(from) && (to.IsZero() || a.Start.Before(to))
	})
}

func (r Recording) where(keep func(Answer) bool) Recording {
	out := Recording{Skipped: r.Skipped}
	for _, a := range r.Answers {
		if keep(a) {
			out.Answers = append(out.Answers, a)
		}
	}
	return out
}

// Summary of a recording.
type Summary struct {
	// Sent is the sum of Gated, Open, Refused and Lost.
	Sent, Gated, Open, Refused, Lost int
	// Problems counts refusals and losses by what went wrong.
	Problems map[string]int
	// P50, P99 and Max are latencies.
	P50, P99, Max time.Duration
	// Rate of the requests per second, from the first to the last; 0 for fewer
	// than two.
	Rate float64
}

// Summary counts a recording.
func (r Recording) Summary() Summary {
	s := Summary{Sent: len(r.Answers), Problems: map[string]int{}}
	latencies := make([]time.Duration, 0, s.Sent)
	for _, a := range r.Answers {
		switch {
		case a.Refused():
			s.Refused++
		case a.Lost():
			s.Lost++
		case a.Open():
			s.Open++
		default:
			s.Gated++
		}
		if a.Problem != "" {
			s.Problems[a.Problem]++
		}
		latencies = append(latencies, a.Latency)
	}
	if s.Sent == 0 {
		return s
	}
	slices.Sort(latencies)
	s.P50, s.P99, s.Max = latencies[s.Sent/2], latencies[s.Sent*99/100], latencies[s.Sent-1]
	if span := r.Answers[s.Sent-1].Start.Sub(r.Answers[0].Start); span > 0 {
		s.Rate = float64(s.Sent-1) / span.Seconds()
	}
	return s
}

// String is one line for a person.
func (s Summary) String() string {
	text := fmt.Sprintf("%d sent (%.0f/s): %d gated, %d open, %d refused, %d lost; p50 %s, p99 %s, max %s", s.Sent, s.Rate, s.Gated, s.Open, s.Refused, s.Lost,
		s.P50.Round(time.Millisecond), s.P99.Round(time.Millisecond), s.Max.Round(time.Millisecond))
	problems := make([]string, 0, len(s.Problems))
	for _, problem := range slices.Sorted(maps.Keys(s.Problems)) {
		problems = append(problems, fmt.Sprintf("%d x %s", s.Problems[problem], problem))
	}
	if len(problems) == 0 {
		return text
	}
	return text + ": " + strings.Join(problems, ", ")
}
