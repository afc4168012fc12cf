package cluster

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// KillContainer sends SIGKILL to the first process of a container, by the
// identifier in the pod's status without its scheme. In an existing cluster
// nothing reaches into the node: it is an error there.
func (c *Cluster) KillContainer(ctx context.Context, id string) error {
	return c.task(ctx, "kill", "--signal", "SIGKILL", id)
}

// FreezeContainer stops all processes of a container where they are, without
// their notice: their connections stay open and nobody answers.
func (c *Cluster) FreezeContainer(ctx context.Context, id string) error {
	return c.task(ctx, "pause", id)
}

// ThawContainer lets a frozen container go on.
func (c *Cluster) ThawContainer(ctx context.Context, id string) error {
	return c.task(ctx, "resume", id)
}

// task does something to the processes of a container.
func (c *Cluster) task(ctx context.Context, args ...string) error {
	what := "container: " + strings.Join(args, " ")
	if c.External() {
		return fmt.Errorf("%s: the nodes of the cluster of %s cannot be reached from here", what, EnvKubeconfig)
	}
	ctr, err := c.Bin("ctr")
	if err != nil {
		return err
	}
	args = append([]string{"--address", c.dir.ContainerdSocket(), "--namespace", "k8s.io", "tasks"}, args...)
	if out, err := exec.CommandContext(ctx, ctr, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", what, err, strings.TrimSpace(string(out)))
	}
	return nil
}
