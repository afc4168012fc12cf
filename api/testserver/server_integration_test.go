//go:build integration

package testserver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// victimVariable makes this test binary a test process that starts an API server and waits to be killed.
const victimVariable = "SLUICE_TEST_VICTIM"

const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	if os.Getenv(victimVariable) == "" {
		os.Exit(m.Run())
	}
	os.Exit(Run(Options{}, func(s *Server) int {
		if err := os.WriteFile(filepath.Join(s.Directory, "ready"), nil, 0o600); err != nil {
			return 1
		}
		select {}
	}))
}

// victim is a test process, with a folder for the only thing that it leaves outside.
type victim struct {
	t      *testing.T
	cmd    *exec.Cmd
	parent string
}

func startVictim(t *testing.T) *victim {
	t.Helper()
	v := &victim{t: t, parent: t.TempDir(), cmd: exec.CommandContext(t.Context(), os.Args[0])}
	v.cmd.Env = append(os.Environ(), victimVariable+"=true", "TMPDIR="+v.parent)
	v.cmd.Stderr = t.Output()
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return v
}

// folder is the folder of the victim's guard, empty when there is none.
func (v *victim) folder() string {
	v.t.Helper()
	entries, err := os.ReadDir(v.parent)
	if err != nil {
		v.t.Fatal(err)
	}
	if len(entries) == 0 {
		return ""
	}
	if len(entries) > 1 {
		v.t.Fatalf("%d entries in the folder for temporary ones, want one", len(entries))
	}
	return filepath.Join(v.parent, entries[0].Name())
}

// has tells whether a file of a pattern is in the victim's folder.
func (v *victim) has(pattern string) bool {
	v.t.Helper()
	folder := v.folder()
	found, err := filepath.Glob(filepath.Join(folder, pattern))
	if err != nil {
		v.t.Fatal(err)
	}
	return folder != "" && len(found) > 0
}

// programs are the names of what runs for the victim.
func (v *victim) programs() []string {
	v.t.Helper()
	pids, err := markedWith(v.folder())
	if err != nil {
		v.t.Fatal(err)
	}
	var names []string
	for _, pid := range pids {
		target, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has ended
		}
		if err != nil {
			v.t.Fatal(err)
		}
		names = append(names, filepath.Base(target))
	}
	slices.Sort(names)
	return names
}

func (v *victim) eventually(what string, holds func() bool) {
	v.t.Helper()
	tick, limit := time.NewTicker(10*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			v.t.Fatalf("not within %s: %s; %v run", patience, what, v.programs())
		}
	}
}

// kill ends the victim as nothing can be prevented, and holds that nothing of it stays.
func (v *victim) kill() {
	v.t.Helper()
	folder := v.folder()
	if err := v.cmd.Process.Kill(); err != nil {
		v.t.Fatal(err)
	}
	_ = v.cmd.Wait() // killed, as asked
	v.eventually("the folder is gone", func() bool { return v.folder() == "" })
	if left, err := markedWith(folder); err != nil || len(left) > 0 {
		v.t.Errorf("processes %v still run, %v", left, err)
	}
}

func TestNothingOutlivesAKilledTestProcess(t *testing.T) {
	t.Parallel()
	v := startVictim(t)
	v.eventually("the API server is ready", func() bool { return v.has("ready") })
	if got, want := strings.Join(v.programs(), " "), "etcd kube-apiserver"; got != want {
		t.Fatalf("%q run for the test process, want %q", got, want)
	}
	v.kill()
}

func TestNothingOutlivesATestProcessKilledAtItsStart(t *testing.T) {
	t.Parallel()
	v := startVictim(t)
	v.eventually("etcd keeps data", func() bool { return v.has("*/member") })
	v.kill()
}

func TestRunSaysWhatIsMissing(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = []string{victimVariable + "=true"}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "KUBEBUILDER_ASSETS is not set") || !strings.Contains(string(out), "make integration") {
		t.Errorf("without a folder of programs: %v, output %q; want exit status 1 and the way out", err, out)
	}
}
