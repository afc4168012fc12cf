package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// caKey is the key of the CA Secret that holds the certificate for those who verify.
const caKey = "ca.crt"

// maxPrevious bounds the replaced CAs in a bundle, so that a Secret which is destroyed over and over cannot grow it without end.
const maxPrevious = 3

// publication is the CA bundle that a webhook configuration carries, or should carry.
type publication struct {
	// bundles are the PEM bundles of the configuration's webhooks, in their order.
	bundles [][]byte
	// since is when the first certificate of the bundles was put there; zero where that is not recorded.
	since time.Time
}

// bundlePlan is what a configuration should carry now.
type bundlePlan struct {
	// bundle is the PEM bundle for every webhook: the current CA first.
	bundle []byte
	// since is when the current CA was put there, in whole seconds.
	since time.Time
	// write is true where the configuration differs from the plan.
	write bool
	// ends is when the replaced CAs have to leave; zero where there are none.
	ends time.Time
}

// wake returns how long to wait before the plan changes by itself; zero where it does not.
func (p bundlePlan) wake(now time.Time) time.Duration {
	if p.ends.IsZero() {
		return 0
	}
	return max(p.ends.Sub(now), time.Second)
}

// planBundle decides the bundle of one webhook configuration: the current CA, followed by the CAs found there until the overlap has passed.
// Anything unparsable or expired is dropped.
func planBundle(have publication, current *x509.Certificate, now time.Time, overlap time.Duration) bundlePlan {
	plan := bundlePlan{since: have.since}
	if len(have.bundles) == 0 {
		return plan
	}
	found, leads := mergeBundles(have.bundles, current)
	// A moment further ahead than any skew of clocks explains was not written by a replica.
	if !leads || have.since.IsZero() || have.since.After(now.Add(overlap)) {
		plan.since = now.UTC().Truncate(time.Second)
	}
	keep := []*x509.Certificate{current}
	if ends := plan.since.Add(overlap); now.Before(ends) {
		keep = append(keep, previous(found, current, now)...)
		if len(keep) > 1 {
			plan.ends = ends
		}
	}
	plan.bundle = encodeBundle(keep)
	plan.write = !plan.since.Equal(have.since)
	for _, bundle := range have.bundles {
		plan.write = plan.write || !bytes.Equal(bundle, plan.bundle)
	}
	return plan
}

// mergeBundles returns all certificates of the bundles, and whether the current one comes first in each of them.
func mergeBundles(bundles [][]byte, current *x509.Certificate) (found []*x509.Certificate, leads bool) {
	leads = true
	for _, bundle := range bundles {
		certs := decodeBundle(bundle)
		leads = leads && len(certs) > 0 && certs[0].Equal(current)
		found = append(found, certs...)
	}
	return found, leads
}

// previous returns the distinct certificates other than the current that are still valid, in the order given and at most maxPrevious.
func previous(found []*x509.Certificate, current *x509.Certificate, now time.Time) []*x509.Certificate {
	var kept []*x509.Certificate
	seen := map[string]bool{string(current.Raw): true}
	for _, cert := range found {
		if len(kept) == maxPrevious {
			break
		}
		if seen[string(cert.Raw)] || now.After(cert.NotAfter) {
			continue
		}
		seen[string(cert.Raw)] = true
		kept = append(kept, cert)
	}
	return kept
}

// decodeBundle returns the certificates of a PEM bundle and passes over everything else in it.
func decodeBundle(bundle []byte) []*x509.Certificate {
	var certs []*x509.Certificate
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			certs = append(certs, cert)
		}
	}
	return certs
}

func encodeBundle(certs []*x509.Certificate) []byte {
	var out bytes.Buffer
	for _, cert := range certs {
		out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
	}
	return out.Bytes()
}

// parseCA returns the CA certificate of the Secret, or an error where the authority could not sign with it and is about to replace it.
func parseCA(secret *corev1.Secret) (*x509.Certificate, error) {
	if !bytes.Equal(secret.Data[caKey], secret.Data[corev1.TLSCertKey]) {
		return nil, fmt.Errorf("keys %s and %s differ", caKey, corev1.TLSCertKey)
	}
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return nil, fmt.Errorf("keys %s and %s are no pair: %w", corev1.TLSCertKey, corev1.TLSPrivateKeyKey, err)
	}
	if !pair.Leaf.IsCA {
		return nil, errors.New("the certificate is not one of an authority")
	}
	return pair.Leaf, nil
}
