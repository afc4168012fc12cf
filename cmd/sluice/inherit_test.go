package main

import (
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExitInheritsTheControllersFlags(t *testing.T) {
	tests := map[string]struct {
		running           string
		readErr           error
		args              []string
		namespace, labels string
		kubeconfig        string
		wantErr           string
	}{
		"flags of the controller count": {
			running: "/usr/local/bin/sluice controller -namespace=test --selector-labels tier -webhook-port=443", namespace: "test", labels: "tier"},
		"own flags come first": {
			running: "sluice -namespace=test", args: []string{"-namespace=prod", "-kubeconfig=here"}, namespace: "prod", labels: "app", kubeconfig: "here"},
		"another program is no controller": {running: "/sbin/init -namespace=test", labels: "app"},
		"another command is no controller": {running: "sluice version", labels: "app"},
		"nothing given":                    {running: "sluice", labels: "app"},
		"no such file":                     {readErr: fs.ErrNotExist, labels: "app"},
		"not ours to read":                 {readErr: fs.ErrPermission, labels: "app"},
		"unreadable":                       {readErr: errors.New("disk on fire"), wantErr: "disk on fire"},
		"flags of another version":         {running: "sluice controller -unheard-of", wantErr: "unheard-of"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := &exitOptions{}
			flags := flag.NewFlagSet("exit", flag.ContinueOnError)
			o.bind(flags)
			o.engine.selectorLabels = "app"
			if err := flags.Parse(test.args); err != nil {
				t.Fatal(err)
			}
			err := inherit(flags, func(string) ([]byte, error) {
				return []byte(strings.ReplaceAll(test.running, " ", "\x00") + "\x00"), test.readErr
			})
			if test.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantErr) {
					t.Errorf("error %v, want %q in it", err, test.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if e := o.engine; e.namespace != test.namespace || e.selectorLabels != test.labels || e.kubeconfig != test.kubeconfig {
				t.Errorf("namespace %q, labels %q, kubeconfig %q", e.namespace, e.selectorLabels, e.kubeconfig)
			}
		})
	}
}

// TestEveryFlagIsDocumented holds the table in docs/operations.md and the flags together, names and defaults.
func TestEveryFlagIsDocumented(t *testing.T) {
	docs, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, cmd := range commands() {
		flags := flag.NewFlagSet(cmd.name, flag.ContinueOnError)
		cmd.bind(flags, io.Discard)
		flags.VisitAll(func(f *flag.Flag) {
			known[f.Name] = true
			row := "| `-" + f.Name + "` | "
			if f.DefValue != "" {
				row += "`" + f.DefValue + "`"
			}
			if !strings.Contains(string(docs), row) {
				t.Errorf("docs/operations.md has no row that begins with %s", row)
			}
		})
	}
	for line := range strings.Lines(string(docs)) {
		name, isRow := strings.CutPrefix(line, "| `-")
		if !isRow {
			continue
		}
		if name, _, _ = strings.Cut(name, "`"); !known[name] {
			t.Errorf("docs/operations.md describes -%s, which no command has", name)
		}
	}
}
