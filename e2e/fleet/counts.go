package fleet

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/e2e/harness"
)

const (
	// sampleEvery is how often Sluice's memory is looked at, which costs Sluice
	// some processor time.
	sampleEvery = 5 * time.Second
	// quietFor is how long Sluice has to have said nothing but to its lease.
	quietFor  = 3 * time.Second
	quietPoll = time.Second
)

// reading is what is counted, at one moment.
type reading struct {
	at       time.Time
	requests harness.Requests
	usage    harness.Usage
}

func (b *bench) read(ctx context.Context) (reading, error) {
	requests, err := b.sluice.SluiceRequests(ctx)
	if err != nil {
		return reading{}, err
	}
	usage, err := b.sluice.SluiceUsage(ctx)
	return reading{time.Now(), requests, usage}, err
}

// quiet waits until Sluice has sent nothing but what keeps its lease for a while.
func (b *bench) quiet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, waitTimeout)
	defer cancel()
	ticker := time.NewTicker(quietPoll)
	defer ticker.Stop()
	said, since := -1, time.Now()
	for {
		r, err := b.sluice.SluiceRequests(ctx)
		if err != nil {
			return fmt.Errorf("wait until Sluice is quiet: %w", err)
		}
		if r.Other != said {
			said, since = r.Other, time.Now()
		}
		if time.Since(since) > quietFor {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("wait until Sluice is quiet: %w after %d requests", ctx.Err(), said)
		}
	}
}

// followMemory looks at Sluice's memory until its context ends, and then sends
// the most that it has seen, in bytes.
func (b *bench) followMemory(ctx context.Context) <-chan int64 {
	peak := make(chan int64, 1)
	go func() {
		ticker := time.NewTicker(sampleEvery)
		defer ticker.Stop()
		most := int64(0)
		for {
			// A sample that fails leaves a gap; what is counted after it does not depend on it.
			if u, err := b.sluice.SluiceUsage(ctx); err == nil {
				most = max(most, u.Resident)
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				peak <- most
				return
			}
		}
	}()
	return peak
}

// times is a map of times for several goroutines.
type times struct {
	mu sync.Mutex
	at map[string]time.Time
}

func newTimes() *times { return &times{at: map[string]time.Time{}} }

func (t *times) set(name string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at[name] = at
}
