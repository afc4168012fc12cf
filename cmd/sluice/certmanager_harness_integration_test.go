//go:build integration

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/testserver"
	"github.com/sluice-dev/sluice/certs"
)

// Names in the component.
const (
	servingName = "sluice-webhook"
	caName      = "sluice-ca"
)

// webhookHost is whom API servers expect behind the webhook's Service.
const webhookHost = certs.DefaultService + "." + ownNamespace + ".svc"

// installCertManagerCRDs installs the CRDs of cert-manager as it ships them.
func installCertManagerCRDs(t *testing.T) {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/cert-manager/cert-manager")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("finding cert-manager's module: %v", err)
	}
	if err := testserver.InstallCRDs(apiServer, filepath.Join(strings.TrimSpace(string(out)), "deploy", "crds")); err != nil {
		t.Fatalf("installing cert-manager's CRDs: %v", err)
	}
}

// runCertManager installs cert-manager and runs its own controllers until the test ends. It returns a client that knows its types.
func runCertManager(t *testing.T) client.Client {
	t.Helper()
	program := os.Getenv("CERT_MANAGER")
	if program == "" {
		t.Fatal("CERT_MANAGER does not name the program that runs cert-manager's controllers: run these tests with make integration")
	}
	installCertManagerCRDs(t)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, server.KubeConfig, 0o600); err != nil {
		t.Fatal(err)
	}
	launchProgram(t, program, "-kubeconfig="+kubeconfig)
	if err := cmapi.AddToScheme(scheme.Scheme); err != nil {
		t.Fatal(err)
	}
	return typedClient(t)
}

// issuance is what cert-manager has put into the Secret of a Certificate.
type issuance struct {
	// cert and key are PEM, as is the CA, which verifies cert.
	cert, key, ca []byte
	leaf          *x509.Certificate
}

// issued waits until the Certificate holds something else than before; nil stands for nothing.
func issued(t *testing.T, c client.Client, name string, before *issuance) *issuance {
	t.Helper()
	var now *issuance
	eventually(t, "cert-manager issues "+name, func(ctx context.Context) error {
		var certificate cmapi.Certificate
		if err := c.Get(ctx, client.ObjectKey{Namespace: ownNamespace, Name: name}, &certificate); err != nil {
			return err
		}
		for _, condition := range certificate.Status.Conditions {
			if (condition.Type == cmapi.CertificateConditionReady) != (condition.Status == cmmeta.ConditionTrue) {
				return fmt.Errorf("condition %s is %s: %s", condition.Type, condition.Status, condition.Message)
			}
		}
		var secret corev1.Secret
		if err := c.Get(ctx, client.ObjectKey{Namespace: ownNamespace, Name: certificate.Spec.SecretName}, &secret); err != nil {
			return err
		}
		now = &issuance{cert: secret.Data[corev1.TLSCertKey], key: secret.Data[corev1.TLSPrivateKeyKey], ca: secret.Data[cmmeta.TLSCAKey]}
		if len(now.cert) == 0 || (before != nil && bytes.Equal(now.cert, before.cert)) {
			return errors.New("nothing new")
		}
		return nil
	})
	block, _ := pem.Decode(now.cert)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	now.leaf = leaf
	return now
}

// renew asks for a new certificate as `cmctl renew` does, and waits for it.
func renew(t *testing.T, c client.Client, name string, before *issuance) *issuance {
	t.Helper()
	eventually(t, "renewing "+name, func(ctx context.Context) error {
		var certificate cmapi.Certificate
		if err := c.Get(ctx, client.ObjectKey{Namespace: ownNamespace, Name: name}, &certificate); err != nil {
			return err
		}
		now := metav1.Now()
		certificate.Status.Conditions = append(certificate.Status.Conditions, cmapi.CertificateCondition{
			Type: cmapi.CertificateConditionIssuing, Status: cmmeta.ConditionTrue, LastTransitionTime: &now,
			Reason: "ManuallyTriggered", Message: "a test", ObservedGeneration: certificate.Generation,
		})
		return c.Status().Update(ctx, &certificate)
	})
	return issued(t, c, name, before)
}

// bundles are those of all webhooks, in no order that matters.
func bundles(ctx context.Context, c client.Client) ([][]byte, error) {
	var mutating admissionv1.MutatingWebhookConfiguration
	var validating admissionv1.ValidatingWebhookConfiguration
	for _, object := range []client.Object{&mutating, &validating} {
		if err := c.Get(ctx, client.ObjectKey{Name: certs.DefaultConfiguration}, object); err != nil {
			return nil, err
		}
	}
	var out [][]byte
	for _, w := range mutating.Webhooks {
		out = append(out, w.ClientConfig.CABundle)
	}
	for _, w := range validating.Webhooks {
		out = append(out, w.ClientConfig.CABundle)
	}
	return out, nil
}

// injected waits until every webhook trusts the CA.
func injected(t *testing.T, c client.Client, ca []byte) {
	t.Helper()
	eventually(t, "the CA is injected", func(ctx context.Context) error {
		all, err := bundles(ctx, c)
		for i, bundle := range all {
			if !bytes.Contains(bundle, bytes.TrimSpace(ca)) {
				err = errors.Join(err, fmt.Errorf("webhook %d has another bundle", i))
			}
		}
		return err
	})
}

// mount is a folder that changes as the kubelet changes a mounted Secret: the files are links into a versioned folder behind one more link.
type mount struct {
	t       *testing.T
	dir     string
	version int
}

func newMount(t *testing.T, content *issuance) *mount {
	t.Helper()
	m := &mount{t: t, dir: t.TempDir()}
	m.hold(content)
	for _, name := range []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(m.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// hold replaces the content in one step, after which the old version goes.
func (m *mount) hold(content *issuance) {
	m.t.Helper()
	m.version++
	old, fresh := fmt.Sprintf("..version_%d", m.version-1), fmt.Sprintf("..version_%d", m.version)
	link := filepath.Join(m.dir, "..data_tmp")
	if err := errors.Join(
		os.Mkdir(filepath.Join(m.dir, fresh), 0o750),
		os.WriteFile(filepath.Join(m.dir, fresh, corev1.TLSCertKey), content.cert, 0o600),
		os.WriteFile(filepath.Join(m.dir, fresh, corev1.TLSPrivateKeyKey), content.key, 0o600),
		os.Symlink(fresh, link),
		os.Rename(link, filepath.Join(m.dir, "..data")),
		os.RemoveAll(filepath.Join(m.dir, old)),
	); err != nil {
		m.t.Fatal(err)
	}
}

// handshake connects to a webhook as an API server that trusts the bundle does, and returns the certificate that it was shown.
func handshake(ctx context.Context, address string, bundle []byte) (*x509.Certificate, error) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: patience}, Config: &tls.Config{RootCAs: roots, ServerName: webhookHost}}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

// hostAddress is one at which the API server reaches processes of this machine; endpoints cannot be on the loopback device.
func hostAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if network, ok := a.(*net.IPNet); ok && network.IP.To4() != nil && network.IP.IsGlobalUnicast() {
			return network.IP.String()
		}
	}
	t.Fatal("this machine has no IPv4 address but that of the loopback device: add one, for example to a dummy device")
	return ""
}

// endpoint makes the process one of those behind the webhook's Service, until the test ends.
func endpoint(t *testing.T, c client.Client, address string, p *process) {
	t.Helper()
	name, port, ready := "https", int32(p.webhook), true
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: ownNamespace, Name: fmt.Sprintf("%s-%d", certs.DefaultService, p.webhook),
			Labels: map[string]string{discoveryv1.LabelServiceName: certs.DefaultService},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
		Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
	}
	if err := c.Create(t.Context(), slice); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := c.Delete(ctx, slice); err != nil && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	})
}
