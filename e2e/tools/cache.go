package tools

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// ModulePath is the module that this package belongs to.
const ModulePath = "github.com/sluice-dev/sluice/e2e"

// CacheDir is the folder for everything that is kept between runs: $SLUICE_CACHE
// or, if that is unset, "sluice" in the user's cache folder.
func CacheDir() (string, error) {
	dir := os.Getenv("SLUICE_CACHE")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the user's cache folder (set SLUICE_CACHE or HOME): %w", err)
		}
		dir = filepath.Join(base, "sluice")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("cache folder %q: %w", dir, err)
	}
	return abs, nil
}

// SourceDir finds the folder of the e2e module, starting from the working
// directory and going up: it is either a folder above, or the "e2e" folder of
// one above. So it works from anywhere in a checkout.
func SourceDir() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the working directory: %w", err)
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		for _, candidate := range []string{dir, filepath.Join(dir, "e2e")} {
			if isModule(candidate, ModulePath) {
				return candidate, nil
			}
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no folder of module %s at or above %s: run this inside a checkout", ModulePath, wd)
		}
	}
}

// isModule tells whether dir holds the go.mod of the module with this path.
func isModule(dir, path string) bool {
	data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return false
	}
	first, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSpace(first) == "module "+path
}

// ModuleDir downloads, if need be, the given module at the version that the
// module in dir requires and returns its folder in Go's module cache.
func ModuleDir(ctx context.Context, dir, module string) (string, error) {
	for _, args := range [][]string{
		{"mod", "download", module},
		{"list", "-m", "-f", "{{.Dir}}", module},
	} {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("find the folder of module %s: go %s: %w%s", module, args[0], err, stderrOf(err))
		}
		if found := strings.TrimSpace(string(out)); found != "" {
			return found, nil
		}
	}
	return "", fmt.Errorf("module %s has no folder: is it required by %s/go.mod?", module, dir)
}

func stderrOf(err error) string {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && len(exit.Stderr) > 0 {
		return ": " + strings.TrimSpace(string(exit.Stderr))
	}
	return ""
}

// key names a build: equal keys mean equal binaries.
func (g Group) key(dir string) (string, error) {
	hash := sha256.New()
	fmt.Fprintf(hash, "%s %s/%s\n%q\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, g.buildArgs("", ""))
	for _, b := range g.Binaries {
		fmt.Fprintf(hash, "%s %s\n", b.Name, b.Package)
	}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(hash, "%s %d\n", rel, len(data))
		hash.Write(data)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("hash the module of tool group %s: %w", g.Name, err)
	}
	return hex.EncodeToString(hash.Sum(nil))[:16], nil
}

// Lock takes an exclusive lock on a file, creating it, and waits for as long
// as another process holds it; waiting is called once if it has to. The lock
// ends with the returned function or with the process.
func Lock(ctx context.Context, path string, waiting func()) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	unlock = func() { _ = file.Close() }
	if unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
		return unlock, nil
	}
	waiting()
	locked := make(chan error, 1)
	go func() { locked <- unix.Flock(int(file.Fd()), unix.LOCK_EX) }()
	select {
	case err := <-locked:
		if err != nil {
			unlock()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		return unlock, nil
	case <-ctx.Done():
		unlock()
		return nil, fmt.Errorf("wait for the lock %s: %w", path, ctx.Err())
	}
}
