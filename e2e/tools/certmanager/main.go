// Command certmanager runs the controllers of cert-manager that an Issuer with
// a CA of its own needs, and the CA injector, all in one process: what the
// tests of Sluice with cert-manager stand on. They are cert-manager's own, as
// released; only the choice and the wiring are made here. Its webhook, ACME
// and the other kinds of issuers are left out.
//
// What may never live here: anything that a test of Sluice could decide.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/cert-manager/cert-manager/pkg/logs"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

func main() {
	// A library has taken the name of the flag in the program's own set.
	flags := flag.NewFlagSet("certmanager", flag.ExitOnError)
	kubeconfig := flags.String("kubeconfig", "", "file that tells how to reach the API server as one who may do everything; required")
	_ = flags.Parse(os.Args[1:]) // it exits
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *kubeconfig); err != nil {
		fmt.Fprintf(os.Stderr, "certmanager: %v\n", err)
		os.Exit(1)
	}
}

// run returns when the context ends or a controller gives up.
func run(ctx context.Context, kubeconfig string) error {
	if kubeconfig == "" {
		return fmt.Errorf("-kubeconfig is empty: name the file")
	}
	log.SetLogger(klog.Background())
	ctx = logs.NewContext(ctx, klog.Background())
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	for _, start := range []func(context.Context, string, context.CancelCauseFunc) error{startIssuing, startInjecting} {
		if err := start(running, kubeconfig, stop); err != nil {
			return err
		}
	}
	<-running.Done()
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(running)
}
