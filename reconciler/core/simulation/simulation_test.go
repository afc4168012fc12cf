package simulation

import (
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	schedules = flag.Int("schedules", 20000, "random schedules to play of each strategy")
	seed      = flag.Uint64("seed", 0, "play this schedule only, and tell its story")
	only      = flag.String("strategy", "", "play this strategy only")
	hunt      = flag.Bool("hunt", false, "play the strategies in turns and stop at the first schedule that breaks a promise, in few words")
)

// chosen are the strategies to play.
func chosen(t *testing.T) []*Strategy {
	t.Helper()
	var out []*Strategy
	for _, s := range Strategies() {
		if *only == "" || s.Name == *only {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		t.Fatalf("there is no strategy %q", *only)
	}
	return out
}

// failure is the first schedule of a strategy that broke a promise.
type failure struct {
	schedule  Schedule
	violation Violation
}

func (f failure) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "-strategy=%s -seed=%d: %s\n", f.schedule.Strategy.Name, f.schedule.Seed, f.violation)
	short := f.schedule.Shrink(f.violation.Promise)
	for _, a := range short.Actions {
		fmt.Fprintf(&b, "  %s\n", a)
	}
	fmt.Fprintf(&b, "%s\n", strings.Join(short.Play(NewCoverage(), true).Story(), "\n"))
	return b.String()
}

// hunted plays the strategies in turns until a schedule breaks a promise.
func hunted(t *testing.T, strategies []*Strategy) {
	t.Helper()
	const turn = 200
	played := 0
	for from := 0; from < *schedules; from += turn {
		for _, s := range strategies {
			cover, broken := play(s, from, from+turn)
			played += cover.Schedules
			if broken != nil {
				t.Fatalf("hunted: -strategy=%s -seed=%d broke %s after %d schedules: %s", s.Name, broken.schedule.Seed, broken.violation.Promise, played+1,
					broken.violation.Text)
			}
		}
	}
}

// play plays the schedules of a strategy from one seed to another on all cores and returns what they visited, and the failure with the lowest seed.
func play(s *Strategy, first, end int) (*Coverage, *failure) {
	const batch = 50
	var next atomic.Int64
	next.Store(int64(first))
	var mu sync.Mutex
	var worst *failure
	total := NewCoverage()
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			cover := NewCoverage()
			for from := next.Add(batch) - batch; from < int64(end); from = next.Add(batch) - batch {
				for i := from; i < min(from+batch, int64(end)); i++ {
					plan := NewSchedule(s, uint64(i)+1)
					w := plan.Play(cover, false)
					if len(w.violations) > 0 {
						mu.Lock()
						if worst == nil || worst.schedule.Seed > plan.Seed {
							worst = &failure{plan, w.violations[0]}
						}
						mu.Unlock()
						next.Store(int64(end))
						break
					}
				}
			}
			mu.Lock()
			defer mu.Unlock()
			total.Add(cover)
		})
	}
	group.Wait()
	return total, worst
}

// TestSchedules plays random schedules of every strategy; see the package's documentation for what is held.
func TestSchedules(t *testing.T) {
	// Little of what is allocated lives on.
	defer debug.SetGCPercent(debug.SetGCPercent(1000))
	if *hunt {
		hunted(t, chosen(t))
		return
	}
	for _, s := range chosen(t) {
		t.Run(s.Name, func(t *testing.T) {
			if *seed != 0 {
				plan := NewSchedule(s, *seed)
				w := plan.Play(NewCoverage(), true)
				t.Logf("-strategy=%s -seed=%d: %v\n%s", s.Name, *seed, w.violations, strings.Join(w.Story(), "\n"))
				if len(w.violations) > 0 {
					t.Errorf("shrunk:\n%s", failure{plan, w.violations[0]})
				}
				return
			}
			cover, broken := play(s, 0, *schedules)
			if broken != nil {
				t.Fatal(broken)
			}
			t.Log(cover)
			for _, rare := range cover.hollow(s, *schedules) {
				t.Errorf("the schedules are hollow: %s", rare)
			}
		})
	}
}
