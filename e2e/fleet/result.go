package fleet

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/harness"
)

// The aims. They are printed beside the figures and never asserted.
const (
	aimBeyondPods = 10 * time.Second
	aimTogether   = 1.2
	aimAlone      = 1.1
)

// leasesPerMinute is the most that two replicas send to keep or get one lease:
// each reads and writes it every two seconds.
const leasesPerMinute = 2 * 2 * 30

// watchLife is the shortest time after which client libraries open a watch again.
const watchLife = 5 * time.Minute

// result is all that a run has measured.
type result struct {
	canaries  int
	lifecycle v1beta1.Lifecycle
	speed     speed
	// podsStart, podsRollOne and podsRollAll are what Kubernetes needs by itself.
	podsStart, podsRollOne, podsRollAll phase
	initialise, idle, one, all          phase
	rollouts                            []outcome
	// watches is how many Sluice has opened before it was left idle.
	watches    int
	admissions harness.Admissions
}

// phase is what one part of a run took.
type phase struct {
	spans spans
	// lasted is the time in which requests and CPU were counted.
	lasted   time.Duration
	requests harness.Requests
	cpu      time.Duration
	resident int64
	// load of the machine at the end.
	load string
}

func (p phase) line() string {
	return fmt.Sprintf("%s; requests of Sluice: %d, watches %d, leases %d; CPU %s, memory %s; load %s",
		seconds(p.spans.whole), p.requests.Other, p.requests.Watches, p.requests.Leases, seconds(p.cpu), megabytes(p.resident), p.load)
}

// outcome is how one rollout ended.
type outcome struct {
	name   string
	phase  v1beta1.CanaryPhase
	failed int32
	// promoted tells that another revision serves than before, and current that
	// it is that of the target.
	promoted, current bool
}

func outcomes(before map[string]string, which []string, after []v1beta1.Canary) []outcome {
	var out []outcome
	for _, c := range after {
		if !slices.Contains(which, c.Name) {
			continue
		}
		s := c.Status
		out = append(out, outcome{
			name: c.Name, phase: s.Phase, failed: s.FailedChecks,
			promoted: s.PromotedRevision != before[c.Name], current: s.PromotedRevision == s.CurrentRevision,
		})
	}
	return out
}

// problems are what is wrong with a result, for people.
type problems []string

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

// judge returns what the counts have against what is promised.
func (r *result) judge() []string { return slices.Concat(r.judgeRollouts(), r.judgeIdle()) }

// judgeRollouts: all rollouts have ended well, and no call of admission was lost.
func (r *result) judgeRollouts() []string {
	var wrong problems
	if want := r.canaries + 1; len(r.rollouts) != want {
		wrong.add("%d rollouts have ended, want %d", len(r.rollouts), want)
	}
	for _, o := range r.rollouts {
		if o.phase != v1beta1.PhaseSucceeded || o.failed > 0 || !o.promoted || !o.current {
			wrong.add("%s: phase %s, %d failed checks, promoted %t, of the current revision %t", o.name, o.phase, o.failed, o.promoted, o.current)
		}
	}
	if a := r.admissions; a.FailedOpen+a.FailedClosed+a.Broken > 0 {
		wrong.add("admission: %d calls failed open, %d closed, %d broke", a.FailedOpen, a.FailedClosed, a.Broken)
	}
	return wrong
}

// judgeIdle: while nothing changes Sluice asks for nothing but what keeps its watches and its lease.
func (r *result) judgeIdle() []string {
	var wrong problems
	i := r.idle.requests
	if i.Other > 0 {
		wrong.add("%d requests of Sluice although nothing changed for %s, want none beside watches and the lease", i.Other, r.idle.lasted)
	}
	if r.watches == 0 {
		wrong.add("no watch of Sluice was counted before it was left idle: the API server does not count them apart, or Sluice sees nothing")
	}
	if most := int(r.idle.lasted/watchLife+1) * r.watches; i.Watches > most {
		wrong.add("%d watches opened in %s, want %d at most: Sluice has %d, and each lasts %s or more", i.Watches, r.idle.lasted, most, r.watches, watchLife)
	}
	if most := int(r.idle.lasted.Minutes()*leasesPerMinute) + 2; i.Leases > most {
		wrong.add("%d requests for the lease in %s, want %d at most", i.Leases, r.idle.lasted, most)
	}
	return wrong
}

// render writes the tables in Markdown.
func (r *result) render() string {
	var b strings.Builder
	ideal := iterations*mustParse(analysisInterval) + r.podsRollOne.spans.whole
	fmt.Fprintf(&b, "| %d Canaries, lifecycle %s | time | against | ratio or difference | aim |\n|---|---|---|---|---|\n", r.canaries, r.lifecycle)
	fmt.Fprintf(&b, "| all initialised | %s | their pods without Canaries: %s | +%s | under +%s |\n",
		seconds(r.initialise.spans.whole), seconds(r.podsStart.spans.whole), seconds(r.initialise.spans.whole-r.podsStart.spans.whole), seconds(aimBeyondPods))
	fmt.Fprintf(&b, "| one rolled out, the others idle | %s | %d × %s and a rolling update without Canary: %s | %.2f | %.1f |\n",
		seconds(r.one.spans.whole), iterations, analysisInterval, seconds(ideal), ratio(r.one, ideal), aimAlone)
	fmt.Fprintf(&b, "| all rolled out at once | %s | one alone: %s; rolling updates of all without Canaries: %s | %.2f | %.1f |\n",
		seconds(r.all.spans.whole), seconds(r.one.spans.whole), seconds(r.podsRollAll.spans.whole), ratio(r.all, r.one.spans.whole), aimTogether)
	beside := r.besideOne()
	fmt.Fprintf(&b, "| the same | %s | one alone, and the start and one rolling update of all pods without Canaries: %s | %.2f | |\n",
		seconds(r.all.spans.whole), seconds(beside), ratio(r.all, beside))
	fmt.Fprintln(&b, "\n| part | whole | median | longest | requests | watches opened | lease | requests per Canary | CPU | memory | load |")
	fmt.Fprintln(&b, "|---|---|---|---|---|---|---|---|---|---|---|")
	for _, row := range []struct {
		what string
		of   int
		phase
	}{
		{"pods started, no Canary", 0, r.podsStart},
		{"one rolling update, no Canary", 0, r.podsRollOne},
		{"all rolling updates, no Canary", 0, r.podsRollAll},
		{"all initialised", r.canaries, r.initialise},
		{fmt.Sprintf("all idle for %s", r.idle.lasted.Round(time.Second)), 0, r.idle},
		{"one rolled out", 1, r.one},
		{"all rolled out", r.canaries, r.all},
	} {
		per, whole, median, longest := "", "", "", ""
		if row.of > 0 {
			per = fmt.Sprintf("%.1f", float64(row.requests.Other)/float64(row.of))
		}
		if len(row.spans.each) > 0 {
			whole, median, longest = seconds(row.spans.whole), seconds(row.spans.median()), seconds(row.spans.longest())
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %d | %d | %d | %s | %s | %s | %s |\n", row.what, whole, median, longest,
			row.requests.Other, row.requests.Watches, row.requests.Leases, per, seconds(row.cpu), megabytes(row.resident), row.load)
	}
	r.speed.render(&b)
	return b.String()
}

// besideOne is what rolling out all cannot be faster than by much: one rollout alone, and what Kubernetes takes by itself to start the pods of all
// canaries and to replace those of all primaries, beyond what it takes for one.
func (r *result) besideOne() time.Duration {
	one := r.podsRollOne.spans.whole
	return r.one.spans.whole + max(0, r.podsStart.spans.whole-one) + max(0, r.podsRollAll.spans.whole-one)
}

func ratio(p phase, against time.Duration) float64 {
	return float64(p.spans.whole) / float64(max(against, 1))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func megabytes(n int64) string { return fmt.Sprintf("%d MB", n/1_000_000) }

// mustParse reads a constant.
func mustParse(d string) time.Duration {
	parsed, err := time.ParseDuration(d)
	if err != nil {
		panic(err)
	}
	return parsed
}
