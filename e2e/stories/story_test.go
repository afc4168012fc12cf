//go:build e2e

package stories

import (
	"context"
	_ "embed"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/harness"
	"github.com/sluice-dev/sluice/e2e/traffic"
)

//go:embed canary.yaml
var canaryTemplate string

const (
	// soon bounds what takes seconds, rollout a whole rollout, on a busy machine.
	soon    = 3 * time.Minute
	rollout = 8 * time.Minute
	// confidence of the statistical check of shares: one story in ten thousand may fail by chance.
	confidence = 0.9999
	// settled is how long after a change of weights requests may still arrive by the old ones.
	settled = 3 * time.Second
)

// story is one application with its Canary and its users.
type story struct {
	*testing.T
	ctx      context.Context
	app      harness.App
	key      types.NamespacedName
	timeline *harness.Timeline
	users    *traffic.Generator
}

// canary is what stories vary in their Canary.
type canary struct {
	Kind, Name, Namespace, Host, Provider, Interval, Gateway, MetricsServer, LoadTester, Query string
	Threshold                                                                                  int
	// Deadline is how long pods may take to get further, in seconds.
	Deadline int
	// Autoscaler names the HorizontalPodAutoscaler of the target's own name.
	Autoscaler bool
	// Lifecycle is that of the primary; empty for none.
	Lifecycle string
	// Strategy is what the analysis asks for, as lines of YAML; empty for two weighted steps, or iterations without a route.
	Strategy string
}

func (s *story) canary() canary {
	return canary{
		Kind: s.app.Kind, Name: s.key.Name, Namespace: s.key.Namespace, Host: s.app.Host(), Provider: "gatewayapi:v1", Interval: "5s", Gateway: "traefik",
		MetricsServer: harness.MetricsServer, LoadTester: harness.LoadTester, Threshold: 2, Deadline: 120,
	}
}

// measured gives each step the time to tell the shares of users apart.
func measured(c *canary) { c.Interval = "8s" }

// begin makes a story of an application that runs version v1 and has no Canary yet. Everything goes when it is told.
func begin(t *testing.T, name string) *story {
	t.Helper()
	return beginWith(t, harness.App{Kind: "Deployment", Name: name, Version: "v1"})
}

// beginIn does the same in a namespace of its own, which need not exist.
func beginIn(t *testing.T, namespace, name string) *story {
	t.Helper()
	return beginWith(t, harness.App{Kind: "Deployment", Namespace: namespace, Name: name, Version: "v1"})
}

// beginWith does the same with an application of another kind.
func beginWith(t *testing.T, app harness.App) *story {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	name := app.Name
	s := &story{T: t, ctx: ctx, app: app, key: app.Key()}
	s.timeline = stage.Follow(ctx, s.key)
	t.Cleanup(func() {
		defer cancel()
		if s.users != nil {
			s.users.Stop()
		}
		if t.Failed() {
			t.Log(stage.Report(context.WithoutCancel(ctx), s.key))
		}
		ending, done := context.WithTimeout(context.WithoutCancel(ctx), rollout)
		defer done()
		// Without its target a Canary has nothing to give back.
		left := [][]string{
			{"delete", "deployment,daemonset", name, "--wait=false"}, {"delete", "canary", name},
			{"delete", "service,configmap,httproute", name, name + "-page", "--wait=false"},
		}
		if s.key.Namespace != harness.TestNamespace {
			left = append(left, []string{"delete", "namespace", s.key.Namespace})
		}
		for _, args := range left {
			args = append(args, "--namespace", s.key.Namespace, "--ignore-not-found", "--timeout=2m")
			if _, err := stage.Cluster.Kubectl(ending, "", args...); err != nil {
				t.Errorf("clean up: %v", err)
			}
		}
	})
	s.deploy("v1")
	s.ok(stage.AppRolledOut(ctx, app))
	return s
}

// adopted is a story whose Canary is initialised and whose users are asking.
func adopted(t *testing.T, name string, change func(*canary)) *story {
	t.Helper()
	s := begin(t, name)
	s.adopt(change)
	return s
}

// adopt has the application initialised, and its users asking.
func (s *story) adopt(change func(*canary)) {
	s.Helper()
	s.initialise(change)
	s.ask()
}

// adoptAll does so with several at once.
func adoptAll(stories ...*story) {
	for _, s := range stories {
		s.apply(s.manifest(nil))
	}
	for _, s := range stories {
		s.phase(rollout, v1beta1.PhaseInitialized)
		s.ask()
	}
}

// initialise applies the story's Canary and waits until it is initialised.
func (s *story) initialise(change func(*canary)) {
	s.Helper()
	s.apply(s.manifest(change))
	s.phase(rollout, v1beta1.PhaseInitialized)
}

func (s *story) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// manifest is the story's Canary.
func (s *story) manifest(change func(*canary)) string {
	s.Helper()
	c := s.canary()
	if change != nil {
		change(&c)
	}
	text, err := harness.Render("canary.yaml", canaryTemplate, c)
	s.ok(err)
	return text
}

func (s *story) apply(manifests string) {
	s.Helper()
	s.ok(stage.Apply(s.ctx, manifests))
}

// deploy applies a version; one that starts with "bad" answers HTTP 500.
func (s *story) deploy(version string) {
	s.Helper()
	app := s.app
	app.Version, app.Broken = version, strings.HasPrefix(version, "bad")
	s.ok(stage.Deploy(s.ctx, app))
}

func (s *story) phase(limit time.Duration, phases ...v1beta1.CanaryPhase) *v1beta1.Canary {
	s.Helper()
	c, err := stage.WaitPhase(s.ctx, s.key, limit, phases...)
	s.ok(err)
	return c
}

// until waits for a state of the Canary.
func (s *story) until(what string, limit time.Duration, done func(*v1beta1.Canary) bool) *v1beta1.Canary {
	s.Helper()
	c, err := stage.WaitCanary(s.ctx, s.key, what, limit, done)
	s.ok(err)
	return c
}

// finished waits until the rollout of what was deployed last is over, and says how.
func (s *story) finished(phase v1beta1.CanaryPhase) *v1beta1.Canary {
	s.Helper()
	return s.until("has ended as "+string(phase), rollout, func(c *v1beta1.Canary) bool {
		return c.Status.Phase == phase && c.Status.Rollout == nil
	})
}

// started waits until a rollout of a revision other than the given one runs.
func (s *story) started(after string) *v1beta1.Canary {
	s.Helper()
	return s.until("rolls out a new revision", soon, func(c *v1beta1.Canary) bool {
		return c.Status.Rollout != nil && c.Status.Rollout.Revision != after
	})
}

// ask lets users ask for the application once it answers through the gateway.
func (s *story) ask() {
	s.Helper()
	config := stage.Users(s.app)
	config.Rate = 40
	users, err := traffic.Start(s.ctx, config)
	s.ok(err)
	s.users = users
	s.eventually("users are answered", func() bool {
		results := s.users.Recording().Results
		return len(results) > 5 && !results[len(results)-1].Failed()
	})
}

// eventually polls for a condition that no watch tells.
func (s *story) eventually(what string, done func() bool) {
	s.Helper()
	s.within(soon, what, done)
}

// within does so for as long as given.
func (s *story) within(limit time.Duration, what string, done func() bool) {
	s.Helper()
	deadline, tick := time.NewTimer(limit), time.NewTicker(100*time.Millisecond)
	defer deadline.Stop()
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			s.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// unharmed fails the story if any user was failed since a time.
func (s *story) unharmed(since time.Time) {
	s.Helper()
	summary := s.users.Recording().Between(since, time.Time{}).Summary()
	if summary.Failed > 0 || summary.Requests == 0 {
		s.Errorf("%d of %d user requests failed: %s", summary.Failed, summary.Requests, summary.Failure())
	}
	s.Logf("%d user requests, %d failed", summary.Requests, summary.Failed)
}

// served is when a version first answered a user; zero if it never did.
func (s *story) served(version string) time.Time { return firstAnswer(s.users.Recording(), version) }

// firstAnswer is when a version first answered; zero if it never did.
func firstAnswer(r traffic.Recording, version string) time.Time {
	for _, result := range r.Results {
		if result.Version == version {
			return result.Start
		}
	}
	return time.Time{}
}

// firstAnswered is when the first answer of a version had arrived; zero if there was none. Whoever asks after that asks a gateway that has followed
// the route; who asked a little before, while it was answered, may have been served by the old one.
func firstAnswered(r traffic.Recording, version string) time.Time {
	var first time.Time
	for _, result := range r.Results {
		if end := result.Start.Add(result.Latency); result.Version == version && (first.IsZero() || end.Before(first)) {
			first = end
		}
	}
	return first
}

// onlyByItsSteps fails the story if a version answered a user before a step of its own analysis opened the route to it, or if the first step it
// was given was not the first of the analysis.
func (s *story) onlyByItsSteps(version, revision string) {
	s.Helper()
	first := s.served(version)
	for _, m := range s.timeline.Moments() {
		if m.Canary == nil || m.Canary.Status.Rollout == nil || m.Canary.Status.Rollout.Revision != revision || m.Canary.Status.CanaryWeight == 0 {
			continue
		}
		if w := m.Canary.Status.CanaryWeight; w != 20 {
			s.Errorf("the first weight of %s was %d", version, w)
		}
		if opened := m.Stored(); !first.IsZero() && first.Before(opened) {
			s.Errorf("%s answered a user %s before its first step", version, opened.Sub(first))
		}
		return
	}
	if !first.IsZero() {
		s.Errorf("%s answered a user at %s though it never had a step", version, first)
	}
}

// shares compares what each version got with the weights in force since a time.
func (s *story) shares(version string, since time.Time) {
	s.Helper()
	// Once the primary is given the version, users reach it on both sides.
	moments := s.timeline.Since(since)
	promoting := slices.IndexFunc(moments, func(m harness.Moment) bool { return m.Phase() == v1beta1.PhasePromoting })
	if promoting < 0 {
		s.Fatal("the version was never promoted")
	}
	analysed := harness.Spans(moments[:promoting])
	analysed[len(analysed)-1].To = moments[promoting].At
	for _, span := range analysed {
		if span.To.IsZero() || span.To.Sub(span.From) < 2*settled || span.Weight <= 0 {
			continue
		}
		summary := s.users.Recording().Between(span.From.Add(settled), span.To).Summary()
		share := traffic.CheckShare(summary.ByVersion[version].Requests, summary.Requests, span.Weight, confidence)
		s.Logf("weight %d: %s", span.Weight, share)
		if !share.OK() {
			s.Errorf("at weight %d: %s", span.Weight, share)
		}
	}
}
