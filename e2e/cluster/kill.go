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
	if c.External() {
		return fmt.Errorf("kill container %s: the nodes of the cluster of %s cannot be reached from here", id, EnvKubeconfig)
	}
	ctr, err := c.Bin("ctr")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, ctr, "--address", c.dir.ContainerdSocket(), "--namespace", "k8s.io", "tasks", "kill", "--signal", "SIGKILL", id)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kill container %s: %w: %s", id, err, strings.TrimSpace(string(out)))
	}
	return nil
}
