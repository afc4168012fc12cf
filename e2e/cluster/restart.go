package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/sluice-dev/sluice/e2e/cluster/internal/cgroup"
	"github.com/sluice-dev/sluice/e2e/cluster/internal/state"
	"github.com/sluice-dev/sluice/e2e/cluster/internal/supervisor"
)

// Restart ends every process of the cluster with SIGKILL at once, as a power
// failure does to a machine, and starts it again on the same data, under the
// same address and keys. It returns when the node and cluster DNS work again;
// everything else comes back by itself. An existing cluster cannot be
// restarted from here.
func (c *Cluster) Restart(ctx context.Context, log io.Writer) error {
	if c.External() {
		return fmt.Errorf("restart: the cluster of %s is not this program's to restart", EnvKubeconfig)
	}
	if log == nil {
		log = io.Discard
	}
	unlock, err := lockCluster(ctx, c.dir, log)
	if err != nil {
		return err
	}
	defer unlock()
	if err := crash(c.dir); err != nil {
		return fmt.Errorf("restart cluster %s: %w", c.name, err)
	}
	if err := afterCrash(c.dir); err != nil {
		return fmt.Errorf("restart cluster %s: %w", c.name, err)
	}
	spec, err := supervisor.Load(c.dir)
	if err != nil {
		return err
	}
	_, err = launch(ctx, c.dir, spec, Options{Name: c.name, Log: log, EndWithParent: c.endWithParent})
	return err
}

// crash kills the supervisor and the node's first process, with which the
// kernel ends all others.
func crash(dir state.Dir) error {
	for _, role := range []string{"supervisor", "node"} {
		process, _, err := dir.LoadProcess(role)
		if err != nil {
			return err
		}
		if err := process.Kill(endTimeout); err != nil {
			return err
		}
	}
	return cgroup.Remove(dir.Cgroup(), endTimeout)
}

// afterCrash removes what a machine would have lost with its memory, and what
// says how the last start went.
func afterCrash(dir state.Dir) error {
	for _, path := range []string{dir.Path("root", "run"), dir.Dialer(), dir.ContainerdSocket()} {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("clear what was in memory: %w", err)
		}
	}
	if err := os.Rename(dir.Progress(), dir.Progress()+".before"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keep the log of the last start: %w", err)
	}
	return dir.Forget()
}
