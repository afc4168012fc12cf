//go:build e2e

package takeover

import (
	_ "embed"
	"fmt"
	"maps"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/harness"
	"github.com/sluice-dev/sluice/e2e/traffic"
)

//go:embed canary.yaml
var canaryTemplate string

// The providers that the local cluster can serve.
const (
	gateway  = "gatewayapi:v1"
	services = "kubernetes"
)

// rate of each application's users, a second.
const rate = 20

// app is one application with its Canary and its users.
type app struct {
	harness.App
	provider string
	// long is an analysis of many steps, to be met in the middle of one.
	long bool

	// inherited is the revision that Sluice has taken over.
	inherited string

	key      types.NamespacedName
	timeline *harness.Timeline
	users    *traffic.Generator
}

// deploy applies a version; one that starts with "bad" answers HTTP 500.
func (p *play) deploy(a *app, version string) {
	p.Helper()
	next := a.App
	next.Version, next.Broken = version, strings.HasPrefix(version, "bad")
	p.ok(p.stage.Deploy(p.ctx, next))
}

// adopt applies the application's Canary.
func (p *play) adopt(a *app) {
	p.Helper()
	text, err := harness.Render("canary.yaml", canaryTemplate, struct {
		harness.App
		Host, Provider, LoadTester string
		Long                       bool
	}{a.App, a.Host(), a.provider, harness.LoadTester, a.long})
	p.ok(err)
	p.ok(p.stage.Apply(p.ctx, text))
}

// ask lets users ask until the test ends: through the gateway, or the Service itself.
func (p *play) ask(a *app) {
	p.Helper()
	config := p.stage.Users(a.App)
	config.Rate = rate
	if a.provider == services {
		config.URL, config.Host = fmt.Sprintf("http://%s.%s/", a.key.Name, a.key.Namespace), ""
	}
	users, err := traffic.Start(p.ctx, config)
	p.ok(err)
	a.users = users
	p.Cleanup(func() { users.Stop() })
	p.eventually(a.Name+": users are answered", func() bool {
		results := users.Recording().Results
		return len(results) > 5 && !results[len(results)-1].Failed()
	})
}

// until waits for a state of the application's Canary.
func (p *play) until(a *app, what string, done func(*v1beta1.Canary) bool) *v1beta1.Canary {
	p.Helper()
	c, err := p.stage.WaitCanary(p.ctx, a.key, what, rollout, done)
	p.ok(err)
	return c
}

// in waits for a phase in which nothing of Sluice's is under way.
func (p *play) in(a *app, phase v1beta1.CanaryPhase) *v1beta1.Canary {
	p.Helper()
	return p.until(a, "is "+string(phase), func(c *v1beta1.Canary) bool { return c.Status.Phase == phase && c.Status.Rollout == nil })
}

// serving are the primary's pods by UID, with the restarts of their containers.
func (p *play) serving(a *app) map[types.UID]int32 {
	p.Helper()
	var pods corev1.PodList
	p.ok(p.stage.Client.List(p.ctx, &pods, client.InNamespace(a.key.Namespace), client.MatchingLabels{"app": a.key.Name + "-primary"}))
	out := map[types.UID]int32{}
	for _, pod := range pods.Items {
		restarts := int32(0)
		for _, s := range pod.Status.ContainerStatuses {
			restarts += s.RestartCount
		}
		out[pod.UID] = restarts
	}
	return out
}

// sameServing fails the test if any pod of the primary was replaced or restarted.
func (p *play) sameServing(a *app, before map[types.UID]int32, when string) {
	p.Helper()
	if after := p.serving(a); len(after) == 0 || !maps.Equal(before, after) {
		p.Errorf("%s: the primary's pods were replaced or restarted %s: before %v, after %v", a.Name, when, before, after)
	}
}

// idle fails the test if the target runs pods.
func (p *play) idle(a *app) {
	p.Helper()
	var pods corev1.PodList
	p.ok(p.stage.Client.List(p.ctx, &pods, client.InNamespace(a.key.Namespace), client.MatchingLabels{"app": a.key.Name}))
	if len(pods.Items) > 0 {
		p.Errorf("%s: the target runs %d pods", a.Name, len(pods.Items))
	}
}

// primaryRuns fails the test if the primary has another version.
func (p *play) primaryRuns(a *app, version string) {
	p.Helper()
	got, err := p.stage.DeployedVersion(p.ctx, types.NamespacedName{Namespace: a.key.Namespace, Name: a.key.Name + "-primary"})
	p.ok(err)
	if got != version {
		p.Errorf("%s: the primary runs %q, not %q", a.Name, got, version)
	}
}

// unharmed fails the test if any user was failed in a time; a zero end is now.
func (p *play) unharmed(a *app, what string, from, to time.Time) {
	p.Helper()
	summary := a.users.Recording().Between(from, to).Summary()
	p.Logf("%s, %s: %d user requests, %d failed", what, a.Name, summary.Requests, summary.Failed)
	if summary.Failed > 0 || summary.Requests == 0 {
		p.Errorf("%s, %s: %d of %d user requests failed: %s", what, a.Name, summary.Failed, summary.Requests, summary.Failure())
	}
}

// never fails the test if a Canary was seen in a state since a time.
func (p *play) never(a *app, what string, since time.Time, unwanted func(harness.Moment) bool) {
	p.Helper()
	for _, m := range a.timeline.Since(since) {
		if m.Canary != nil && unwanted(m) {
			p.Errorf("%s: %s at %s: phase %s, weight %d", a.Name, what, m.At.Format(time.TimeOnly), m.Phase(), m.RouteWeight)
			return
		}
	}
}

// when is the first time since another at which a Canary was seen in a state; zero if it never was.
func (a *app) when(since time.Time, wanted func(harness.Moment) bool) time.Time {
	for _, m := range a.timeline.Since(since) {
		if m.Canary != nil && m.At.After(since) && wanted(m) {
			return m.At
		}
	}
	return time.Time{}
}
