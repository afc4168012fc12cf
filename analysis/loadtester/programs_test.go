package loadtester

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// script writes a program and returns where it is.
func script(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func programs(t *testing.T, lines ...string) Programs {
	t.Helper()
	p, err := ParsePrograms(strings.Join(lines, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProgramsRunWhereAllowed(t *testing.T) {
	helm := script(t, "helm", `echo "helm: $*"; echo aside >&2`)
	t.Setenv("PATH", filepath.Dir(helm)+string(os.PathListSeparator)+os.Getenv("PATH"))
	words := script(t, "words", `for w; do echo "<$w>"; done`)
	fails := script(t, "fails", `echo the token is missing; exit 3`)
	lt := newTester(t, func(c *Config) {
		c.Programs = programs(t, "# smoke tests", "", words+" * -n {namespace} '*.txt'", words+" {name}", fails, "helm test * --logs")
	})
	for name, tt := range map[string]struct {
		kind, command, returned string
		status                  int
		want                    string
	}{
		"words as they are":    {"bash", words + ` '$(id); ` + "`id`" + `' -n test *.txt`, "true", 200, "<$(id); `id`>\n<-n>\n<test>\n<*.txt>"},
		"silent":               {"bash", words + " podinfo", "", 200, "OK"},
		"before the command":   {"helm", "test podinfo --logs", "true", 200, "helm: test podinfo --logs\naside"},
		"third version":        {"helmv3", "test podinfo --logs", "true", 200, "helm: test podinfo --logs"},
		"failing":              {"bash", fails, "", 500, "fails failed: exit status 3: the token is missing"},
		"another Canary":       {"bash", words + " other", "", 403, "is not allowed here"},
		"another namespace":    {"bash", words + " a -n prod *.txt", "", 403, "is not allowed here"},
		"an option":            {"helm", "test --kubeconfig=/x --logs", "", 403, "is not allowed here"},
		"fewer words":          {"helm", "test podinfo", "", 403, "is not allowed here"},
		"more words":           {"bash", fails + " more", "", 403, "is not allowed here"},
		"other program":        {"kubectl", "test podinfo --logs", "", 403, `"kubectl" is not allowed here`},
		"path of its own":      {"bash", "./helm test podinfo --logs", "", 403, "is not allowed here"},
		"two commands":         {"bash", fails + "; id", "", 400, "there is none"},
		"nothing":              {"bash", "", "", 400, "metadata.cmd is missing"},
		"perhaps an answer":    {"bash", fails, "perhaps", 400, "metadata.returnCmdOutput"},
		"a shell all the same": {"bash", "sh -c id", "", 403, `"sh" is not allowed here`},
	} {
		t.Run(name, func(*testing.T) {
			lt.expect("/", withMetadata(t, map[string]string{"type": tt.kind, "cmd": tt.command, "returnCmdOutput": tt.returned}), tt.status, tt.want)
		})
	}
}

// Whatever a program started ends with the caller, and much output is cut.
func TestProgramsEnd(t *testing.T) {
	dir := t.TempDir()
	sleeper := script(t, "sleeper", fmt.Sprintf("(while :; do sleep 0.05; date >> %[1]s/alive; done) & while :; do sleep 1; done", dir))
	chatty := script(t, "chatty", `i=0; while [ $i -lt 3000 ]; do echo "line $i of many"; i=$((i+1)); done`)
	lt := newTester(t, func(c *Config) { c.Programs = programs(t, sleeper, chatty) })
	size := func() int64 {
		info, err := os.Stat(filepath.Join(dir, "alive"))
		if err != nil {
			return 0
		}
		return info.Size()
	}
	lt.leave(withMetadata(t, map[string]string{"type": "bash", "cmd": sleeper}), "the program's child runs", func() bool { return size() > 0 })
	eventually(t, "its child ends", func() bool {
		before := size()
		time.Sleep(time.Second)
		return size() == before
	})
	status, text := lt.post("/", withMetadata(t, map[string]string{"type": "bash", "cmd": chatty, "returnCmdOutput": "true"}))
	if status != 200 || len(text) > maxOutput || !strings.HasSuffix(text, "line 2999 of many") {
		t.Errorf("%d, %d bytes that end with %q", status, len(text), text[max(0, len(text)-30):])
	}
}

func TestProgramsThatCannotBeAllowed(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "no line with a command",
		"# nothing\n":               "no line with a command",
		"ls\nsh -c *":               "line 2: sh would carry out any text",
		"/bin/bash /tests/smoke.sh": "would carry out any text",
		"/nowhere/smoke":            "line 1: there is no such program",
		"ls; id":                    "line 1:",
		"''":                        "line 1:",
	} {
		if p, err := ParsePrograms(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParsePrograms(%q) = %v, %v, want %q", text, p, err, want)
		}
	}
}
