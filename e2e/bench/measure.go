package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// gate says what stands between a change and the store.
const (
	gateNone      = "no webhook"
	gateNoop      = "no-op webhook"
	gateSluice    = "Sluice, "
	gateTracked   = gateSluice + "tracked"
	gateGuarded   = gateSluice + "guarded"
	gateUntracked = gateSluice + "untracked"
)

// scenario is one row of the table.
type scenario struct {
	gate, what string
	apps       []*app
	client     client.Client
	// calls tells whether the webhook is to be asked.
	calls bool
	// aside marks changes that concern no revision.
	aside bool

	took       []time.Duration
	throughput float64
	counts     counts
}

// once makes one change of an application and returns how long it took. What
// the reconciler would do comes after it, outside that time.
func (s *scenario) once(ctx context.Context, a *app, turn int) (time.Duration, error) {
	what := a.next()
	if s.aside {
		what = a.aside(turn)
	}
	start := time.Now()
	err := a.send(ctx, s.client, what)
	took := time.Since(start)
	if err != nil {
		return took, err
	}
	if !s.aside {
		a.at = 1 - a.at
	}
	return took, a.settle(ctx, s.client)
}

// latencies lets the scenarios take turns, so that whatever else the machine
// does hits all of them alike. The first rounds warm up.
func latencies(ctx context.Context, all []*scenario, warmup, rounds int, progress io.Writer) error {
	for round := range warmup + rounds {
		if round%100 == 0 {
			fmt.Fprintf(progress, "latency: round %d of %d\n", round, warmup+rounds)
		}
		for i := range all {
			// Each round begins elsewhere: nobody always comes after the same one.
			s := all[(i+round)%len(all)]
			took, err := s.once(ctx, s.apps[round%len(s.apps)], round)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", s.gate, s.what, err)
			}
			if round >= warmup {
				s.took = append(s.took, took)
			}
		}
	}
	return nil
}

// throughputs runs each scenario with several workers at once, in short slices
// that take turns.
func throughputs(ctx context.Context, all []*scenario, workers, slices int, slice time.Duration, progress io.Writer) error {
	done := make([]int, len(all))
	spent := make([]time.Duration, len(all))
	for n := range slices {
		fmt.Fprintf(progress, "throughput: slice %d of %d\n", n+1, slices)
		for i, s := range all {
			start := time.Now()
			changes, err := s.burst(ctx, workers, slice)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", s.gate, s.what, err)
			}
			done[i] += changes
			spent[i] += time.Since(start)
		}
	}
	for i, s := range all {
		s.throughput = float64(done[i]) / spent[i].Seconds()
	}
	return nil
}

// burst returns how many changes the workers made in a while. No two of them
// share an application.
func (s *scenario) burst(ctx context.Context, workers int, while time.Duration) (int, error) {
	var mu sync.Mutex
	var failed error
	total := 0
	until := time.Now().Add(while)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			made := 0
			var err error
			for ; err == nil && time.Now().Before(until); made++ {
				mine := len(s.apps) / workers
				_, err = s.once(ctx, s.apps[w*mine+made%mine], made)
			}
			mu.Lock()
			defer mu.Unlock()
			total += made
			if err != nil {
				failed = err
			}
		})
	}
	group.Wait()
	return total, failed
}

// quantile returns the sample below which a share of all lies.
func quantile(samples []time.Duration, share float64) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}
