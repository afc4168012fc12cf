//go:build e2e

package cluster_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/e2e/cluster/internal/cgroup"
	"github.com/sluice-dev/sluice/e2e/cluster/internal/state"
)

// traces is all that a cluster could leave on the machine.
type traces struct {
	dir        state.Dir
	namespaces []string
}

// remember notes the namespaces of a running cluster, to look for them later.
func remember(t *testing.T, name string) traces {
	t.Helper()
	dir, err := state.Of(name)
	if err != nil {
		t.Fatal(err)
	}
	node, alive, err := dir.LoadProcess("node")
	if err != nil || !alive {
		t.Fatalf("the node of %s does not run: %v", name, err)
	}
	found := traces{dir: dir}
	for _, kind := range []string{"net", "mnt", "pid"} {
		link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", node.PID, kind))
		if err != nil {
			t.Fatal(err)
		}
		own, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			t.Fatal(err)
		}
		if link == own {
			t.Errorf("the node shares the %s namespace of the machine", kind)
		}
		found.namespaces = append(found.namespaces, link)
	}
	if got := found.processes(t); len(got) < 8 {
		t.Fatalf("a running cluster shows %d processes, want its components: %v", len(got), got)
	}
	return found
}

// processes lists those in the cluster's namespaces or run from its folder.
func (f traces) processes(t *testing.T) []string {
	t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, entry := range entries {
		belongs := false
		for _, kind := range []string{"net", "mnt", "pid"} {
			// Processes end while we look: then there is no link.
			link, err := os.Readlink(filepath.Join(entry, "ns", kind))
			belongs = belongs || err == nil && slices.Contains(f.namespaces, link)
		}
		exe, err := os.Readlink(filepath.Join(entry, "exe"))
		belongs = belongs || err == nil && strings.HasPrefix(exe, f.dir.Root+"/")
		if belongs {
			found = append(found, fmt.Sprintf("%s %s", filepath.Base(entry), exe))
		}
	}
	return found
}

func (f traces) waitForNoProcess(t *testing.T) {
	t.Helper()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	deadline := time.After(goneTimeout)
	for {
		left := f.processes(t)
		if len(left) == 0 {
			return
		}
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatalf("processes remain: %s", strings.Join(left, "; "))
		}
	}
}

// assertGone fails for every trace that is still there.
func (f traces) assertGone(t *testing.T) {
	t.Helper()
	if left := f.processes(t); len(left) > 0 {
		t.Errorf("processes remain: %s", strings.Join(left, "; "))
	}
	if left := cgroup.Exists(f.dir.Cgroup()); len(left) > 0 {
		t.Errorf("control groups remain: %s", strings.Join(left, ", "))
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, f.dir.Root) || strings.Contains(line, "/run/netns/") {
			t.Errorf("a mount remains: %s", line)
		}
	}
	if f.dir.Exists() {
		t.Errorf("the folder %s remains", f.dir.Root)
	}
}

// machine is what a cluster must not change.
type machine struct {
	links, settings string
}

func lookAtMachine(t *testing.T) machine {
	t.Helper()
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var m machine
	for _, l := range links {
		m.links += l.Name + " "
	}
	for _, path := range []string{"vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward"} {
		data, err := os.ReadFile("/proc/sys/" + path)
		if err != nil {
			t.Fatal(err)
		}
		m.settings += path + "=" + string(data)
	}
	return m
}
