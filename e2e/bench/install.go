package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	ownNamespace = "sluice-system"
	ownUser      = "system:serviceaccount:" + ownNamespace + ":sluice"
	// noopLabel stands in the no-op webhook's selectors where Sluice's have
	// their own label.
	noopLabel = "bench.sluice.dev/noop"
)

// skipped kinds need controllers, or are replaced.
var skipped = []string{"Deployment", "PodDisruptionBudget", "Service", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"}

// apply creates what the rendered install says, and returns its webhook
// configurations.
func apply(ctx context.Context, c client.Client, install string) (
	*admissionv1.MutatingWebhookConfiguration, *admissionv1.ValidatingWebhookConfiguration, error,
) {
	file, err := os.Open(install)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: make manifests renders it", err)
	}
	defer func() { _ = file.Close() }()
	var mutating admissionv1.MutatingWebhookConfiguration
	var validating admissionv1.ValidatingWebhookConfiguration
	decoder := utilyaml.NewYAMLOrJSONDecoder(file, 4096)
	for {
		u := &unstructured.Unstructured{}
		if err := decoder.Decode(&u.Object); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", install, err)
		}
		switch u.GetKind() {
		case "MutatingWebhookConfiguration":
			err = runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &mutating)
		case "ValidatingWebhookConfiguration":
			err = runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &validating)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", install, err)
		}
		if len(u.Object) == 0 || slices.Contains(skipped, u.GetKind()) {
			continue
		}
		// Kinds that were defined a moment ago are served a little later.
		if err := until(ctx, "apply "+u.GetKind()+" "+u.GetName(), func(ctx context.Context) error { return create(ctx, c, u) }); err != nil {
			return nil, nil, err
		}
	}
	return &mutating, &validating, nil
}

// create takes what exists already for done.
func create(ctx context.Context, c client.Client, u *unstructured.Unstructured) error {
	if err := c.Create(ctx, u.DeepCopy()); !apierrors.IsAlreadyExists(err) {
		return err
	}
	return nil
}

// holdLease takes the lease, so that no replica reconciles.
func holdLease(ctx context.Context, c client.Client) error {
	now := metav1.NowMicro()
	holder, seconds := "bench", int32((24 * time.Hour).Seconds())
	return c.Create(ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: ownNamespace, Name: "sluice"},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, AcquireTime: &now, RenewTime: &now},
	})
}

// gate installs Sluice's configurations, and for the no-op webhook a copy of
// the mutating one: it is asked as often, in the same phase, under the same
// conditions. The validating one asks only about what the mutating phase has
// left no trace of.
func gate(
	ctx context.Context, c client.Client, k *cluster, ca []byte,
	m *admissionv1.MutatingWebhookConfiguration, v *admissionv1.ValidatingWebhookConfiguration,
) error {
	noop := m.DeepCopy()
	noop.Name = "noop"
	for i := range noop.Webhooks {
		w := &noop.Webhooks[i]
		point(&w.ClientConfig, k.ports["noop"], ca)
		w.Name, w.ObjectSelector = "noop-"+w.Name, reselect(w.ObjectSelector)
	}
	for i := range m.Webhooks {
		point(&m.Webhooks[i].ClientConfig, k.ports["sluice"], ca)
	}
	for i := range v.Webhooks {
		point(&v.Webhooks[i].ClientConfig, k.ports["sluice"], ca)
	}
	if err := errors.Join(c.Create(ctx, noop), c.Create(ctx, m), c.Create(ctx, v)); err != nil {
		return fmt.Errorf("create the webhook configurations: %w", err)
	}
	return nil
}

// point sends calls to a process on this machine.
func point(to *admissionv1.WebhookClientConfig, port int, ca []byte) {
	url := fmt.Sprintf("https://127.0.0.1:%d%s", port, *to.Service.Path)
	to.Service, to.URL, to.CABundle = nil, &url, ca
}

// reselect exchanges Sluice's label; webhooks that select no objects by it
// select none at all.
func reselect(s *metav1.LabelSelector) *metav1.LabelSelector {
	value := "nothing"
	if s != nil {
		for k, v := range s.MatchLabels {
			value = k + "." + v
		}
	}
	return &metav1.LabelSelector{MatchLabels: map[string]string{noopLabel: labelText(value)}}
}

// labelText writes a label and its value as one label's value.
func labelText(s string) string {
	out := []byte(s)
	for i, b := range out {
		if b == '/' {
			out[i] = '.'
		}
	}
	return string(out)
}

// certificate writes tls.crt and tls.key for 127.0.0.1 into a folder, and
// returns what to trust.
func certificate(dir string) (ca []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("key of the webhooks: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "bench"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("certificate of the webhooks: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("key of the webhooks: %w", err)
	}
	ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return ca, errors.Join(
		os.MkdirAll(dir, 0o700),
		os.WriteFile(filepath.Join(dir, "tls.crt"), ca, 0o600),
		os.WriteFile(filepath.Join(dir, "tls.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600),
	)
}
