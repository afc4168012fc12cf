// Command demo shows a good version promoted and a bad one rolled back under
// live traffic on a local cluster; see package demo for what it does. It ends
// with status 1 if that could not be shown, or anything was not as promised.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/demo"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	name := demo.ClusterName
	if set := os.Getenv(cluster.EnvName); set != "" {
		name = set
	}
	flags.StringVar(&name, "name", name, "name of the cluster; $"+cluster.EnvName+" sets the default")
	rate := flags.Float64("rate", demo.DefaultRate, "user requests per second, 10 to 200")
	down := flags.Bool("down", false, "remove the cluster instead")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *rate < 10 || *rate > 200 {
		return fmt.Errorf("-rate=%v: use 10 to 200; fewer requests tell nothing about shares, more are a load test", *rate)
	}
	if *down {
		if os.Getenv(cluster.EnvKubeconfig) != "" {
			return fmt.Errorf("%s is set: an existing cluster is not removed from here", cluster.EnvKubeconfig)
		}
		if err := cluster.Down(ctx, name, os.Stderr); err != nil {
			return err
		}
		fmt.Printf("The cluster %s is gone.\n", name)
		return nil
	}
	return demo.Run(ctx, demo.Options{
		Cluster: name,
		Rate:    *rate,
		Screen:  demo.NewScreen(os.Stdout, os.Getenv, time.Now),
		Out:     os.Stdout,
	})
}
