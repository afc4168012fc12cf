package cluster

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/sluice-dev/sluice/e2e/cluster/internal/node"
	"github.com/sluice-dev/sluice/e2e/cluster/internal/state"
	"github.com/sluice-dev/sluice/e2e/cluster/internal/supervisor"
)

// ParentDescriptor is where a supervisor that ends with its parent finds the
// pipe that tells of the parent's end.
const ParentDescriptor = 3

// List names the local clusters that have files on this machine, running or
// not, in alphabetical order.
func List() ([]string, error) { return state.Names() }

// LogDir is the folder of logs of a local cluster, which may have ended
// without being taken down.
func LogDir(name string) (string, error) {
	dir, err := state.Of(name)
	if err != nil {
		return "", err
	}
	if !dir.Exists() {
		return "", fmt.Errorf("cluster %q: %w", name, ErrNotRunning)
	}
	return dir.Logs(), nil
}

// Inside returns a process whose namespaces are the local cluster's, and a
// kubeconfig that works in them.
func Inside(name string) (pid int, kubeconfig string, err error) {
	dir, err := state.Of(name)
	if err != nil {
		return 0, "", err
	}
	process, alive, err := dir.LoadProcess("node")
	if err != nil {
		return 0, "", err
	}
	if !alive {
		return 0, "", fmt.Errorf("cluster %q: %w", name, ErrNotRunning)
	}
	return process.PID, dir.Path("config", "admin.kubeconfig"), nil
}

// Pipe copies between two connections until both directions have ended, and
// closes both.
func Pipe(a, b net.Conn) { node.Pipe(a, b) }

// Supervise is the whole life of a supervisor process. Only the command calls
// it; Start starts that.
func Supervise(ctx context.Context, name string, parent io.Reader, log io.Writer) error {
	dir, err := state.Of(name)
	if err != nil {
		return err
	}
	return supervisor.Run(ctx, dir, parent, log)
}

// RunNode is the whole life of a node's first process. Only the command calls
// it, started by a supervisor.
func RunNode(name string, log io.Writer) error {
	dir, err := state.Of(name)
	if err != nil {
		return err
	}
	return node.Run(dir, log)
}
