// Package state knows where a local cluster keeps its files, and who runs it.
// It only reads and writes those; it starts and ends nothing.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/e2e/tools"
	"golang.org/x/sys/unix"
)

// Fixed addresses inside a cluster's network namespace. Every cluster has a
// namespace of its own, so all clusters use the same.
const (
	NodeName      = "node"
	NodeIP        = "10.90.0.1"
	NodeNetwork   = "10.90.0.1/24"
	PodNetwork    = "10.244.0.0/24"
	ServiceRange  = "10.96.0.0/16"
	APIServiceIP  = "10.96.0.1"
	DNSServiceIP  = "10.96.0.10"
	ClusterDomain = "cluster.local"
	APIPort       = 6443
)

const aliveInterval = 10 * time.Millisecond

var nameFormat = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// Dir is the state folder of one cluster.
type Dir struct {
	// Name of the cluster.
	Name string
	// Root is the folder; it need not exist.
	Root string
}

// Process is a running process, told apart from a later one that happens to
// have the same number by its start time.
type Process struct {
	PID int `json:"pid"`
	// Start is in clock ticks since the machine booted.
	Start uint64 `json:"start"`
}

// Of returns the state folder for a cluster name: 1 to 32 characters of a-z,
// 0-9 and "-", not at either end.
func Of(name string) (Dir, error) {
	if !nameFormat.MatchString(name) {
		return Dir{}, fmt.Errorf("cluster name %q: use 1 to 32 of a-z, 0-9 and -, beginning and ending with a letter or digit", name)
	}
	cache, err := tools.CacheDir()
	if err != nil {
		return Dir{}, err
	}
	return Dir{Name: name, Root: filepath.Join(cache, "clusters", name)}, nil
}

// Names lists the clusters that have a state folder.
func Names() ([]string, error) {
	cache, err := tools.CacheDir()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(filepath.Join(cache, "clusters"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && nameFormat.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Path joins parts below the state folder.
func (d Dir) Path(parts ...string) string {
	return filepath.Join(append([]string{d.Root}, parts...)...)
}

// Logs is the folder with one log per component.
func (d Dir) Logs() string { return d.Path("logs") }

// Keys is the folder of keys and certificates.
func (d Dir) Keys() string { return d.Path("pki") }

// Kubeconfig is the file for users on the machine.
func (d Dir) Kubeconfig() string { return d.Path("kubeconfig") }

// Dialer is the socket through which to reach into the cluster's network.
func (d Dir) Dialer() string { return d.Path("dial.sock") }

// ContainerdSocket is where containerd listens.
func (d Dir) ContainerdSocket() string { return d.Path("containerd.sock") }

// Components is the file that lists what the node runs.
func (d Dir) Components() string { return d.Path("components.json") }

// Progress is the supervisor's log, which a start follows.
func (d Dir) Progress() string { return d.Path("logs", "supervisor.log") }

func (d Dir) ready() string { return d.Path("ready") }

func (d Dir) failed() string { return d.Path("failed") }

// LockFile lies beside the folder: it must outlive the folder's removal.
func (d Dir) LockFile() string { return d.Root + ".lock" }

// Address is the file with the API server's address on this machine, which
// stays the same when the cluster is started again.
func (d Dir) Address() string { return d.Path("address") }

// Data is the folder of the cluster's objects. The cluster has run before where
// it exists.
func (d Dir) Data() string { return d.Path("etcd") }

// Cgroup is the path below each cgroup hierarchy that holds the containers.
func (d Dir) Cgroup() string { return "/sluice/" + d.Name }

// Exists tells whether there is a state folder.
func (d Dir) Exists() bool {
	_, err := os.Stat(d.Root)
	return err == nil
}

// SaveProcess records a process under a role: "supervisor" or "node".
func (d Dir) SaveProcess(role string, pid int) error {
	start, err := startTime(pid)
	if err != nil {
		return err
	}
	data, err := json.Marshal(Process{PID: pid, Start: start})
	if err != nil {
		return fmt.Errorf("record process %s: %w", role, err)
	}
	return WriteFile(d.Path(role+".pid"), data)
}

// LoadProcess returns the recorded process of a role and whether it still
// runs. No record is no error.
func (d Dir) LoadProcess(role string) (Process, bool, error) {
	data, err := os.ReadFile(d.Path(role + ".pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return Process{}, false, nil
	}
	if err != nil {
		return Process{}, false, fmt.Errorf("read process %s: %w", role, err)
	}
	var p Process
	if err := json.Unmarshal(data, &p); err != nil {
		return Process{}, false, fmt.Errorf("read process %s from %s: %w", role, d.Path(role+".pid"), err)
	}
	return p, p.Alive(), nil
}

// Alive tells whether this very process exists and is not a zombie.
func (p Process) Alive() bool {
	if p.PID <= 0 {
		return false
	}
	start, err := startTime(p.PID)
	return err == nil && start == p.Start
}

var errGone = errors.New("process is gone")

// startTime reads field 22 of /proc/<pid>/stat. The second field, the command,
// may hold spaces and brackets, so counting begins after its last bracket.
func startTime(pid int) (uint64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("process %d: %w", pid, err)
	}
	text := string(data)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return 0, fmt.Errorf("process %d: /proc entry has %d fields", pid, len(fields))
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return 0, fmt.Errorf("process %d: %w", pid, errGone)
	}
	var start uint64
	if _, err := fmt.Sscan(fields[19], &start); err != nil {
		return 0, fmt.Errorf("process %d: start time %q: %w", pid, fields[19], err)
	}
	return start, nil
}

// Kill sends SIGKILL to the process if it is still the recorded one and waits
// until it is gone, children in its namespaces included.
func (p Process) Kill(timeout time.Duration) error {
	if !p.Alive() {
		return nil
	}
	if err := unix.Kill(p.PID, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("end process %d: %w", p.PID, err)
	}
	return p.WaitGone(timeout)
}

// WaitGone waits until the process is gone.
func (p Process) WaitGone(timeout time.Duration) error {
	deadline := time.After(timeout)
	for p.Alive() {
		select {
		case <-deadline:
			return fmt.Errorf("process %d still runs %s after it was told to end", p.PID, timeout)
		case <-time.After(aliveInterval):
		}
	}
	return nil
}

// SetReady records that the cluster works.
func (d Dir) SetReady() error { return WriteFile(d.ready(), []byte("ready\n")) }

// Ready tells whether the cluster has once worked.
func (d Dir) Ready() bool {
	_, err := os.Stat(d.ready())
	return err == nil
}

// Forget removes what tells how the last start went.
func (d Dir) Forget() error {
	for _, path := range []string{d.ready(), d.failed()} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forget the last start: %w", err)
		}
	}
	return nil
}

// SetFailed records why the cluster did not come to work.
func (d Dir) SetFailed(reason string) error { return WriteFile(d.failed(), []byte(reason)) }

// Failed returns that reason, if there is one.
func (d Dir) Failed() (reason string, is bool) {
	data, err := os.ReadFile(d.failed())
	return string(data), err == nil
}

// WriteFile writes a private file so that readers see all of it or nothing.
func WriteFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	temp := path + ".tmp"
	if err := os.WriteFile(temp, data, 0o600); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
