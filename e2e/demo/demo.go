package demo

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/cluster/addons"
	"github.com/sluice-dev/sluice/e2e/harness"
	"github.com/sluice-dev/sluice/e2e/traffic"
)

// ClusterName is the demo's cluster where nobody names another.
const ClusterName = "demo"

// DefaultRate of user requests per second.
const DefaultRate = 100

const (
	initTimeout    = 4 * time.Minute
	routeTimeout   = time.Minute
	noticeTimeout  = 30 * time.Second
	rolloutTimeout = 6 * time.Minute
	redrawEvery    = 500 * time.Millisecond
	lookEvery      = 200 * time.Millisecond
	// quiet is how long users are watched before and after each rollout.
	quiet = 6 * time.Second
)

//go:embed canary.yaml
var canaryManifest string

// Options for Run.
type Options struct {
	// Cluster is the name of the local cluster.
	Cluster string
	// Rate of user requests per second.
	Rate float64
	// Screen shows progress.
	Screen *Screen
	// Out takes the report.
	Out io.Writer
}

// ErrFindings means that the demo ran, and what it showed is not as it should
// be; the report tells what.
var ErrFindings = errors.New("the demo found faults")

var errInterrupted = errors.New("interrupted; the cluster goes on, and so does a rollout under way: the next run waits for its end")

// Run starts the cluster, installs everything and shows both rollouts. The
// error wraps ErrFindings if what users saw is not as promised.
func Run(ctx context.Context, o Options) error {
	begun := time.Now()
	o.Screen.Say("Starting the cluster %s and all that runs on it. The first time this builds Kubernetes and more from source.", o.Cluster)
	c, err := cluster.Start(ctx, cluster.Options{Name: o.Cluster, Log: o.Screen})
	if err != nil {
		return err
	}
	seen, app, err := perform(ctx, c, o, begun)
	o.Screen.Clear()
	if ctx.Err() != nil {
		return errInterrupted
	}
	if app != nil {
		fmt.Fprintln(o.Out)
		faults := report(o.Out, seen)
		lookAround(o.Out, c, *app)
		if err == nil && faults > 0 {
			err = fmt.Errorf("%w: %d", ErrFindings, faults)
		}
	}
	return err
}

// perform installs everything and shows both rollouts. app is nil if it did not
// get as far as that; what was seen is returned also with an error.
func perform(ctx context.Context, c *cluster.Cluster, o Options, begun time.Time) (seen []evidence, app *harness.App, err error) {
	h, err := harness.Up(ctx, c, harness.Options{Log: o.Screen})
	if err != nil {
		return nil, nil, err
	}
	d := &demonstration{harness: h, options: o, app: harness.App{Name: "podinfo"}}
	if err := d.prepare(ctx); err != nil {
		return nil, nil, err
	}
	o.Screen.Say("Everything runs after %s. Users begin to ask for %s, %.0f times a second.", time.Since(begun).Round(time.Second), d.app.Host(), o.Rate)
	seen, err = d.rollouts(ctx)
	return seen, &d.app, err
}

// demonstration is one run.
type demonstration struct {
	harness *harness.Harness
	options Options
	app     harness.App
	users   *traffic.Generator
	// number of the last version that was ever deployed.
	number int
}

// prepare brings the application to where a rollout can begin: initialised, or
// as the last run left it, with users who get answers.
func (d *demonstration) prepare(ctx context.Context) error {
	deployed, err := d.harness.DeployedVersion(ctx, d.app.Key())
	if err != nil {
		return err
	}
	if _, err := fmt.Sscanf(deployed, "v%d", &d.number); err != nil {
		d.number = 1
		d.app.Version = "v1"
		if err := d.harness.Deploy(ctx, d.app); err != nil {
			return err
		}
	}
	manifests, err := harness.Render("canary.yaml", canaryManifest, map[string]string{
		"Namespace": d.app.Key().Namespace, "Name": d.app.Name, "Host": d.app.Host(),
		"MetricsServer": harness.MetricsServer, "LoadTester": harness.LoadTester,
		"Gateway": addons.GatewayName, "GatewayNamespace": addons.GatewayNamespace,
	})
	if err != nil {
		return err
	}
	if err := d.harness.Apply(ctx, manifests); err != nil {
		return err
	}
	if err := d.openGate(ctx); err != nil {
		return err
	}
	d.options.Screen.Say("Waiting until %s is under Sluice's care", d.app.Key())
	_, err = d.harness.WaitPhase(ctx, d.app.Key(), initTimeout, v1beta1.PhaseInitialized, v1beta1.PhaseSucceeded, v1beta1.PhaseFailed)
	if err != nil {
		return err
	}
	return d.waitForAnswers(ctx)
}

// openGate opens the gate that each rollout asks before it begins, as a release
// manager would.
func (d *demonstration) openGate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, routeTimeout)
	defer cancel()
	body := fmt.Sprintf(`{"name":%q,"namespace":%q}`, d.app.Name, d.app.Key().Namespace)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, harness.LoadTester+"/gate/open", strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("open the release gate: %w", err)
	}
	transport := &http.Transport{DialContext: d.harness.Cluster.DialContext, DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return fmt.Errorf("open the release gate: %w", err)
	}
	response.Body.Close()
	if response.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("open the release gate: the load tester answered %s", response.Status)
	}
	return nil
}

// waitForAnswers waits until the gateway knows the route.
func (d *demonstration) waitForAnswers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, routeTimeout)
	defer cancel()
	config := d.harness.Users(d.app)
	config.Rate = 5
	probe, err := traffic.Start(ctx, config)
	if err != nil {
		return err
	}
	defer probe.Stop()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		results := probe.Recording().Results
		if n := len(results); n >= 5 && len((traffic.Recording{Results: results[n-5:]}).Failures()) == 0 {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("users get no answers through the gateway: %s\n%s",
				probe.Recording().Summary().Failure(), d.harness.Report(ctx, d.app.Key()))
		}
	}
}

// rollouts shows a good version and a bad one. It returns what was seen also
// when it had to give up.
func (d *demonstration) rollouts(ctx context.Context) ([]evidence, error) {
	config := d.harness.Users(d.app)
	config.Rate = d.options.Rate
	users, err := traffic.Start(ctx, config)
	if err != nil {
		return nil, err
	}
	d.users = users
	defer users.Stop()
	var seen []evidence
	for _, bad := range []bool{false, true} {
		e, err := d.rollout(ctx, bad)
		seen = append(seen, e)
		if err != nil {
			return seen, err
		}
	}
	return seen, nil
}

// report writes everything and returns the number of faults.
func report(w io.Writer, seen []evidence) int {
	var faults []string
	for _, e := range seen {
		e.print(w)
		fmt.Fprintln(w)
		for _, f := range e.findings() {
			faults = append(faults, e.version+": "+f)
		}
	}
	if len(faults) == 0 && len(seen) == 2 {
		fmt.Fprintln(w, "No user request failed because of the good version, shares followed the weights, and of the bad version users saw nothing but its step.")
	}
	for _, f := range faults {
		fmt.Fprintf(w, "FAULT  %s\n", f)
	}
	return len(faults)
}

func lookAround(w io.Writer, c *cluster.Cluster, app harness.App) {
	kubectl := "kubectl"
	if path, err := c.Bin("kubectl"); err == nil {
		kubectl = path
	}
	namespace := app.Key().Namespace
	fmt.Fprintf(w, `
The cluster is kept. To look around:
  export KUBECONFIG=%s
  alias kubectl=%s
  kubectl -n %s get canaries,deployments,pods,httproutes
  kubectl -n %s describe canary %s
  kubectl -n %s logs deployment/sluice
"make demo" shows two more versions, "make demo-down" removes the cluster.
`, c.KubeconfigPath(), kubectl, namespace, namespace, app.Name, harness.SluiceNamespace)
}
