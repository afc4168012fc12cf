// Command sluice is the controller and its operator's tools in one binary: the controller with its admission webhook, the emergency exit and
// the version.
//
// What lives here: flags, logging, the wiring of the edges and the order of starting and stopping. What never may: anything that decides about
// a rollout, an admission request, a route or a check.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// version is stamped by the build; the manifests name the same one.
var version = "v0.1.0"

// command is one subcommand. bind declares its flags and returns what runs once they are parsed.
type command struct {
	name, summary string
	bind          func(fs *flag.FlagSet, out io.Writer) func(ctx context.Context) error
}

// commands lists the subcommands in the order of the help; the first is the default.
func commands() []command {
	return []command{
		{"controller", "run the controller and the admission webhook (the default)", bindController},
		{"exit", "emergency exit: take Sluice out of the way and give every application back", bindExit},
		{"version", "print the version", bindVersion},
	}
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run carries out a command line and returns the exit status: 0, 1 for a failure, 2 for a command line that makes no sense.
func run(args []string, stdout, stderr io.Writer) int {
	cmd, args, err := choose(args)
	if errors.Is(err, flag.ErrHelp) {
		usage(stdout)
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "sluice: %v\n", err)
		return 2
	}
	fs := flag.NewFlagSet("sluice "+cmd.name, flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() { describe(fs, cmd, stdout) }
	execute := cmd.bind(fs, stdout)
	err = fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case fs.NArg() > 0:
		fmt.Fprintf(stderr, "sluice %s: unexpected argument %q; flags are written -name=value\n", cmd.name, fs.Arg(0))
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// From the first signal on, a second one ends the process at once.
	context.AfterFunc(ctx, stop)
	if err := execute(ctx); err != nil {
		fmt.Fprintf(stderr, "sluice %s: %v\n", cmd.name, err)
		return 1
	}
	return 0
}

// choose splits the command line into the subcommand and its arguments. Flags without a subcommand are the controller's, as in Flagger.
func choose(args []string) (command, []string, error) {
	all := commands()
	if len(args) == 0 {
		return all[0], nil, nil
	}
	switch first := args[0]; {
	case first == "help" || first == "-h" || first == "-help" || first == "--help":
		return command{}, nil, flag.ErrHelp
	case len(first) > 0 && first[0] == '-':
		return all[0], args, nil
	default:
		for _, cmd := range all {
			if cmd.name == first {
				return cmd, args[1:], nil
			}
		}
		return command{}, nil, fmt.Errorf("command %q is unknown: see sluice --help", first)
	}
}

func usage(w io.Writer) {
	fmt.Fprintf(w, "Sluice %s guards how changes of Kubernetes workloads reach users.\n\nUsage:\n  sluice COMMAND [flags]\n\nCommands:\n", version)
	for _, cmd := range commands() {
		fmt.Fprintf(w, "  %-12s %s\n", cmd.name, cmd.summary)
	}
	fmt.Fprintln(w, "\nThe flags of a command: sluice COMMAND --help")
}

func describe(fs *flag.FlagSet, cmd command, w io.Writer) {
	fmt.Fprintf(w, "sluice %s: %s\n\nFlags:\n", cmd.name, cmd.summary)
	fs.SetOutput(w)
	fs.PrintDefaults()
}

func bindVersion(_ *flag.FlagSet, out io.Writer) func(context.Context) error {
	return func(context.Context) error {
		_, err := fmt.Fprintln(out, version)
		return err
	}
}
