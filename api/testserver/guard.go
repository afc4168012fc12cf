//go:build integration

package testserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// guardVariable makes a test binary the guard of the folder that it names.
const guardVariable = "SLUICE_TEST_GUARD"

// folderVariable marks everything that a test process starts, and what that starts, by the folder of the test process.
const folderVariable = "SLUICE_TEST_FOLDER"

// guarding is the test process's side of its guard.
type guarding struct {
	directory string
	cmd       *exec.Cmd
	// life is the end of a pipe that nobody else has: the guard reads its end of file when this process is gone.
	life io.Closer
}

// startGuard makes the folder, marks this process's future children with it, and starts the guard in a session of its own, so that what is sent to the
// process group of the tests does not reach it. The parent's death is no signal to rely on: it is sent when the thread ends that started the child.
func startGuard() (*guarding, error) {
	directory, err := os.MkdirTemp("", "sluice-testserver-")
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(directory))
	}
	self, err := os.Executable()
	if err != nil {
		return nil, errors.Join(err, read.Close(), write.Close(), os.RemoveAll(directory))
	}
	// It outlives every context of this process, and carries no mark itself.
	cmd := exec.CommandContext(context.Background(), self)
	// Whoever kills a hanging test by its name must not meet its guard as well.
	cmd.Args = []string{"sluice-test-guard", directory}
	cmd.Env = []string{guardVariable + "=" + directory}
	cmd.Stdin = read
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := errors.Join(cmd.Start(), read.Close()); err != nil {
		return nil, errors.Join(err, write.Close(), os.RemoveAll(directory))
	}
	g := &guarding{directory: directory, cmd: cmd, life: write}
	for name, value := range map[string]string{folderVariable: directory, "TMPDIR": directory} {
		if err := os.Setenv(name, value); err != nil {
			return nil, errors.Join(err, g.end())
		}
	}
	return g, nil
}

// end lets the guard do its work and waits for it.
func (g *guarding) end() error {
	if err := g.life.Close(); err != nil {
		return err
	}
	return g.cmd.Wait()
}

// guard waits until the test process has ended, ends what it left behind and removes the folder.
func guard(directory string, life io.Reader) int {
	// Only the end of the pipe matters, and an error ends it too.
	_, _ = io.Copy(io.Discard, life)
	if err := sweep(directory); err != nil {
		return 1
	}
	return 0
}

// sweep kills every process that is marked with the folder until none is left, and removes the folder.
func sweep(directory string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(stopTimeout)
	for {
		marked, err := markedWith(directory)
		if err != nil {
			return err
		}
		for _, pid := range marked {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
		}
		if len(marked) == 0 && os.RemoveAll(directory) == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-timeout:
			return fmt.Errorf("%s is still in use", directory)
		}
	}
}

// markedWith returns the processes that were started with the folder in their environment.
func markedWith(directory string) ([]int, error) {
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil, err
	}
	mark := []byte(folderVariable + "=" + directory)
	var pids []int
	for _, path := range environments {
		environment, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended, or is somebody else's
		}
		for entry := range bytes.SplitSeq(environment, []byte{0}) {
			if !bytes.Equal(entry, mark) {
				continue
			}
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil {
				return nil, err
			}
			pids = append(pids, pid)
			break
		}
	}
	return pids, nil
}
