package traffic

import (
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
)

// Result is one request.
type Result struct {
	// Start is when the user asked.
	Start time.Time
	// Latency until the whole answer, or the error, was there.
	Latency time.Duration
	// Version that answered; "" if nobody did or it did not show.
	Version string
	// Status of the answer; 0 without one.
	Status int
	// Err says why there is no whole answer.
	Err string
	// Fresh tells that the request had a connection of its own.
	Fresh bool
}

// Failed tells whether the user was failed: no answer, or a status from 400.
func (r Result) Failed() bool {
	return r.Err != "" || r.Status == 0 || r.Status >= http.StatusBadRequest
}

// Outcome names the result in a word or two: "ok", "HTTP 502", or the error.
func (r Result) Outcome() string {
	switch {
	case r.Err != "":
		return r.Err
	case r.Failed():
		return fmt.Sprintf("HTTP %d", r.Status)
	}
	return "ok"
}

// recorder collects results.
type recorder struct {
	mu      sync.Mutex
	results []Result
	skipped []time.Time
}

func (r *recorder) add(result Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results = append(r.results, result)
}

func (r *recorder) skip(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.skipped = append(r.skipped, at)
}

// snapshot orders the results by the time they were asked for.
func (r *recorder) snapshot() Recording {
	r.mu.Lock()
	defer r.mu.Unlock()
	results := slices.Clone(r.results)
	sort.SliceStable(results, func(a, b int) bool { return results[a].Start.Before(results[b].Start) })
	return Recording{Results: results, Skipped: slices.Clone(r.skipped)}
}

// Recording is what users saw.
type Recording struct {
	// Results in the order of their start.
	Results []Result
	// Skipped are the times at which a request was not sent because too many
	// were under way.
	Skipped []time.Time
}

// Between returns the part whose requests started from one time up to, but not
// including, another. A zero time sets no limit.
func (r Recording) Between(from, to time.Time) Recording {
	first := 0
	if !from.IsZero() {
		first = sort.Search(len(r.Results), func(i int) bool { return !r.Results[i].Start.Before(from) })
	}
	last := len(r.Results)
	if !to.IsZero() {
		last = sort.Search(len(r.Results), func(i int) bool { return !r.Results[i].Start.Before(to) })
	}
	var out Recording
	if first < last {
		out.Results = r.Results[first:last]
	}
	for _, at := range r.Skipped {
		if (from.IsZero() || !at.Before(from)) && (to.IsZero() || at.Before(to)) {
			out.Skipped = append(out.Skipped, at)
		}
	}
	return out
}

// Failures are the failed requests.
func (r Recording) Failures() []Result {
	var out []Result
	for _, result := range r.Results {
		if result.Failed() {
			out = append(out, result)
		}
	}
	return out
}

// Summary of a recording.
func (r Recording) Summary() Summary {
	s := Summary{Requests: len(r.Results), Skipped: len(r.Skipped), ByVersion: map[string]Count{}, Outcomes: map[string]int{}}
	latencies := make([]time.Duration, 0, len(r.Results))
	for _, result := range r.Results {
		count := s.ByVersion[result.Version]
		count.Requests++
		if result.Failed() {
			s.Failed++
			count.Failed++
			s.Outcomes[result.Outcome()]++
		}
		s.ByVersion[result.Version] = count
		latencies = append(latencies, result.Latency)
	}
	slices.Sort(latencies)
	s.P50, s.P99 = quantile(latencies, 50), quantile(latencies, 99)
	return s
}

// quantile of sorted latencies; per is in per cent.
func quantile(sorted []time.Duration, per int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, len(sorted)*per/100)]
}

// Count of requests.
type Count struct{ Requests, Failed int }

// Summary counts a span of traffic.
type Summary struct {
	Requests, Failed, Skipped int
	// ByVersion counts by the version that answered; "" holds those where none
	// showed.
	ByVersion map[string]Count
	// Outcomes counts the failures by what went wrong.
	Outcomes map[string]int
	// P50 and P99 are latencies.
	P50, P99 time.Duration
}

// Versions that answered, in alphabetical order, without "".
func (s Summary) Versions() []string {
	var out []string
	for version := range s.ByVersion {
		if version != "" {
			out = append(out, version)
		}
	}
	slices.Sort(out)
	return out
}

// SuccessRate in per cent; 100 without requests.
func (s Summary) SuccessRate() float64 {
	if s.Requests == 0 {
		return 100
	}
	return 100 * float64(s.Requests-s.Failed) / float64(s.Requests)
}

// Failure describes the failures for a person, the most frequent first; "" if
// there were none.
func (s Summary) Failure() string {
	outcomes := make([]string, 0, len(s.Outcomes))
	for outcome := range s.Outcomes {
		outcomes = append(outcomes, outcome)
	}
	slices.SortFunc(outcomes, func(a, b string) int {
		if s.Outcomes[a] != s.Outcomes[b] {
			return s.Outcomes[b] - s.Outcomes[a]
		}
		return strings.Compare(a, b)
	})
	for i, outcome := range outcomes {
		outcomes[i] = fmt.Sprintf("%d x %s", s.Outcomes[outcome], outcome)
	}
	return strings.Join(outcomes, ", ")
}
