package tools

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// progressEvery is how often a running build says that it is still at work.
const progressEvery = 15 * time.Second

// lastLines bounds how much of a failed build's output ends up in the error.
const lastLines = 20

// Dir returns the folder in which the group's binaries are, or will be once
// built, and whether they are there.
func Dir(g Group) (dir string, built bool, err error) {
	cache, err := CacheDir()
	if err != nil {
		return "", false, err
	}
	source, err := SourceDir()
	if err != nil {
		return "", false, err
	}
	key, err := g.key(filepath.Join(source, "tools", g.Name))
	if err != nil {
		return "", false, err
	}
	dir = filepath.Join(cache, "tools", g.Name, key)
	_, err = os.Stat(dir)
	return dir, err == nil, nil
}

// Build makes sure that the named groups are in the cache and returns the
// folder of each by name. Groups that are there cost nothing; the others are
// built one after the other, with progress written to log. Two processes that
// want the same group build it once: the second waits for the first.
func Build(ctx context.Context, log io.Writer, names ...string) (map[string]string, error) {
	dirs := map[string]string{}
	var missing []Group
	for _, name := range names {
		g, err := Lookup(name)
		if err != nil {
			return nil, err
		}
		dir, built, err := Dir(g)
		if err != nil {
			return nil, err
		}
		dirs[name] = dir
		if !built {
			missing = append(missing, g)
		}
	}
	for i, g := range missing {
		label := fmt.Sprintf("%s (%d of %d)", g.Name, i+1, len(missing))
		if err := buildGroup(ctx, log, g, dirs[g.Name], label); err != nil {
			return nil, err
		}
	}
	return dirs, nil
}

// buildGroup builds into a folder beside the final one and renames it, so that
// a half-built group is never seen.
func buildGroup(ctx context.Context, log io.Writer, g Group, dir, label string) error {
	unlock, err := Lock(ctx, dir+".lock", func() {
		fmt.Fprintf(log, "tools: %s is being built by another process, waiting\n", label)
	})
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	source, err := SourceDir()
	if err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), ".building-")
	if err != nil {
		return fmt.Errorf("build tool group %s: %w", g.Name, err)
	}
	defer func() { _ = os.RemoveAll(temp) }()

	start := time.Now()
	fmt.Fprintf(log, "tools: building %s, once for this user; a first build takes minutes\n", label)
	if err := g.compile(ctx, log, filepath.Join(source, "tools", g.Name), temp, label); err != nil {
		return err
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return fmt.Errorf("build tool group %s: %w", g.Name, err)
	}
	if err := os.Rename(temp, dir); err != nil {
		return fmt.Errorf("build tool group %s: %w", g.Name, err)
	}
	fmt.Fprintf(log, "tools: built %s in %s\n", label, time.Since(start).Round(time.Second))
	return nil
}

// compile runs the Go compiler once for each binary: it shares all packages
// through Go's own cache, and the names come out as the group wants them.
func (g Group) compile(ctx context.Context, log io.Writer, module, out, label string) error {
	start := time.Now()
	var packages atomic.Int64
	done := make(chan struct{})
	defer close(done)
	go func() {
		ticker := time.NewTicker(progressEvery)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				fmt.Fprintf(log, "tools: building %s: %d packages compiled, %s\n",
					label, packages.Load(), time.Since(start).Round(time.Second))
			}
		}
	}()
	for _, b := range g.Binaries {
		if err := g.compileOne(ctx, module, out, b, &packages); err != nil {
			return err
		}
	}
	return nil
}

func (g Group) compileOne(ctx context.Context, module, out string, b Binary, packages *atomic.Int64) error {
	cmd := exec.CommandContext(ctx, "go", g.buildArgs(filepath.Join(out, b.Name), b.Package)...)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	reader, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr = writer, writer
	tail := make(chan []string, 1)
	go func() { tail <- countPackages(reader, packages) }()
	err := cmd.Run()
	_ = writer.Close()
	lines := <-tail
	if err == nil {
		return nil
	}
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("build %s: the go command is not in PATH: install Go from https://go.dev/dl", b.Name)
	}
	return fmt.Errorf("build %s from %s: %w\n%s", b.Name, module, err, strings.Join(lines, "\n"))
}

// countPackages counts the lines that "go build -v" prints for each compiled
// package and keeps the last few of all lines for an error message.
func countPackages(r io.Reader, packages *atomic.Int64) []string {
	var last []string
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		line := scanner.Text()
		if !strings.Contains(line, " ") {
			packages.Add(1)
			continue
		}
		last = append(last, line)
		if len(last) > lastLines {
			last = last[1:]
		}
	}
	// Whatever remains after an overlong line must still be drained, or the
	// compiler would block on a full pipe.
	_, _ = io.Copy(io.Discard, r)
	return last
}

func (g Group) buildArgs(out, pkg string) []string {
	args := []string{
		"build", "-v", "-trimpath", "-buildvcs=false", "-mod=readonly",
		"-ldflags", strings.Join(append([]string{"-s", "-w"}, g.LinkerFlags...), " "),
	}
	if len(g.Tags) > 0 {
		args = append(args, "-tags", strings.Join(g.Tags, ","))
	}
	return append(args, "-o", out, pkg)
}
