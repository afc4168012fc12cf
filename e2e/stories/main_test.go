//go:build e2e

package stories

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/harness"
)

// clusterName is the stories' own cluster, unless CLUSTER names another.
const clusterName = "stories"

// quickLease lets a rollout wait for seconds only when its leader is killed. One on a busy machine must not lose a lease that it has.
var quickLease = []string{"-leader-election-lease-duration=10s", "-leader-election-renew-deadline=9s", "-leader-election-retry-period=1s"}

// all bounds the stories together.
const all = 40 * time.Minute

// stage is the cluster that all stories are played on.
var stage *harness.Harness

func TestMain(m *testing.M) { os.Exit(perform(m)) }

func perform(m *testing.M) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, all)
	defer cancel()
	name := os.Getenv("CLUSTER")
	if name == "" {
		name = clusterName
	}
	c, err := cluster.Start(ctx, cluster.Options{Name: name, Log: os.Stderr, EndWithParent: true})
	if err != nil {
		fmt.Fprintln(os.Stderr, "start the cluster:", err)
		return 1
	}
	if c.Started() {
		defer func() {
			// Also after an interrupt: what the stories started, they end.
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
			defer cancel()
			if err := c.Stop(ending); err != nil {
				fmt.Fprintln(os.Stderr, "stop the cluster:", err)
			}
		}()
	}
	if stage, err = harness.Up(ctx, c, harness.Options{Log: os.Stderr, SluiceArgs: quickLease}); err != nil {
		fmt.Fprintln(os.Stderr, "install everything:", err)
		return 1
	}
	if err := stage.SetWebhookTimeout(ctx, harness.PatientTimeout); err != nil {
		fmt.Fprintln(os.Stderr, "give webhooks more time:", err)
		return 1
	}
	return recap(m.Run)
}
