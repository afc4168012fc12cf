package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/e2e/cluster/internal/cgroup"
	"github.com/sluice-dev/sluice/e2e/cluster/internal/state"
	"golang.org/x/sys/unix"
)

const endTimeout = 20 * time.Second

// Stop takes the cluster down and removes its files, whoever started it. An
// existing cluster is left alone.
func (c *Cluster) Stop(ctx context.Context) error {
	if c.External() {
		return nil
	}
	return Down(ctx, c.name, io.Discard)
}

// Down takes the named local cluster down, in whatever state it is, and
// removes every trace: processes, mounts, control groups, network, files. No
// such cluster is no error.
func Down(ctx context.Context, name string, log io.Writer) error {
	dir, err := state.Of(name)
	if err != nil {
		return err
	}
	unlock, err := lockCluster(ctx, dir, log)
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.RemoveAll(failedLogs(dir)); err != nil {
		return fmt.Errorf("take cluster %s down: %w", name, err)
	}
	return remove(dir)
}

// remove ends and removes whatever there is of a cluster. It relies on nothing
// but the state folder, so it also works after a crash at any point.
func remove(dir state.Dir) error {
	if dir.Exists() {
		if err := endProcesses(dir); err != nil {
			return fmt.Errorf("take cluster %s down: %w", dir.Name, err)
		}
	}
	if os.Geteuid() == 0 {
		if err := cgroup.Remove(dir.Cgroup(), endTimeout); err != nil {
			return fmt.Errorf("take cluster %s down: %w", dir.Name, err)
		}
	}
	if mounts := mountsBelow(dir.Root); len(mounts) > 0 {
		return fmt.Errorf("take cluster %s down: there are mounts below its folder, which a cluster never makes there; unmount them and try again: %s",
			dir.Name, strings.Join(mounts, ", "))
	}
	if err := os.RemoveAll(dir.Root); err != nil {
		return fmt.Errorf("take cluster %s down: %w", dir.Name, err)
	}
	return nil
}

// endProcesses asks the supervisor to end, and makes sure that it and the node
// are gone. With the node's first process the kernel ends all in its
// namespaces before that process counts as gone.
func endProcesses(dir state.Dir) error {
	supervisor, alive, err := dir.LoadProcess("supervisor")
	if err != nil {
		return err
	}
	if alive {
		if err := unix.Kill(supervisor.PID, unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("end the supervisor, process %d: %w", supervisor.PID, err)
		}
		if supervisor.WaitGone(endTimeout) != nil {
			if err := supervisor.Kill(endTimeout); err != nil {
				return err
			}
		}
	}
	node, _, err := dir.LoadProcess("node")
	if err != nil {
		return err
	}
	return node.Kill(endTimeout)
}

// mountsBelow lists the mount points of this process's namespace in a folder.
func mountsBelow(root string) []string {
	data, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil
	}
	var found []string
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) > 1 && strings.HasPrefix(fields[1], root+"/") {
			found = append(found, fields[1])
		}
	}
	return found
}
