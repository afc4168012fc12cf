package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/yaml"
)

func TestCommandLine(t *testing.T) {
	tests := map[string]struct {
		args           []string
		status         int
		stdout, stderr string
	}{
		"version":                 {[]string{"version"}, 0, version, ""},
		"help":                    {[]string{"--help"}, 0, "controller", ""},
		"help of the controller":  {[]string{"controller", "--help"}, 0, "-mesh-provider", ""},
		"flags alone are its own": {[]string{"--help"}, 0, "exit", ""},
		"help of the exit":        {[]string{"exit", "-h"}, 0, "-timeout", ""},
		"unknown command":         {[]string{"enter"}, 2, "", `"enter" is unknown`},
		"unknown flag":            {[]string{"-slack-colour=red"}, 2, "", "-slack-colour"},
		"argument without a flag": {[]string{"version", "please"}, 2, "", `"please"`},
		"unknown log level":       {[]string{"controller", "-log-level=warning"}, 1, "", "debug, info, warn"},
		"unknown encoding":        {[]string{"exit", "-zap-encoding=xml"}, 1, "", "json or console"},
		"lease as short as its renewal": {
			[]string{"controller", "-leader-election-lease-duration=10s"}, 1, "",
			"-leader-election-renew-deadline=10s has to be shorter than -leader-election-lease-duration=10s",
		},
		"retries as long as the renewal": {
			[]string{"controller", "-leader-election-renew-deadline=6s", "-leader-election-retry-period=5s"}, 1, "",
			"-leader-election-retry-period=5s has to be positive and less than five sixths of -leader-election-renew-deadline=6s",
		},
		"no wait between retries":   {[]string{"controller", "-leader-election-retry-period=0s"}, 1, "", "-leader-election-retry-period=0s"},
		"lease of part of a second": {[]string{"controller", "-leader-election-lease-duration=15500ms"}, 1, "", "whole seconds"},
		"metrics server not a URL":  {[]string{"controller", "-metrics-server=prometheus:9090"}, 1, "", "-metrics-server"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if status := run(test.args, &stdout, &stderr); status != test.status {
				t.Errorf("status %d, want %d", status, test.status)
			}
			if !strings.Contains(stdout.String(), test.stdout) {
				t.Errorf("stdout %q, want %q in it", stdout.String(), test.stdout)
			}
			if !strings.Contains(stderr.String(), test.stderr) || (test.stderr == "" && stderr.Len() > 0) {
				t.Errorf("stderr %q, want %q in it", stderr.String(), test.stderr)
			}
		})
	}
}

// TestShippedImagesAreOfThisVersion keeps the tags in the manifests and the version in the binary together.
func TestShippedImagesAreOfThisVersion(t *testing.T) {
	for _, dir := range []string{"base", "loadtester"} {
		data, err := os.ReadFile(filepath.Join("..", "..", "manifests", dir, "kustomization.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		var kustomization struct {
			Images []struct{ Name, NewTag string }
		}
		if err := yaml.Unmarshal(data, &kustomization); err != nil {
			t.Fatal(err)
		}
		if len(kustomization.Images) != 1 || kustomization.Images[0].NewTag != version {
			t.Errorf("%s: images are %+v, want one of version %s", dir, kustomization.Images, version)
		}
	}
}

func TestDrainKeepsServingForAPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &drain{period: 5 * time.Second}
		signalled, signal := context.WithCancel(t.Context())
		late, end := d.stopping(signalled)
		defer end()
		if err := d.ready(nil); err != nil {
			t.Errorf("before the signal: %v", err)
		}
		signal()
		synctest.Wait()
		if d.ready(nil) == nil {
			t.Error("ready after the signal: new requests would still be sent here")
		}
		<-time.After(d.period - time.Nanosecond)
		synctest.Wait()
		if late.Err() != nil {
			t.Error("stopped before the period was over")
		}
		<-time.After(time.Nanosecond)
		synctest.Wait()
		if late.Err() == nil {
			t.Error("still running after the period")
		}
	})
}

func TestDrainEndsEarlyWithItsOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &drain{period: time.Hour}
		signalled, signal := context.WithCancel(t.Context())
		late, end := d.stopping(signalled)
		signal()
		synctest.Wait()
		end()
		// The bubble fails the test if the waiting goroutine outlives it.
		if late.Err() == nil {
			t.Error("still running")
		}
	})
}

func TestDrainSendsCallersAway(t *testing.T) {
	d := &drain{period: time.Hour}
	server := httptest.NewServer(d.closing(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "served") })))
	defer server.Close()
	closes := func() bool {
		resp, err := server.Client().Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "served" {
			t.Errorf("%q, %v", body, err)
		}
		return resp.Close
	}
	if closes() {
		t.Error("a connection is ended before the drain")
	}
	d.draining.Store(true)
	if !closes() {
		t.Error("a connection outlives an answer during the drain")
	}
}
