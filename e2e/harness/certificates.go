package harness

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"

	admissionregv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	caSecret        = "sluice-webhook-ca"
	configuration   = "sluice"
	webhookHostname = "sluice-webhook." + SluiceNamespace + ".svc"
)

// ServingCertificates are the certificates that Sluice's pods present to API
// servers, by the name of the pod. It is an error unless the authority given
// signed each of them and they hold now.
func (h *Harness) ServingCertificates(ctx context.Context, authority *x509.Certificate) (map[string]*x509.Certificate, error) {
	pods, err := h.SluicePods(ctx)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	out := map[string]*x509.Certificate{}
	for _, pod := range pods {
		if out[pod.Name], err = h.servingCertificate(ctx, pod.Status.PodIP, roots); err != nil {
			return nil, fmt.Errorf("certificate of pod %s: %w", pod.Name, err)
		}
	}
	return out, nil
}

func (h *Harness) servingCertificate(ctx context.Context, ip string, roots *x509.CertPool) (*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	plain, err := h.Cluster.DialContext(ctx, "tcp", net.JoinHostPort(ip, "9443"))
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	conn := tls.Client(plain, &tls.Config{RootCAs: roots, ServerName: webhookHostname, MinVersion: tls.VersionTLS13})
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return conn.ConnectionState().PeerCertificates[0], nil
}

// WebhookCA is the certificate of the authority that signs now.
func (h *Harness) WebhookCA(ctx context.Context) (*x509.Certificate, error) {
	var secret corev1.Secret
	if err := h.Client.Get(ctx, types.NamespacedName{Namespace: SluiceNamespace, Name: caSecret}, &secret); err != nil {
		return nil, fmt.Errorf("read the webhook's authority: %w", err)
	}
	found, err := certificates(secret.Data[corev1.TLSCertKey])
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("%d certificates", len(found))
	}
	if err != nil {
		return nil, fmt.Errorf("read the webhook's authority: %w", err)
	}
	return found[0], nil
}

// ReplaceWebhookCA puts another authority, PEM-encoded, into the Secret and
// into every webhook, as if it had been there all the time.
func (h *Harness) ReplaceWebhookCA(ctx context.Context, certificate, key []byte) error {
	var secret corev1.Secret
	if err := h.Client.Get(ctx, types.NamespacedName{Namespace: SluiceNamespace, Name: caSecret}, &secret); err != nil {
		return fmt.Errorf("replace the webhook's authority: %w", err)
	}
	secret.Data = map[string][]byte{"ca.crt": certificate, corev1.TLSCertKey: certificate, corev1.TLSPrivateKeyKey: key}
	if err := h.Client.Update(ctx, &secret); err != nil {
		return fmt.Errorf("replace the webhook's authority: %w", err)
	}
	var mutating admissionregv1.MutatingWebhookConfiguration
	var validating admissionregv1.ValidatingWebhookConfiguration
	name := types.NamespacedName{Name: configuration}
	if err := errors.Join(h.Client.Get(ctx, name, &mutating), h.Client.Get(ctx, name, &validating)); err != nil {
		return fmt.Errorf("replace the webhook's authority: %w", err)
	}
	for i := range mutating.Webhooks {
		mutating.Webhooks[i].ClientConfig.CABundle = certificate
	}
	for i := range validating.Webhooks {
		validating.Webhooks[i].ClientConfig.CABundle = certificate
	}
	if err := errors.Join(h.Client.Update(ctx, &mutating), h.Client.Update(ctx, &validating)); err != nil {
		return fmt.Errorf("replace the webhook's authority: %w", err)
	}
	return nil
}

// WebhookBundle is what the API server trusts Sluice's pods by; all webhooks
// have to agree.
func (h *Harness) WebhookBundle(ctx context.Context) ([]*x509.Certificate, error) {
	var mutating admissionregv1.MutatingWebhookConfiguration
	var validating admissionregv1.ValidatingWebhookConfiguration
	name := types.NamespacedName{Name: configuration}
	if err := errors.Join(h.Client.Get(ctx, name, &mutating), h.Client.Get(ctx, name, &validating)); err != nil {
		return nil, fmt.Errorf("read the CA bundle: %w", err)
	}
	bundles := map[string]bool{}
	for _, w := range mutating.Webhooks {
		bundles[string(w.ClientConfig.CABundle)] = true
	}
	for _, w := range validating.Webhooks {
		bundles[string(w.ClientConfig.CABundle)] = true
	}
	if len(bundles) != 1 {
		return nil, fmt.Errorf("read the CA bundle: the webhooks have %d different ones", len(bundles))
	}
	for bundle := range bundles {
		return certificates([]byte(bundle))
	}
	return nil, nil
}

func certificates(text []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(out)+1, err)
		}
		out = append(out, certificate)
	}
	return out, nil
}
