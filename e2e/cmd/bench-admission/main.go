// Command bench-admission measures what admission by Sluice costs on a local
// API server; see package bench. The table goes to stdout, progress to stderr.
// It fails where the counts are against what is promised: calls of the webhook
// for what does not concern Sluice, or requests of Sluice for changes that it
// knows both sides of. It never fails for a time.
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

	"github.com/go-logr/logr"
	"github.com/sluice-dev/sluice/e2e/bench"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// noopCommand is how this program is called to serve the no-op webhook.
const noopCommand = "noop"

func main() {
	// The processes that are started end with the thread that started them.
	runtime.LockOSThread()
	log.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench-admission: %v\n", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench-admission", flag.ContinueOnError)
	flags.SetOutput(stderr)
	if len(args) > 0 && args[0] == noopCommand {
		return noop(ctx, flags, args[1:])
	}
	o := bench.Options{Progress: stderr}
	flags.StringVar(&o.Module, "dir", "..", "folder of Sluice's module")
	flags.StringVar(&o.Install, "install", "../dist/install.yaml", "rendered install; make manifests writes it")
	flags.IntVar(&o.Rounds, "rounds", 1500, "latency samples of each row")
	flags.IntVar(&o.Warmup, "warmup", 200, "rounds before these that do not count")
	flags.IntVar(&o.Apps, "apps", 24, "applications in each row")
	flags.IntVar(&o.Workers, "workers", 8, "changes at a time for the throughput")
	flags.IntVar(&o.Slices, "slices", 12, "times that each row has for its throughput")
	flags.DurationVar(&o.Slice, "slice", 500*time.Millisecond, "length of one such time")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.Workers < 1 || o.Apps < 2*o.Workers || o.Rounds < 1 || o.Slices < 1 {
		return fmt.Errorf("--apps=%d with --workers=%d, --rounds=%d, --slices=%d: each worker needs two applications of its own, and there is at least one of each",
			o.Apps, o.Workers, o.Rounds, o.Slices)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	o.Noop = []string{self, noopCommand}
	table, problems, err := bench.Run(ctx, o)
	if err != nil {
		return err
	}
	fmt.Fprint(stdout, table)
	if len(problems) > 0 {
		return fmt.Errorf("against what is promised:\n  %s", strings.Join(problems, "\n  "))
	}
	return nil
}

// noop serves the no-op webhook.
func noop(ctx context.Context, flags *flag.FlagSet, args []string) error {
	port := flags.Int("port", 0, "port to serve at")
	certificates := flags.String("certificates", "", "folder of tls.crt and tls.key")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return bench.Noop(ctx, *port, *certificates)
}
