package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/harness"
)

// Options of a run.
type Options struct {
	// Cluster is the name of the local cluster, which is started for the run and
	// taken down after it.
	Cluster string
	// Canaries that are there at once, at least 2.
	Canaries int
	// Lifecycle of their primaries.
	Lifecycle v1beta1.Lifecycle
	// Idle is how long nothing happens while requests are counted, at least 1s.
	Idle time.Duration
	// Progress is told what happens.
	Progress io.Writer
}

// bench is a run on its cluster.
type bench struct {
	Options
	// dir takes kwok's log.
	dir     string
	cluster *cluster.Cluster
	sluice  *harness.Harness
	client  client.WithWatch
	names   []string
}

// Run measures and returns the table, and what is against the promises. Call it
// from a goroutine that keeps its thread.
func Run(ctx context.Context, o Options) (table string, problems []string, err error) {
	if os.Getenv(cluster.EnvKubeconfig) != "" {
		return "", nil, fmt.Errorf("%s is set: the bench plays a node, which it does on a cluster of its own only", cluster.EnvKubeconfig)
	}
	dir, err := os.MkdirTemp("", "bench-fleet-")
	if err != nil {
		return "", nil, err
	}
	// Kwok ends with this context.
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		if err == nil {
			_ = os.RemoveAll(dir)
		} else {
			fmt.Fprintf(o.Progress, "the log of kwok is in %s\n", dir)
		}
	}()
	c, err := cluster.Start(ctx, cluster.Options{Name: o.Cluster, Log: o.Progress, EndWithParent: true})
	if err != nil {
		return "", nil, err
	}
	if !c.Started() {
		return "", nil, fmt.Errorf("cluster %s runs already: take it down, or name another; what else it runs would be measured", o.Cluster)
	}
	defer func() { err = errors.Join(err, c.Stop(context.WithoutCancel(ctx))) }()
	h, err := harness.Connect(c, harness.Options{Log: o.Progress})
	if err != nil {
		return "", nil, err
	}
	b := &bench{Options: o, dir: dir, cluster: c, sluice: h, client: h.Client, names: names(o.Canaries)}
	r, err := b.measure(ctx)
	if err != nil {
		return "", nil, err
	}
	return r.render(), r.judge(), nil
}

// load is the machine's: how many processes ran or wanted to, over the last
// minute.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	minute, _, _ := strings.Cut(string(text), " ")
	return minute
}

// measure takes all figures, one phase after the other: what Kubernetes needs
// by itself comes first, while Sluice has no Canary to care for.
func (b *bench) measure(ctx context.Context) (*result, error) {
	if err := b.sluice.InstallSluice(ctx); err != nil {
		return nil, fmt.Errorf("install Sluice: %w", err)
	}
	if err := b.startKwok(ctx); err != nil {
		return nil, err
	}
	if err := b.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		return nil, fmt.Errorf("make the namespace of the applications: %w", err)
	}
	r := &result{canaries: b.Canaries, lifecycle: b.Lifecycle}
	alone := b.names[:1]
	for _, p := range []struct {
		into *phase
		what string
		do   func(context.Context) (spans, error)
	}{
		{&r.podsStart, "starting the applications", func(ctx context.Context) (spans, error) { return b.startApps(ctx) }},
		{&r.podsRollOne, "rolling one application without a Canary", func(ctx context.Context) (spans, error) { return b.rollApps(ctx, alone, "2") }},
		{&r.podsRollAll, "rolling all applications without Canaries", func(ctx context.Context) (spans, error) { return b.rollApps(ctx, b.names, "3") }},
		{&r.initialise, "initialising the Canaries", b.initialise},
		{&r.idle, fmt.Sprintf("watching all of them being idle for %s", b.Idle), func(ctx context.Context) (spans, error) { return b.rest(ctx, r) }},
		{&r.one, "rolling out one", func(ctx context.Context) (spans, error) { return b.rollOut(ctx, r, alone, "4") }},
		{&r.speed.phase, "following a way back and a change taken back", func(ctx context.Context) (spans, error) { return b.follow(ctx, r) }},
		{&r.all, "rolling out all", func(ctx context.Context) (spans, error) { return b.rollOut(ctx, r, b.names, "5") }},
	} {
		if err := b.take(ctx, p.into, p.what, p.do); err != nil {
			return nil, fmt.Errorf("%s: %w", p.what, err)
		}
	}
	var err error
	r.admissions, err = b.sluice.Admissions(ctx)
	return r, err
}

// take waits until Sluice has nothing more to do, and then measures a phase.
func (b *bench) take(ctx context.Context, p *phase, what string, do func(context.Context) (spans, error)) error {
	if err := b.quiet(ctx); err != nil {
		return err
	}
	fmt.Fprintln(b.Progress, what)
	before, err := b.read(ctx)
	if err != nil {
		return err
	}
	watching, stop := context.WithCancel(ctx)
	peak := b.followMemory(watching)
	p.spans, err = do(ctx)
	p.load = load()
	stop()
	p.resident = <-peak
	if err != nil {
		return err
	}
	// What a rollout leaves to be told or swept belongs to it.
	if err := b.quiet(ctx); err != nil {
		return err
	}
	after, err := b.read(ctx)
	if err != nil {
		return err
	}
	p.requests, p.cpu, p.resident = after.requests.Minus(before.requests), after.usage.CPU-before.usage.CPU, max(p.resident, after.usage.Resident)
	p.lasted = after.at.Sub(before.at)
	fmt.Fprintf(b.Progress, "  %s\n", p.line())
	return nil
}

// startApps creates the applications.
func (b *bench) startApps(ctx context.Context) (spans, error) {
	begun := time.Now()
	if err := each(b.names, func(name string) error { return b.client.Create(ctx, newApp(name)) }); err != nil {
		return spans{}, err
	}
	ended, err := b.await(ctx, &appsv1.DeploymentList{}, "all applications run", b.names, rolledOut)
	return spansFrom(begun, nil, ended), err
}

// rollApps has Kubernetes replace the pods of applications without Canaries.
func (b *bench) rollApps(ctx context.Context, which []string, version string) (spans, error) {
	begun, sent, err := b.changeAll(ctx, which, version)
	if err != nil {
		return spans{}, err
	}
	ended, err := b.await(ctx, &appsv1.DeploymentList{}, "the changed applications run", which, rolledOut)
	return spansFrom(begun, sent, ended), err
}

// initialise creates the Canaries.
func (b *bench) initialise(ctx context.Context) (spans, error) {
	begun := time.Now()
	if err := each(b.names, func(name string) error { return b.client.Create(ctx, newCanary(name, b.Lifecycle)) }); err != nil {
		return spans{}, err
	}
	ended, err := b.await(ctx, &v1beta1.CanaryList{}, "all Canaries are initialised", b.names, initialised)
	return spansFrom(begun, nil, ended), err
}

// rollOut changes applications and follows their Canaries.
func (b *bench) rollOut(ctx context.Context, r *result, which []string, version string) (spans, error) {
	var before v1beta1.CanaryList
	if err := b.client.List(ctx, &before, client.InNamespace(namespace)); err != nil {
		return spans{}, err
	}
	had := map[string]string{}
	for _, c := range before.Items {
		had[c.Name] = c.Status.PromotedRevision
	}
	begun, sent, err := b.changeAll(ctx, which, version)
	if err != nil {
		return spans{}, err
	}
	ended, err := b.await(ctx, &v1beta1.CanaryList{}, "all rollouts have ended", which, promoted(had))
	if err != nil {
		return spans{}, err
	}
	var after v1beta1.CanaryList
	if err := b.client.List(ctx, &after, client.InNamespace(namespace)); err != nil {
		return spans{}, err
	}
	r.rollouts = append(r.rollouts, outcomes(had, which, after.Items)...)
	return spansFrom(begun, sent, ended), nil
}

// changeAll gives applications a version, a few at a time, and returns when the
// first was sent and when each was.
func (b *bench) changeAll(ctx context.Context, which []string, version string) (begun time.Time, sent map[string]time.Time, err error) {
	begun, times := time.Now(), newTimes()
	err = each(which, func(name string) error {
		times.set(name, time.Now())
		return b.change(ctx, name, version)
	})
	return begun, times.at, err
}

// rest lets nothing happen.
func (b *bench) rest(ctx context.Context, r *result) (spans, error) {
	before, err := b.sluice.SluiceRequests(ctx)
	if err != nil {
		return spans{}, err
	}
	r.watches = before.Watches
	timer := time.NewTimer(b.Idle)
	defer timer.Stop()
	select {
	case <-timer.C:
		return spans{}, nil
	case <-ctx.Done():
		return spans{}, context.Cause(ctx)
	}
}
