//go:build e2e

package takeover

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/harness"
)

const (
	clusterName = "takeover"
	// all bounds the test without what it builds first, rollout one rollout on a busy machine, soon what takes seconds.
	all     = 25 * time.Minute
	rollout = 6 * time.Minute
	soon    = 90 * time.Second
	// a while is how many requests users send until it is taken that nothing more happens: longer than three rounds of Flagger's.
	aWhile = 35 * rate
)

// play is the whole test: a cluster and the applications on it.
type play struct {
	*testing.T
	ctx   context.Context
	stage *harness.Harness
	apps  []*app
	// Applications by what Flagger leaves of them.
	promoted, services, agent, scaled, failed, midway *app
}

// TestFlaggerIsTakenOverAndComesBack runs Flagger, stops it for Sluice as docs/takeover.md says, and goes back. No pod that serves users is replaced by
// either change, nobody is failed, and each of the two rolls out changes while it is in charge.
func TestFlaggerIsTakenOverAndComesBack(t *testing.T) {
	p := begin(t)
	p.flaggerRules()
	p.sluiceTakesOver()
	p.sluiceRules()
	p.flaggerComesBack()
}

// begin starts the cluster with Flagger and without Sluice.
func begin(t *testing.T) *play {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), all)
	name := os.Getenv("CLUSTER")
	if name == "" {
		name = clusterName
	}
	c, err := cluster.Start(ctx, cluster.Options{Name: name, Log: os.Stderr, EndWithParent: true})
	if err != nil {
		t.Fatal("start the cluster:", err)
	}
	t.Cleanup(func() {
		defer cancel()
		if !c.Started() {
			return
		}
		ending, done := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
		defer done()
		if err := c.Stop(ending); err != nil {
			t.Error("stop the cluster:", err)
		}
	})
	// What Flagger is told by flags, Sluice has to be told, too.
	flags := []string{"-mesh-provider=" + gateway, "-metrics-server=" + harness.MetricsServer}
	stage, err := harness.Up(ctx, c, harness.Options{Log: os.Stderr, WithoutSluice: true, SluiceArgs: flags})
	if err != nil {
		t.Fatal("install everything:", err)
	}
	if err := stage.InstallFlagger(ctx); err != nil {
		t.Fatal(err)
	}
	p := &play{T: t, ctx: ctx, stage: stage}
	p.promoted = p.add(app{App: harness.App{Name: "promoted"}, provider: gateway})
	p.services = p.add(app{App: harness.App{Name: "services"}, provider: services})
	p.agent = p.add(app{App: harness.App{Name: "agent", Kind: "DaemonSet"}, provider: gateway})
	p.scaled = p.add(app{App: harness.App{Name: "scaled", Scaled: true}, provider: gateway})
	p.failed = p.add(app{App: harness.App{Name: "failed"}, provider: gateway})
	p.midway = p.add(app{App: harness.App{Name: "midway"}, provider: gateway, long: true})
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		t.Log(stage.FlaggerLog(ctx))
		for _, a := range p.apps {
			t.Log(stage.Report(context.WithoutCancel(ctx), a.key))
		}
	})
	return p
}

func (p *play) add(a app) *app {
	if a.Kind == "" {
		a.Kind = "Deployment"
	}
	a.Namespace, a.Version, a.key = harness.TestNamespace, "v1", types.NamespacedName{Namespace: harness.TestNamespace, Name: a.Name}
	a.timeline = p.stage.Follow(p.ctx, a.key)
	p.apps = append(p.apps, &a)
	return &a
}

// flaggerRules has Flagger initialise all, promote some, roll one back and be in the middle of another.
func (p *play) flaggerRules() {
	for _, a := range p.apps {
		p.deploy(a, "v1")
	}
	for _, a := range p.apps {
		p.ok(p.stage.AppRolledOut(p.ctx, a.App))
		p.adopt(a)
	}
	for _, a := range p.apps {
		p.in(a, v1beta1.PhaseInitialized)
		p.ask(a)
	}
	p.deploy(p.promoted, "v2")
	p.deploy(p.services, "v2")
	p.deploy(p.scaled, "v2")
	p.deploy(p.failed, "bad2")
	for _, a := range []*app{p.promoted, p.services, p.scaled} {
		p.in(a, v1beta1.PhaseSucceeded)
		p.primaryRuns(a, "v2")
	}
	p.in(p.failed, v1beta1.PhaseFailed)
	p.deploy(p.midway, "v2")
	p.until(p.midway, "has users", func(c *v1beta1.Canary) bool { return c.Status.CanaryWeight >= 5 })
}

// sluiceTakesOver stops Flagger and installs Sluice.
func (p *play) sluiceTakesOver() {
	phases, pods := map[*app]v1beta1.CanaryPhase{}, map[*app]map[types.UID]int32{}
	for _, a := range p.apps {
		phases[a], pods[a] = a.timeline.Last().Phase(), p.serving(a)
	}
	since := time.Now()
	p.ok(p.stage.StopFlagger(p.ctx))
	p.ok(p.stage.InstallSluice(p.ctx))
	for _, a := range p.apps {
		c := p.until(a, "is taken over", func(c *v1beta1.Canary) bool { return c.Status.PromotedRevision != "" })
		a.inherited = c.Status.PromotedRevision
		p.Logf("%s was %s and is taken over with revision %s", a.Name, phases[a], a.inherited)
		p.eventually(a.Name+": an event says that it is taken over", func() bool {
			return p.kubectl("-n", a.key.Namespace, "get", "events", "--field-selector=reason=TakenOver,involvedObject.name="+a.Name, "--output=name") != ""
		})
	}
	// The one that was under way starts afresh with its users on the primary. Its promotion comes later.
	p.eventually("midway: users return to the primary", func() bool {
		return !p.midway.when(since, func(m harness.Moment) bool { return m.RouteWeight == 0 }).IsZero()
	})
	p.until(p.midway, "has users again", func(c *v1beta1.Canary) bool { return c.Status.Rollout != nil && c.Status.CanaryWeight > 0 })
	p.sameServing(p.midway, pods[p.midway], "while Sluice took over")
	p.wait("users ask for a while")
	for _, a := range p.apps {
		p.unharmed(a, "taken over", since, time.Time{})
		if a == p.midway {
			continue
		}
		p.sameServing(a, pods[a], "while Sluice took over")
		p.idle(a)
		p.never(a, "something was rolled out that had not changed", since, func(m harness.Moment) bool { return m.Phase() != phases[a] || m.RouteWeight > 0 })
	}
}

// sluiceRules rolls out a change of each application.
func (p *play) sluiceRules() {
	since := time.Now()
	for _, a := range p.apps {
		if a != p.midway {
			p.deploy(a, "v3")
		}
	}
	for _, a := range p.apps {
		version := "v3"
		if a == p.midway {
			version = "v2"
		}
		c := p.until(a, "is promoted or has failed", func(c *v1beta1.Canary) bool {
			over := c.Status.Rollout == nil && c.Status.PromotedRevision != a.inherited
			return over || c.Status.Phase == v1beta1.PhaseFailed && a != p.failed
		})
		if c.Status.Phase != v1beta1.PhaseSucceeded {
			p.Fatalf("%s: the rollout by Sluice ended as %s: %+v", a.Name, c.Status.Phase, c.Status.Checks)
		}
		p.primaryRuns(a, version)
		p.unharmed(a, "rolled out by Sluice", since, time.Time{})
	}
}

// flaggerComesBack removes Sluice and starts Flagger again.
func (p *play) flaggerComesBack() {
	pods := map[*app]map[types.UID]int32{}
	for _, a := range p.apps {
		pods[a] = p.serving(a)
	}
	since := time.Now()
	p.kubectl("delete", "namespace", harness.SluiceNamespace, "--timeout=3m")
	for _, a := range p.apps {
		// Flagger ends the deletion of a Canary with this finalizer only if it has revertOnDeletion.
		p.kubectl("-n", a.key.Namespace, "patch", "canary", a.Name, "--type=merge", `--patch={"metadata":{"finalizers":null}}`)
	}
	p.ok(p.stage.ApplyFlaggerCRDs(p.ctx))
	p.ok(p.stage.StartFlagger(p.ctx))
	promoting := func(m harness.Moment) bool { return m.Phase() == v1beta1.PhasePromoting }
	progressing := func(m harness.Moment) bool { return m.Phase() == v1beta1.PhaseProgressing }
	for _, a := range p.apps {
		p.eventually(a.Name+": Flagger has looked at it", func() bool { return !a.when(since, progressing).IsZero() })
		// It analyses what Sluice promoted once more.
		if a.when(since, promoting).IsZero() {
			p.sameServing(a, pods[a], "before Flagger promoted anything")
		}
	}
	for _, a := range p.apps {
		p.in(a, v1beta1.PhaseSucceeded)
		until := time.Time{}
		if a == p.agent {
			// Flagger replaces the pod of a node before the next one is there.
			until = a.when(since, promoting)
		}
		p.unharmed(a, "back with Flagger", since, until)
	}
	settled := time.Now()
	p.wait("users ask for a while")
	for _, a := range p.apps {
		p.never(a, "Flagger analysed it twice", settled, progressing)
	}
	p.deploy(p.promoted, "v4")
	p.until(p.promoted, "is rolled out by Flagger", func(c *v1beta1.Canary) bool { return c.Status.Phase == v1beta1.PhaseProgressing })
	p.in(p.promoted, v1beta1.PhaseSucceeded)
	p.primaryRuns(p.promoted, "v4")
	p.unharmed(p.promoted, "a change by Flagger", settled, time.Time{})
	p.kubectl("-n", harness.TestNamespace, "delete", "canary", p.services.Name, "--timeout=2m")
}

func (p *play) ok(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

// kubectl runs kubectl and returns what it prints.
func (p *play) kubectl(args ...string) string {
	p.Helper()
	out, err := p.stage.Cluster.Kubectl(p.ctx, "", args...)
	p.ok(err)
	return strings.TrimSpace(out)
}

// wait lets users of all ask for longer than anything that still might happen takes.
func (p *play) wait(what string) {
	p.Helper()
	asked := len(p.promoted.users.Recording().Results)
	p.eventually(what, func() bool { return len(p.promoted.users.Recording().Results) > asked+aWhile })
}

// eventually polls for a condition that no watch tells.
func (p *play) eventually(what string, done func() bool) {
	p.Helper()
	deadline, tick := time.NewTimer(soon), time.NewTicker(100*time.Millisecond)
	defer deadline.Stop()
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			p.Fatalf("not within %s: %s", soon, what)
		}
	}
}
