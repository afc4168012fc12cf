package analysis_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// clientCertificate returns a certificate that signs itself, and its key, in PEM.
func clientCertificate(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

// A provider's Secret may hold whom to trust and the certificate to show. The server here has an authority of its own and asks for a certificate.
func TestTLSFromASecret(t *testing.T) {
	cert, key := clientCertificate(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}`)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool()}
	server.TLS.ClientCAs.AppendCertsFromPEM(cert)
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})

	for name, tt := range map[string]struct {
		skip   bool
		secret map[string][]byte
		want   string // "" passes
	}{
		"both":                   {false, map[string][]byte{"ca.crt": ca, "tls.crt": cert, "tls.key": key}, ""},
		"any authority":          {true, map[string][]byte{"tls.crt": cert, "tls.key": key}, ""},
		"no certificate":         {false, map[string][]byte{"ca.crt": ca}, "certificate required"},
		"authority not trusted":  {false, map[string][]byte{"tls.crt": cert, "tls.key": key}, "unknown authority"},
		"authority is no PEM":    {false, map[string][]byte{"ca.crt": []byte("hunter2")}, "ca.crt holds no certificate"},
		"key is not that of it":  {false, map[string][]byte{"ca.crt": ca, "tls.crt": cert, "tls.key": []byte("hunter2")}, "tls.crt and tls.key are no certificate"},
		"certificate, no key":    {false, map[string][]byte{"tls.crt": cert}, "tls.crt and tls.key are no certificate"},
		"none, and no other key": {false, map[string][]byte{"other": []byte("hunter2")}, "neither token"},
	} {
		t.Run(name, func(t *testing.T) {
			s := sources{
				templates: map[string]v1beta1.MetricTemplateSpec{"test/m": {Query: "up", Provider: v1beta1.MetricProvider{
					Type: v1beta1.MetricPrometheus, Address: server.URL, InsecureSkipVerify: tt.skip, SecretRef: &v1beta1.SecretReference{Name: "tls"},
				}}},
				secrets: map[string]map[string][]byte{"test/tls": tt.secret},
			}
			req := metricRequest(newProm(t, "1"), v1beta1.CanaryMetric{Name: "m", ThresholdRange: atLeast(1), TemplateRef: &v1beta1.CrossNamespaceReference{Name: "m"}})
			got := newChecker(s, false).Check(t.Context(), req)
			if tt.want == "" && got.Verdict != v1beta1.VerdictPass {
				t.Errorf("%+v, want it to pass", got)
			}
			if tt.want != "" && (got.Verdict != v1beta1.VerdictError || !strings.Contains(got.Message, tt.want)) {
				t.Errorf("%+v, want an error with %q", got, tt.want)
			}
			if strings.Contains(got.Message, "hunter2") {
				t.Errorf("%q shows what the Secret holds", got.Message)
			}
		})
	}
}
