package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluice-dev/sluice/e2e/cluster/internal/state"
	"golang.org/x/sys/unix"
)

// covered are folders that the components write to at fixed places. Each is
// covered inside the cluster's mount namespace, so that the machine's own
// stays as it is and clusters do not meet.
var covered = []string{"/run", "/var/lib", "/var/log"}

// kernelSettings are machine-wide settings that the kubelet insists on. It
// finds them fulfilled in plain files that cover the real ones.
var kernelSettings = map[string]string{
	"/proc/sys/vm/overcommit_memory":      "1",
	"/proc/sys/vm/panic_on_oom":           "0",
	"/proc/sys/kernel/panic":              "10",
	"/proc/sys/kernel/panic_on_oops":      "1",
	"/proc/sys/kernel/keys/root_maxkeys":  "1000000",
	"/proc/sys/kernel/keys/root_maxbytes": "25000000",
}

// CheckPath returns an error if the path lies in a folder that a cluster
// covers and so would be out of its own sight.
func CheckPath(path string) error {
	for _, dir := range covered {
		if path == dir || strings.HasPrefix(path, dir+"/") {
			return fmt.Errorf("the cache folder %s lies below %s, which a cluster hides from itself: set SLUICE_CACHE to a folder elsewhere", path, dir)
		}
	}
	return nil
}

// setUpMounts makes the mount namespace the cluster's own.
func setUpMounts(dir state.Dir) error {
	// Private first, so that nothing reaches the machine; then shared within,
	// because the kubelet hands volumes on to containers by propagation.
	for _, flag := range []uintptr{unix.MS_PRIVATE, unix.MS_SHARED} {
		if err := unix.Mount("", "/", "", unix.MS_REC|flag, ""); err != nil {
			return fmt.Errorf("change the propagation of mounts: %w", err)
		}
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc for the cluster's processes: %w", err)
	}
	for _, target := range covered {
		own := dir.Path("root", target)
		if err := os.MkdirAll(own, 0o755); err != nil {
			return fmt.Errorf("cover %s: %w", target, err)
		}
		if err := cover(own, target); err != nil {
			return err
		}
	}
	for target, value := range kernelSettings {
		own := dir.Path("root", filepath.Clean(target))
		if err := state.WriteFile(own, []byte(value+"\n")); err != nil {
			return err
		}
		if err := cover(own, target); err != nil {
			return err
		}
	}
	return nil
}

// cover puts source in the place of target, if there is such a place.
func cover(source, target string) error {
	err := unix.Mount(source, target, "", unix.MS_BIND, "")
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("cover %s with %s: %w", target, source, err)
	}
	return nil
}
