package certs

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"
)

// fakeClock is a clock that tests move by hand.
type fakeClock struct{ at time.Time }

func (c *fakeClock) now() time.Time { return c.at }

func (c *fakeClock) advance(d time.Duration) { c.at = c.at.Add(d) }

// TestRotationNeverServesAnUntrustedLeaf walks through a rotation in small steps and checks at each of them that an API server verifies what is
// served, whatever it has read of the bundle within the settle time.
func TestRotationNeverServesAnUntrustedLeaf(t *testing.T) {
	const settle, overlap, step = 10 * time.Second, time.Minute, 500 * time.Millisecond
	clock := &fakeClock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	first := newCA(t, clock.at, time.Hour)
	leaf1 := first.leaf(t, clock.at, time.Hour)
	known := &trust{serverName: testServerName}
	serving := &serving{trust: known, settle: settle, now: clock.now}

	// The world: what the configuration carries, and what the slowest API server has read of it.
	config := publication{bundles: [][]byte{nil}}
	type version struct {
		at     time.Time
		bundle []byte
	}
	var history []version
	reconcile := func(ca testCA) {
		known.observe(map[string]publication{"config": config})
		plan := planBundle(config, ca.cert, clock.at, overlap)
		if plan.write {
			config = publication{bundles: [][]byte{plan.bundle}, since: plan.since}
			history = append(history, version{clock.at, plan.bundle})
		}
		known.observe(map[string]publication{"config": config})
	}
	check := func(newest *tls.Certificate) *tls.Certificate {
		t.Helper()
		served := serving.pick(newest)
		// Every version that was current at some moment of the last settle time may be what some API server goes by.
		for i, v := range history {
			replaced := i+1 < len(history) && clock.at.Sub(history[i+1].at) >= settle
			if replaced {
				continue
			}
			if err := verify(served.Leaf, v.bundle, testServerName, clock.at); err != nil {
				t.Fatalf("%s: an API server that goes by version %d refuses the leaf: %v", clock.at, i, err)
			}
		}
		return served
	}

	reconcile(first)
	for range 10 {
		check(leaf1)
		clock.advance(step)
	}
	clock.advance(settle)

	second := newCA(t, clock.at, time.Hour)
	rotated := clock.at
	leaf2 := second.leaf(t, clock.at, time.Hour)
	var switched time.Time
	for clock.at.Before(rotated.Add(2 * overlap)) {
		// The injector comes three seconds late.
		if clock.at.Sub(rotated) >= 3*time.Second {
			reconcile(second)
		}
		if served := check(leaf2); served == leaf2 && switched.IsZero() {
			switched = clock.at
		}
		clock.advance(step)
	}
	if got, want := switched.Sub(rotated), 3*time.Second+settle; got != want {
		t.Errorf("switched after %s, want %s", got, want)
	}
	if got := decodeBundle(config.bundles[0]); len(got) != 1 || !got[0].Equal(second.cert) {
		t.Errorf("after the overlap the bundle holds %d certificates, want only the new CA", len(got))
	}
}

func TestPick(t *testing.T) {
	const settle = 10 * time.Second
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ca, next := newCA(t, start, time.Hour), newCA(t, start, time.Hour)
	long, short := ca.leaf(t, start, time.Hour), ca.leaf(t, start, time.Minute)
	renewed, rotated := ca.leaf(t, start.Add(time.Minute), time.Hour), next.leaf(t, start.Add(time.Minute), time.Hour)
	both := publication{bundles: [][]byte{bundleOf(next, ca)}, since: start.Add(time.Minute)}

	for name, tc := range map[string]struct {
		served, newest *tls.Certificate
		published      map[string]publication
		after          time.Duration
		switches       bool
	}{
		"a renewal waits for clocks that are behind":       {long, renewed, map[string]publication{"v": {bundles: [][]byte{bundleOf(ca)}}}, 65 * time.Second, false},
		"a renewal is served once it has settled":          {long, renewed, map[string]publication{"v": {bundles: [][]byte{bundleOf(ca)}}}, 70 * time.Second, true},
		"a rotation waits for the bundle":                  {long, rotated, map[string]publication{"v": {bundles: [][]byte{bundleOf(ca)}}}, 30 * time.Minute, false},
		"a rotation waits until the bundle has settled":    {long, rotated, map[string]publication{"v": both}, 69 * time.Second, false},
		"a rotation is served once the bundle settled":     {long, rotated, map[string]publication{"v": both}, 70 * time.Second, true},
		"every configuration counts":                       {long, rotated, map[string]publication{"v": both, "m": {bundles: [][]byte{bundleOf(ca)}}}, 30 * time.Minute, false},
		"every webhook counts":                             {long, rotated, map[string]publication{"v": {bundles: [][]byte{bundleOf(next, ca), bundleOf(ca)}}}, 30 * time.Minute, false},
		"an expired leaf is replaced at once":              {short, rotated, map[string]publication{"v": {bundles: [][]byte{bundleOf(ca)}}}, 61 * time.Second, true},
		"a leaf that nobody trusts is replaced at once":    {long, rotated, map[string]publication{"v": {bundles: [][]byte{bundleOf(next)}, since: start.Add(time.Minute)}}, 61 * time.Second, true},
		"without configurations only the clocks matter":    {long, rotated, map[string]publication{}, 70 * time.Second, true},
		"the first leaf needs no permission":               {nil, rotated, nil, 61 * time.Second, true},
		"a leaf is kept while it is the newest there is":   {long, long, map[string]publication{"v": {bundles: [][]byte{bundleOf(next)}}}, time.Minute, true},
		"before the first look at the cluster, the newest": {long, rotated, nil, 61 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			clock := &fakeClock{at: start}
			known := &trust{serverName: testServerName}
			serving := &serving{trust: known, settle: settle, now: clock.now}
			if tc.served != nil {
				serving.pick(tc.served)
			}
			if tc.published != nil {
				known.observe(tc.published)
			}
			clock.advance(tc.after)
			want := tc.served
			if tc.switches {
				want = tc.newest
			}
			if got := serving.pick(tc.newest); got != want {
				t.Errorf("switched = %v, want %v", got == tc.newest, tc.switches)
			}
		})
	}
}

func TestCoversDemandsTheServersName(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ca := newCA(t, now, time.Hour)
	known := &trust{serverName: "another.name.svc"}
	known.observe(map[string]publication{`ValidatingWebhookConfiguration "sluice"`: {bundles: [][]byte{bundleOf(ca)}}})
	err := known.covers(ca.leaf(t, now, time.Hour).Leaf, now, 0)
	if err == nil || !strings.Contains(err.Error(), `ValidatingWebhookConfiguration "sluice"`) || !strings.Contains(err.Error(), "another.name.svc") {
		t.Errorf("covers = %v, want an error that names the configuration and the name demanded", err)
	}
}
