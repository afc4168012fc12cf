package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/cluster/addons"
	"github.com/sluice-dev/sluice/e2e/tools"
)

const defaultLogLines = 100

func up(ctx context.Context, in invocation) error {
	start := time.Now()
	c, err := cluster.Start(ctx, cluster.Options{Name: in.name, Log: in.stderr})
	if err != nil {
		return err
	}
	if !c.Started() {
		fmt.Fprintf(in.stdout, "cluster %s is already running\n", c.Name())
	} else {
		fmt.Fprintf(in.stdout, "cluster %s is up after %s\n", c.Name(), time.Since(start).Round(100*time.Millisecond))
	}
	fmt.Fprintf(in.stdout, "to use it: export KUBECONFIG=%s\n", c.KubeconfigPath())
	return nil
}

func down(ctx context.Context, in invocation) error {
	if os.Getenv(cluster.EnvKubeconfig) != "" {
		return fmt.Errorf("%s is set: an existing cluster is not taken down from here", cluster.EnvKubeconfig)
	}
	if err := cluster.Down(ctx, in.name, in.stderr); err != nil {
		return err
	}
	fmt.Fprintf(in.stdout, "cluster %s is down\n", in.name)
	return nil
}

func restart(ctx context.Context, in invocation) error {
	start := time.Now()
	c, err := cluster.Open(ctx, in.name)
	if err != nil {
		return err
	}
	if err := c.Restart(ctx, in.stderr); err != nil {
		return err
	}
	fmt.Fprintf(in.stdout, "cluster %s is up again after %s\n", c.Name(), time.Since(start).Round(100*time.Millisecond))
	return nil
}

func status(ctx context.Context, in invocation) error {
	c, err := cluster.Open(ctx, in.name)
	if errors.Is(err, cluster.ErrNotRunning) {
		fmt.Fprintf(in.stdout, "cluster %s is not running\n", in.name)
		return exitStatus(1)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(in.stdout, "cluster %s is running\nkubeconfig: %s\nlogs:       %s\n\n", c.Name(), c.KubeconfigPath(), c.LogDir())
	for _, args := range [][]string{{"get", "nodes", "-o", "wide"}, {"get", "pods", "-A"}} {
		out, err := c.Kubectl(ctx, "", append(args, "--request-timeout=10s")...)
		if err != nil {
			return err
		}
		fmt.Fprintln(in.stdout, out)
	}
	return nil
}

func list(ctx context.Context, in invocation) error {
	names, err := cluster.List()
	if err != nil {
		return err
	}
	for _, name := range names {
		state := "running"
		if _, err := cluster.Open(ctx, name); err != nil {
			state = "not running"
		}
		fmt.Fprintf(in.stdout, "%-32s %s\n", name, state)
	}
	return nil
}

func kubeconfig(ctx context.Context, in invocation) error {
	c, err := cluster.Open(ctx, in.name)
	if err != nil {
		return err
	}
	fmt.Fprintln(in.stdout, c.KubeconfigPath())
	return nil
}

func logs(_ context.Context, in invocation) error {
	dir, err := cluster.LogDir(in.name)
	if err != nil {
		return err
	}
	if len(in.args) == 0 {
		found, err := filepath.Glob(filepath.Join(dir, "*.log"))
		if err != nil {
			return err
		}
		for _, path := range found {
			fmt.Fprintln(in.stdout, strings.TrimSuffix(filepath.Base(path), ".log"))
		}
		return nil
	}
	lines := defaultLogLines
	if len(in.args) > 1 {
		if lines, err = strconv.Atoi(in.args[1]); err != nil || lines < 1 {
			return fmt.Errorf("number of lines %q is not a positive number", in.args[1])
		}
	}
	path := filepath.Join(dir, filepath.Base(in.args[0])+".log")
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("log of %s (\"cluster logs\" lists the components): %w", in.args[0], err)
	}
	all := strings.SplitAfter(string(data), "\n")
	_, err = io.WriteString(in.stdout, strings.Join(all[max(0, len(all)-1-lines):], ""))
	return err
}

func loadImage(ctx context.Context, in invocation) error {
	if len(in.args) == 0 {
		return fmt.Errorf("name at least one archive")
	}
	c, err := cluster.Open(ctx, in.name)
	if err != nil {
		return err
	}
	for _, archive := range in.args {
		if err := c.LoadImage(ctx, archive); err != nil {
			return err
		}
		fmt.Fprintf(in.stdout, "loaded %s\n", archive)
	}
	return nil
}

func loadTool(ctx context.Context, in invocation) error {
	if len(in.args) != 3 {
		return fmt.Errorf("give group, program and reference, such as: containerd ctr local/ctr:1")
	}
	c, err := cluster.Open(ctx, in.name)
	if err != nil {
		return err
	}
	if err := c.LoadTool(ctx, in.stderr, in.args[0], in.args[1], in.args[2]); err != nil {
		return err
	}
	fmt.Fprintf(in.stdout, "loaded %s\n", in.args[2])
	return nil
}

func addon(ctx context.Context, in invocation) error {
	if len(in.args) == 0 {
		return fmt.Errorf("name at least one add-on: traefik, prometheus or metrics-server")
	}
	c, err := cluster.Open(ctx, in.name)
	if err != nil {
		return err
	}
	options := addons.Options{Log: in.stderr}
	for _, name := range in.args {
		switch name {
		case "traefik":
			err = addons.Traefik(ctx, c, options)
		case "prometheus":
			err = addons.Prometheus(ctx, c, options)
		case "metrics-server":
			err = addons.MetricsServer(ctx, c, options)
		default:
			err = fmt.Errorf("add-on %q is unknown: use traefik, prometheus or metrics-server", name)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(in.stdout, "installed %s\n", name)
	}
	return nil
}

func bin(ctx context.Context, in invocation) error {
	if len(in.args) == 0 {
		for _, g := range tools.Groups() {
			dir, built, err := tools.Dir(g)
			if err != nil {
				return err
			}
			state := "not built"
			if built {
				state = dir
			}
			fmt.Fprintf(in.stdout, "%-12s %s\n", g.Name, state)
		}
		return nil
	}
	dirs, err := tools.Build(ctx, in.stderr, in.args...)
	if err != nil {
		return err
	}
	for _, group := range in.args {
		fmt.Fprintln(in.stdout, dirs[group])
	}
	return nil
}

// execute hands over to nsenter, so that signals and the terminal belong to
// the user's command.
func execute(ctx context.Context, in invocation) error {
	if len(in.args) == 0 {
		return fmt.Errorf("name a command to run")
	}
	pid, kubeconfig, err := cluster.Inside(in.name)
	if err != nil {
		return err
	}
	args := append([]string{"--target", strconv.Itoa(pid), "--net", "--mount", "--pid", "--"}, in.args...)
	cmd := exec.CommandContext(ctx, "nsenter", args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, in.stdout, in.stderr
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exitStatus(exit.ExitCode())
	}
	return err
}

// forward listens on this machine and dials inside for each connection.
func forward(ctx context.Context, in invocation) error {
	if len(in.args) == 0 {
		return fmt.Errorf("name an address such as svc.namespace:80")
	}
	port := "0"
	if len(in.args) > 1 {
		port = in.args[1]
	}
	c, err := cluster.Open(ctx, in.name)
	if err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return fmt.Errorf("listen on local port %s: %w", port, err)
	}
	context.AfterFunc(ctx, func() { listener.Close() })
	fmt.Fprintf(in.stdout, "%s is at %s until interrupted\n", in.args[0], listener.Addr())
	for ctx.Err() == nil {
		outer, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			break
		}
		if err != nil {
			return fmt.Errorf("forward %s: %w", in.args[0], err)
		}
		go carry(ctx, c, outer, in)
	}
	return nil
}

// carry connects one connection of the user with one inside.
func carry(ctx context.Context, c *cluster.Cluster, outer net.Conn, in invocation) {
	inner, err := c.DialContext(ctx, "tcp", in.args[0])
	if err != nil {
		fmt.Fprintf(in.stderr, "cluster: %v\n", err)
		outer.Close()
		return
	}
	cluster.Pipe(outer, inner)
}
