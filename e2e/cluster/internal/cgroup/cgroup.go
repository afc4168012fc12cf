// Package cgroup makes and removes the control groups that hold a cluster's
// containers, under both versions of the kernel's interface.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	root          = "/sys/fs/cgroup"
	retryInterval = 20 * time.Millisecond
)

// unified tells whether the machine has version 2 only.
func unified() bool {
	_, err := os.Stat(filepath.Join(root, "cgroup.controllers"))
	return err == nil
}

// hierarchies lists the mount points of all hierarchies.
func hierarchies() ([]string, error) {
	if unified() {
		return []string{root}, nil
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("list control groups (is %s mounted?): %w", root, err)
	}
	var list []string
	for _, e := range entries {
		// Some controllers are reachable by symbolic links too: one is enough.
		if e.IsDir() {
			list = append(list, filepath.Join(root, e.Name()))
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no control groups are mounted below %s", root)
	}
	return list, nil
}

// Create makes the group in every hierarchy. path is absolute within a
// hierarchy, such as "/sluice/name".
func Create(path string) error {
	list, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range list {
		if err := os.MkdirAll(filepath.Join(h, path), 0o755); err != nil {
			return fmt.Errorf("make control group %s: %w", path, err)
		}
	}
	if unified() {
		return delegate(path)
	}
	return nil
}

// delegate hands the controllers of version 2 down to the group's children.
func delegate(path string) error {
	data, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("list the controllers of control groups: %w", err)
	}
	dir := root
	for _, part := range append([]string{"."}, strings.Split(strings.Trim(path, "/"), "/")...) {
		dir = filepath.Join(dir, part)
		for controller := range strings.FieldsSeq(string(data)) {
			// One controller that cannot be handed down is no reason to lose
			// the others; the runtime says which one it misses.
			_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
		}
	}
	return nil
}

// Remove ends all processes in the group and the groups below it and removes
// them, as well as the parent if it is empty then. No group is no error.
func Remove(path string, timeout time.Duration) error {
	list, err := hierarchies()
	if err != nil {
		return err
	}
	deadline := time.After(timeout)
	for _, h := range list {
		if err := persist(filepath.Join(h, path), deadline); err != nil {
			return err
		}
		// Other clusters may still be there: only an empty parent goes.
		if parent := filepath.Dir(path); parent != "/" {
			_ = unix.Rmdir(filepath.Join(h, parent))
		}
	}
	return nil
}

// persist tries until the group is gone: its processes take a moment to end.
func persist(dir string, deadline <-chan time.Time) error {
	for {
		err := removeTree(dir)
		if err == nil {
			return nil
		}
		select {
		case <-deadline:
			return fmt.Errorf("remove control group %s: %w", dir, err)
		case <-time.After(retryInterval):
		}
	}
}

// Exists lists the folders of the group that are there.
func Exists(path string) []string {
	list, err := hierarchies()
	if err != nil {
		return nil
	}
	var found []string
	for _, h := range list {
		if _, err := os.Stat(filepath.Join(h, path)); err == nil {
			found = append(found, filepath.Join(h, path))
		}
	}
	return found
}

func removeTree(dir string) error {
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	slices.Reverse(dirs)
	for _, d := range dirs {
		if err := endProcesses(d); err != nil {
			return err
		}
		if err := unix.Rmdir(d); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove %s: %w", d, err)
		}
	}
	return nil
}

func endProcesses(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list the processes of %s: %w", dir, err)
	}
	for field := range strings.FieldsSeq(string(data)) {
		pid, err := strconv.Atoi(field)
		if err != nil || pid <= 1 {
			continue
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("end process %d of %s: %w", pid, dir, err)
		}
	}
	return nil
}
