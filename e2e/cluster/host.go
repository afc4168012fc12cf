package cluster

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/sluice-dev/sluice/e2e/tools"
	"golang.org/x/sys/unix"
)

// needed are the programs that come from the machine: the name of the program
// and of the Debian package that holds it.
var needed = []struct{ program, pkg string }{
	{"runc", "runc"},
	{"nft", "nftables"},
}

// systemPath is searched beyond PATH, which for many users lacks the system's
// own programs.
var systemPath = []string{"/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin"}

const useExisting = "set " + EnvKubeconfig + " to the kubeconfig of an existing cluster"

// host is what a cluster uses of the machine.
type host struct {
	runc        string
	snapshotter string
}

// prepareHost checks the machine and installs missing packages.
func prepareHost(ctx context.Context, log io.Writer) (host, error) {
	if runtime.GOOS != "linux" {
		return host{}, fmt.Errorf("a local cluster needs Linux, this is %s: %s", runtime.GOOS, useExisting)
	}
	missing := missingPackages()
	if os.Geteuid() != 0 {
		hint := ""
		if len(missing) > 0 {
			hint = fmt.Sprintf("; also missing are the packages %[1]s: apt-get install --no-install-recommends %[1]s",
				strings.Join(missing, " "))
		}
		return host{}, fmt.Errorf("a local cluster needs root for its namespaces, this is user %d: run it as root, or %s%s",
			os.Geteuid(), useExisting, hint)
	}
	if len(missing) > 0 {
		if err := install(ctx, log, missing); err != nil {
			return host{}, err
		}
	}
	runc, err := findProgram("runc")
	if err != nil {
		return host{}, err
	}
	snapshotter, err := chooseSnapshotter()
	if err != nil {
		return host{}, err
	}
	return host{runc: runc, snapshotter: snapshotter}, nil
}

func missingPackages() []string {
	var missing []string
	for _, n := range needed {
		if _, err := findProgram(n.program); err != nil {
			missing = append(missing, n.pkg)
		}
	}
	return missing
}

func findProgram(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range systemPath {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("program %s was not found in PATH or %s", name, strings.Join(systemPath, ", "))
}

// install installs Debian packages without asking anything.
func install(ctx context.Context, log io.Writer, packages []string) error {
	list := strings.Join(packages, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("missing programs: install the packages %s with this machine's package manager", list)
	}
	fmt.Fprintf(log, "host: installing missing packages: %s\n", list)
	for _, args := range [][]string{
		{"update", "-qq"},
		append([]string{"install", "-qq", "-y", "--no-install-recommends"}, packages...),
	} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("install the packages %s: apt-get %s: %w\n%s\ninstall them by hand: apt-get install %s",
				list, args[0], err, strings.TrimSpace(string(out)), list)
		}
	}
	if missing := missingPackages(); len(missing) > 0 {
		return fmt.Errorf("the packages %s were installed but their programs are not there: check %s",
			strings.Join(missing, " "), strings.Join(systemPath, ", "))
	}
	return nil
}

// chooseSnapshotter tries out whether layers can be stacked by the kernel in
// the cache folder. Inside some containers they cannot; copying them is slower
// but always works.
func chooseSnapshotter() (string, error) {
	cache, err := tools.CacheDir()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("make the cache folder: %w", err)
	}
	dir, err := os.MkdirTemp(cache, ".overlay-")
	if err != nil {
		return "", fmt.Errorf("try overlay mounts: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for _, part := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(dir, part), 0o755); err != nil {
			return "", fmt.Errorf("try overlay mounts: %w", err)
		}
	}
	merged := filepath.Join(dir, "merged")
	options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", dir)
	if err := unix.Mount("overlay", merged, "overlay", 0, options); err != nil {
		return "native", nil
	}
	if err := unix.Unmount(merged, 0); err != nil {
		return "", fmt.Errorf("try overlay mounts: unmount %s: %w", merged, err)
	}
	return "overlayfs", nil
}
