// Command cluster runs a real Kubernetes on this machine; see package cluster
// for what that is. "cluster help" lists what it can do.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/sluice-dev/sluice/e2e/cluster"
)

// invocation is one call of the command.
type invocation struct {
	name   string
	args   []string
	stdout io.Writer
	stderr io.Writer
}

// command is one verb.
type command struct {
	verb, args, help string
	// hidden verbs are called by the program itself.
	hidden bool
	run    func(context.Context, invocation) error
}

// commands lists all verbs in the order of the help text.
func commands() []command {
	return []command{
		{verb: "up", help: "start the cluster if it does not run, and wait until it works", run: up},
		{verb: "down", help: "take the cluster down and remove every trace of it", run: down},
		{verb: "restart", help: "kill every process of the cluster at once and start it again on the same data", run: restart},
		{verb: "status", help: "tell whether the cluster runs, and its nodes and pods", run: status},
		{verb: "list", help: "list the clusters on this machine", run: list},
		{verb: "kubeconfig", help: "print the path of the cluster's kubeconfig", run: kubeconfig},
		{verb: "logs", args: "[component [lines]]", help: "print the end of a component's log, or list the components", run: logs},
		{verb: "load-image", args: "archive...", help: "make the images of archives available to pods", run: loadImage},
		{verb: "load-tool", args: "group program reference", help: "build a tool and make it available to pods as an image", run: loadTool},
		{verb: "addon", args: "traefik|prometheus|metrics-server...", help: "install add-ons and wait until they are ready", run: addon},
		{verb: "bin", args: "group...", help: "build tools if need be and print their folders", run: bin},
		{verb: "exec", args: "-- command...", help: "run a command inside the cluster's network, with its kubeconfig", run: execute},
		{verb: "forward", args: "host:port [localport]", help: "make an address inside the cluster reachable on 127.0.0.1 until interrupted", run: forward},
		{verb: "supervise", hidden: true, run: supervise},
		{verb: "node", hidden: true, run: runNode},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := dispatch(ctx, os.Args[1:], os.Stdout, os.Stderr)
	var status exitStatus
	switch {
	case err == nil:
	case errors.As(err, &status):
		os.Exit(int(status))
	default:
		fmt.Fprintf(os.Stderr, "cluster: %v\n", err)
		os.Exit(1)
	}
}

// exitStatus is the status of a command that was run for the user.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("status %d", int(e)) }

// endWithParent is a flag of the supervisor alone.
var endWithParent bool

func dispatch(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 || slices.Contains([]string{"help", "-h", "--help", "-help"}, args[0]) {
		usage(stdout)
		return nil
	}
	for _, c := range commands() {
		if c.verb != args[0] {
			continue
		}
		flags := flag.NewFlagSet(c.verb, flag.ContinueOnError)
		flags.SetOutput(stderr)
		name := flags.String("name", cluster.Name(), "name of the cluster; the default comes from $"+cluster.EnvName)
		if c.hidden {
			flags.BoolVar(&endWithParent, "end-with-parent", false, "end when the pipe at descriptor 3 is closed")
		}
		flags.Usage = func() {
			fmt.Fprintf(stderr, "usage: cluster %s [--name NAME] %s\n  %s\n", c.verb, c.args, c.help)
			flags.PrintDefaults()
		}
		err := flags.Parse(args[1:])
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		if err != nil {
			return err
		}
		return c.run(ctx, invocation{name: *name, args: flags.Args(), stdout: stdout, stderr: stderr})
	}
	return fmt.Errorf("unknown command %q: \"cluster help\" lists the commands", args[0])
}

func usage(w io.Writer) {
	fmt.Fprint(w, `Run a real Kubernetes cluster on this machine (Linux, root, Go).

usage: cluster COMMAND [--name NAME] [arguments]

commands:
`)
	for _, c := range commands() {
		if !c.hidden {
			fmt.Fprintf(w, "  %-36s %s\n", c.verb+" "+c.args, c.help)
		}
	}
	fmt.Fprintf(w, `
environment:
  %-18s name of the cluster (default %q); several run side by side
  %-18s kubeconfig of an existing cluster to use instead of a local one
  %-18s where that cluster finds the images, e.g. registry.example.com/tests
  %-18s folder for built tools, images and cluster state
                     (default "sluice" in the user's cache folder)
`, cluster.EnvName, cluster.DefaultName, cluster.EnvKubeconfig, cluster.EnvImagePrefix, "SLUICE_CACHE")
}
