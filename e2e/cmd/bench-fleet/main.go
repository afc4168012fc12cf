// Command bench-fleet measures a hundred Canaries at once on a local cluster
// with played pods; see package fleet. The tables go to stdout, progress to
// stderr. It fails where the counts are against what is promised: a rollout
// that did not succeed, a failed admission, or requests of Sluice while nothing
// changes. It never fails for a time.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/fleet"
)

// clusterName is the bench's cluster where nobody names another.
const clusterName = "fleet"

func main() {
	// Kwok ends with the thread that started it.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench-fleet: %v\n", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench-fleet", flag.ContinueOnError)
	flags.SetOutput(stderr)
	o := fleet.Options{Cluster: clusterName, Progress: stderr}
	if set := os.Getenv(cluster.EnvName); set != "" {
		o.Cluster = set
	}
	flags.StringVar(&o.Cluster, "name", o.Cluster, "name of the cluster, which must not run; $"+cluster.EnvName+" sets the default")
	flags.IntVar(&o.Canaries, "canaries", 100, "Canaries at once, 2 to 1000")
	flags.DurationVar(&o.Idle, "idle", time.Minute, "how long requests are counted while nothing happens, at least 1s")
	lifecycle := flags.String("lifecycle", strings.ToLower(string(v1beta1.LifecyclePersistent)), "of the primaries: persistent or ephemeral")
	if err := flags.Parse(args); err != nil {
		return err
	}
	for _, l := range []v1beta1.Lifecycle{v1beta1.LifecyclePersistent, v1beta1.LifecycleEphemeral} {
		if strings.EqualFold(*lifecycle, string(l)) {
			o.Lifecycle = l
		}
	}
	if o.Lifecycle == "" {
		return fmt.Errorf("--lifecycle=%s: use persistent or ephemeral", *lifecycle)
	}
	if o.Canaries < 2 || o.Canaries > 1000 || o.Idle < time.Second {
		return fmt.Errorf("--canaries=%d, --idle=%s: use 2 to 1000 Canaries and at least 1s", o.Canaries, o.Idle)
	}
	tables, problems, err := fleet.Run(ctx, o)
	if err != nil {
		return err
	}
	fmt.Fprint(stdout, tables)
	if len(problems) > 0 {
		return fmt.Errorf("against what is promised:\n  %s", strings.Join(problems, "\n  "))
	}
	return nil
}
