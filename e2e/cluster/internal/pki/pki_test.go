package pki

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestIssuedCertificatesAreTrusted(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	ca, err := NewAuthority(dir, "ca", now)
	if err != nil {
		t.Fatal(err)
	}
	err = ca.Issue("server", Request{CommonName: "s", Groups: []string{"g"}, Names: []string{"name"}, IPs: []net.IP{net.IPv4(10, 0, 0, 1)}})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	for _, host := range []string{"name", "10.0.0.1"} {
		options := x509.VerifyOptions{
			Roots: roots, DNSName: host, CurrentTime: now.Add(time.Hour),
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
		if _, err := pair.Leaf.Verify(options); err != nil {
			t.Errorf("as %s: %v", host, err)
		}
	}
	if got := pair.Leaf.Subject; got.CommonName != "s" || len(got.Organization) != 1 || got.Organization[0] != "g" {
		t.Errorf("subject %v", got)
	}
	info, err := os.Stat(filepath.Join(dir, "server.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key is readable by others: %v", err)
	}
}
