// Command loadtester sends HTTP load to canaries, checks their answers and keeps gates, for the webhooks of a rollout. It only reads flags, sets up logging
// and hands over to the loadtester package.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sluice-dev/sluice/analysis/loadtester"
)

// options are what the flags say, under Flagger's names where Flagger has them.
type options struct {
	config      loadtester.Config
	port        int
	logLevel    string
	logEncoding string
	replace     bool

	gates, tokens, programs string
}

const usage = `Usage: loadtester [flags]

Sends HTTP load to canaries and keeps gates, called by the webhooks of a Canary.
A call to / with metadata.type cmd starts the load that metadata.cmd describes as a
hey command line, for example

  hey -z 1m -q 10 -c 2 -host app.example.com http://app-canary.test:9898/

With metadata.type http it asks metadata.url once and answers whether that went well.
Programs run only where -programs-file allows them, and there is no shell. Other paths: /gate/{approve,halt,check,open,close},
/rollback/{check,open,close}, /healthz, /metrics.

Flags:
`

// parseFlags reads the flags, or writes the help to out.
func parseFlags(args []string, out io.Writer) (options, error) {
	var o options
	set := flag.NewFlagSet("loadtester", flag.ContinueOnError)
	set.SetOutput(io.Discard) // errors are reported once, by main
	set.Usage = func() {}
	set.StringVar(&o.logLevel, "log-level", "info", "least severe level to log: debug, info, warn or error")
	set.StringVar(&o.logEncoding, "zap-encoding", "json", "how to write the log: json or console")
	set.BoolVar(&o.replace, "zap-replace-globals", false, "let libraries log through the same logger")
	set.IntVar(&o.port, "port", 9090, "port to listen on")
	set.DurationVar(&o.config.Timeout, "timeout", time.Hour, "longest time that a load task may take")
	set.StringVar(&o.config.NamespaceRegexp, "namespace-regexp", "", "serve only Canaries whose whole namespace matches; empty serves all")
	set.StringVar(&o.gates, "gates-configmap", "", "ConfigMap in the pod's own namespace that keeps the gates; empty keeps them in memory")
	set.StringVar(&o.tokens, "token-file", "", "file with lines of 'namespace: token', * for all: who may start tasks and set gates; empty allows everybody")
	set.StringVar(&o.programs, "programs-file", "", "file with the commands that tasks may run, one a line; empty runs no program")
	set.IntVar(&o.config.MaxTasks, "max-tasks", 16, "load tasks that run at once; as many checks and programs beside them")
	set.IntVar(&o.config.MaxQueue, "max-queue", 256, "load tasks that may wait")
	if err := set.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(out, usage)
			set.SetOutput(out)
			set.PrintDefaults()
			return o, err
		}
		return o, fmt.Errorf("%w, see --help", err)
	}
	if set.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q: there are flags only, see --help", set.Arg(0))
	}
	return o, nil
}

func newLogger(o options) (*zap.Logger, error) {
	level, err := zapcore.ParseLevel(o.logLevel)
	if err != nil {
		return nil, fmt.Errorf("log-level %q is unknown: use debug, info, warn or error", o.logLevel)
	}
	if o.logEncoding != "json" && o.logEncoding != "console" {
		return nil, fmt.Errorf("zap-encoding %q is unknown: use json or console", o.logEncoding)
	}
	config := zap.NewProductionConfig()
	config.Level = zap.NewAtomicLevelAt(level)
	config.Encoding = o.logEncoding
	config.EncoderConfig.TimeKey = "ts"
	config.EncoderConfig.EncodeTime = zapcore.ISO8601TimeEncoder
	return config.Build()
}

func run(args []string, out io.Writer) error {
	o, err := parseFlags(args, out)
	if err != nil {
		return err
	}
	log, err := newLogger(o)
	if err != nil {
		return err
	}
	defer func() { _ = log.Sync() }() // stderr of a container cannot be synced
	if o.replace {
		defer zap.ReplaceGlobals(log)()
	}
	o.config.Log = log
	if err := o.connect(); err != nil {
		return err
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort("", strconv.Itoa(o.port)))
	if err != nil {
		return fmt.Errorf("listen on port %d: %w", o.port, err)
	}
	return loadtester.Run(ctx, o.config, listener)
}

func main() {
	switch err := run(os.Args[1:], os.Stdout); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "loadtester:", err)
		os.Exit(1)
	}
}
