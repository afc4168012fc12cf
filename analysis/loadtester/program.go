package loadtester

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Bounds of what a program says that is answered, in bytes: its end counts.
const (
	maxOutput = 16 << 10
	maxReason = 1 << 10
)

// killDelay is how long a program that was killed may keep its output open.
const killDelay = 5 * time.Second

// program is an allowed command of a task. It gets its words as they are.
type program struct {
	path     string
	words    []string
	returned bool // what it says is answered when it went well, too
}

// String names the program without its arguments.
func (p *program) String() string { return filepath.Base(p.path) }

// Examine implements examiner. With the context all processes that the program started end, too.
func (p *program) Examine(ctx context.Context) (string, error) {
	said := &tail{}
	command := exec.CommandContext(ctx, p.path, p.words[1:]...)
	command.Stdout, command.Stderr = said, said
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = killDelay
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("%s failed: %w: %s", p, err, said.last(maxReason))
	}
	if p.returned {
		return said.last(maxOutput), nil
	}
	return "OK", nil
}

// tail keeps the end of what is written to it.
type tail struct{ kept []byte }

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if excess := len(t.kept) - maxOutput; excess > 0 {
		t.kept = t.kept[excess:]
	}
	return len(p), nil
}

// last returns at most n bytes of the end, as text.
func (t *tail) last(n int) string {
	kept := t.kept
	if len(kept) > n {
		kept = kept[len(kept)-n:]
	}
	return strings.TrimSpace(strings.ToValidUTF8(string(kept), ""))
}
