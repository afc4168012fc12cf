package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFilesAreRead(t *testing.T) {
	o := options{tokens: file(t, "test: 0123456789abcdef"), programs: file(t, "ls *")}
	if err := o.connect(); err != nil {
		t.Fatal(err)
	}
	if len(o.config.Tokens["test"]) != 1 || len(o.config.Programs) != 1 || o.config.Gates != nil {
		t.Errorf("config %+v", o.config)
	}
	o = options{}
	if err := o.connect(); err != nil || o.config.Tokens != nil || o.config.Programs != nil || o.config.Gates != nil {
		t.Errorf("without flags: %+v, %v", o.config, err)
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	empty := file(t, "")
	for want, o := range map[string]options{
		"token-file: open " + missing:                        {tokens: missing},
		"token-file " + empty + ": there is no line":         {tokens: empty},
		"programs-file: open " + missing:                     {programs: missing},
		"programs-file " + empty + ": there is no line":      {programs: empty},
		"gates-configmap gates: the pod's namespace is unkn": {gates: "gates"},
	} {
		if err := o.connect(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("connect = %v, want it to mention %q", err, want)
		}
	}
}

// The gates are those of the ConfigMap in the pod's own namespace, and an API server that does not answer is not waited for without end.
func TestGatesAreShared(t *testing.T) {
	asked := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.URL.Path
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]string{"gate.podinfo.test": "open"}})
	}))
	t.Cleanup(server.Close)
	o := options{gates: "loadtester-gates"}
	config := &rest.Config{Host: server.URL}
	if err := o.shareGates(config, "tools"); err != nil {
		t.Fatal(err)
	}
	open, err := o.config.Gates.Open(t.Context(), "gate.podinfo.test")
	if err != nil || !open {
		t.Errorf("Open = %v, %v", open, err)
	}
	if got, want := <-asked, "GET /api/v1/namespaces/tools/configmaps/loadtester-gates"; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
	if config.Timeout != gatesTimeout {
		t.Errorf("requests about gates take up to %s", config.Timeout)
	}
	if err := o.shareGates(&rest.Config{Host: "://"}, "tools"); err == nil || !strings.Contains(err.Error(), "gates-configmap loadtester-gates") {
		t.Errorf("an address that cannot be read: %v", err)
	}
}
