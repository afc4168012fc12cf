package state

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestNames(t *testing.T) {
	t.Setenv("SLUICE_CACHE", t.TempDir())
	for name, ok := range map[string]bool{
		"sluice": true, "a": true, "a-1": true, strings.Repeat("a", 32): true,
		"": false, "-a": false, "a-": false, "A": false, "a/b": false, "..": false, strings.Repeat("a", 33): false,
	} {
		if _, err := Of(name); (err == nil) != ok {
			t.Errorf("Of(%q): %v", name, err)
		}
	}
}

func TestProcessIsToldApart(t *testing.T) {
	t.Setenv("SLUICE_CACHE", t.TempDir())
	dir, err := Of("x")
	if err != nil {
		t.Fatal(err)
	}
	if _, alive, err := dir.LoadProcess("node"); alive || err != nil {
		t.Errorf("no record reads alive %t, %v", alive, err)
	}
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if err := dir.SaveProcess("node", child.Process.Pid); err != nil {
		t.Fatal(err)
	}
	process, alive, err := dir.LoadProcess("node")
	if err != nil || !alive {
		t.Fatalf("a running process reads alive %t, %v", alive, err)
	}
	other := Process{PID: process.PID, Start: process.Start + 1}
	if err := other.Kill(time.Second); err != nil || !process.Alive() {
		t.Errorf("another process with the same number was ended: %v", err)
	}
	// Nobody has collected the child yet: a zombie counts as gone.
	if err := process.Kill(5 * time.Second); err != nil || process.Alive() {
		t.Errorf("the process lives on: %v", err)
	}
	_ = child.Wait()
}

func TestOutcomeOfStart(t *testing.T) {
	t.Setenv("SLUICE_CACHE", t.TempDir())
	dir, err := Of("x")
	if err != nil {
		t.Fatal(err)
	}
	if _, failed := dir.Failed(); failed || dir.Ready() {
		t.Error("a cluster that was never started has an outcome")
	}
	if err := dir.SetReady(); err != nil || !dir.Ready() {
		t.Errorf("ready is not remembered: %v", err)
	}
	if err := dir.SetFailed("why"); err != nil {
		t.Fatal(err)
	}
	if reason, failed := dir.Failed(); !failed || reason != "why" {
		t.Errorf("failed %t for %q", failed, reason)
	}
	info, err := os.Stat(dir.Path("ready"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("state files are readable by others: %v, %v", info.Mode(), err)
	}
	names, err := Names()
	if err != nil || len(names) != 1 || names[0] != "x" {
		t.Errorf("clusters %v, %v", names, err)
	}
}
