package certs

import (
	"crypto/tls"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func TestNewRejectsWhatCannotWork(t *testing.T) {
	for name, tc := range map[string]struct {
		opts Options
		want []string
	}{
		"unknown mode":       {Options{Mode: "vault", Namespace: "x"}, []string{`"vault"`, `"builtin"`, `"files"`}},
		"no namespace":       {Options{}, []string{"namespace", "name the namespace"}},
		"leaf too short":     {Options{Namespace: "x", LeafDuration: time.Millisecond}, []string{"leaf duration 1ms", "at least 1s"}},
		"CA too short":       {Options{Namespace: "x", CADuration: time.Hour, LeafDuration: time.Hour}, []string{"CA duration 1h0m0s", "more than 3h0m0s"}},
		"overlap too short":  {Options{Namespace: "x", Settle: time.Minute, Overlap: time.Minute}, []string{"overlap 1m0s", "more than 2m0s"}},
		"negative settle":    {Options{Namespace: "x", Settle: -time.Minute}, []string{"settle time -1m0s"}},
		"folder not mounted": {Options{Mode: ModeFiles, Dir: "/nonexistent"}, []string{"/nonexistent", "tls.crt", `mode "builtin"`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(tc.opts)
			if err == nil {
				t.Fatal("accepted, want an error")
			}
			for _, part := range tc.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not contain %q", err, part)
				}
			}
		})
	}
}

func TestFlags(t *testing.T) {
	var opts Options
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	opts.BindFlags(fs)
	if err := fs.Parse([]string{"-certs-mode=vault"}); err == nil {
		t.Error("an unknown mode parsed, want an error")
	}
	if err := fs.Parse([]string{"-certs-mode=files", "-certs-overlap=2h", "-webhook-service=gate"}); err != nil {
		t.Fatal(err)
	}
	if opts.Mode != ModeFiles || opts.Overlap != 2*time.Hour || opts.Service != "gate" || opts.CADuration != DefaultCADuration {
		t.Errorf("flags filled %+v", opts)
	}
}

func TestDNSNames(t *testing.T) {
	opts := Options{Namespace: "sluice-system", ExtraDNSNames: []string{"localhost"}}.withDefaults()
	got := strings.Join(opts.dnsNames(), " ")
	if want := testServerName + " " + testServerName + ".cluster.local localhost"; got != want {
		t.Errorf("DNS names = %q, want %q", got, want)
	}
}

func TestBuiltinIsNotReadyWithoutALeaf(t *testing.T) {
	source, err := New(Options{Namespace: "sluice-system"})
	if err != nil {
		t.Fatal(err)
	}
	if err := source.Ready(nil); err == nil || !strings.Contains(err.Error(), "sluice-system/"+DefaultCASecret) {
		t.Errorf("Ready = %v, want an error that names the Secret", err)
	}
}

func TestFilesServesAndJudgesTheMountedCertificate(t *testing.T) {
	clock := &fakeClock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	ca := newCA(t, clock.at, time.Hour)
	leaf := ca.leaf(t, clock.at, time.Minute)
	dir := t.TempDir()
	write := func(name string, content []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(corev1.TLSCertKey, bundleOf(testCA{cert: leaf.Leaf}))
	write(corev1.TLSPrivateKeyKey, privateKeyPEM(t, leaf.PrivateKey))

	source, err := New(Options{Mode: ModeFiles, Dir: dir, Now: clock.now})
	if err != nil {
		t.Fatal(err)
	}
	var config tls.Config
	source.TLS(&config)
	served, err := config.GetCertificate(nil)
	if err != nil || !served.Leaf.Equal(leaf.Leaf) {
		t.Fatalf("served %v, %v; want the mounted certificate", served, err)
	}
	if config.MinVersion != tls.VersionTLS13 {
		t.Errorf("minimum TLS version = %x, want 1.3", config.MinVersion)
	}
	if err := source.Ready(nil); err != nil {
		t.Errorf("Ready = %v, want nil", err)
	}
	clock.advance(2 * time.Minute)
	if err := source.Ready(nil); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("Ready with an expired certificate = %v, want an error that names the folder", err)
	}
}
