package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// testServerName is the DNS name of the leaves that tests sign.
const testServerName = "sluice-webhook.sluice-system.svc"

// testCA is an authority for tests.
type testCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newCA returns an authority that is valid from the time given. All of them carry the same name, as the real ones do.
func newCA(t *testing.T, from time.Time, life time.Duration) testCA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: DefaultCASecret},
		NotBefore:             from,
		NotAfter:              from.Add(life),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	return testCA{cert: sign(t, template, template, key.Public(), key), key: key}
}

// renewed returns the authority with a certificate of its own from the time given, and the key it had.
func (ca testCA) renewed(t *testing.T, from time.Time, life time.Duration) testCA {
	t.Helper()
	template := *ca.cert
	template.SerialNumber = new(big.Int).Add(ca.cert.SerialNumber, big.NewInt(1))
	template.NotBefore, template.NotAfter = from, from.Add(life)
	return testCA{cert: sign(t, &template, &template, ca.key.Public(), ca.key), key: ca.key}
}

// leaf returns a serving certificate of this authority, for the Service and for this host.
func (ca testCA) leaf(t *testing.T, from time.Time, life time.Duration) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2),
		NotBefore:    from,
		NotAfter:     from.Add(life),
		DNSNames:     []string{testServerName, "localhost"},
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, ca.cert, key.Public(), ca.key)
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

func (ca testCA) keyPEM(t *testing.T) []byte {
	t.Helper()
	return privateKeyPEM(t, ca.key)
}

func privateKeyPEM(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func sign(t *testing.T, template, parent *x509.Certificate, public, key any) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// bundleOf returns the PEM bundle of the authorities in the order given.
func bundleOf(cas ...testCA) []byte {
	var out bytes.Buffer
	for _, ca := range cas {
		out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw}))
	}
	return out.Bytes()
}
