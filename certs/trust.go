package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"
)

// trust is what the API servers accept, as last read from the webhook configurations.
type trust struct {
	// serverName is the DNS name that they demand of a leaf.
	serverName string

	mu        sync.RWMutex
	observed  bool
	published map[string]publication
}

// observe replaces what is known. The keys name the configurations for messages; one that does not exist is left out: nobody calls through it.
func (t *trust) observe(published map[string]publication) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.observed, t.published = true, published
}

// covers returns nil when, at the time given, every API server verifies the leaf: each configuration's bundle does, and has for the settle time.
func (t *trust) covers(leaf *x509.Certificate, now time.Time, settle time.Duration) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if !t.observed {
		return errors.New("the webhook configurations have not been read yet")
	}
	for name, pub := range t.published {
		for i, bundle := range pub.bundles {
			if err := verify(leaf, bundle, t.serverName, now); err != nil {
				return fmt.Errorf("%s: the CA bundle of webhook %d does not verify the serving certificate: %w", name, i, err)
			}
		}
		if settled := pub.since.Add(settle); now.Before(settled) {
			return fmt.Errorf("%s: the CA bundle was published at %s and counts from %s", name, pub.since.Format(time.RFC3339), settled.Format(time.RFC3339))
		}
	}
	return nil
}

// verify checks a leaf as an API server does when it calls the webhook.
func verify(leaf *x509.Certificate, bundle []byte, serverName string, now time.Time) error {
	roots := x509.NewCertPool()
	for _, cert := range decodeBundle(bundle) {
		roots.AddCert(cert)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		DNSName:     serverName,
		Roots:       roots,
		CurrentTime: now,
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return err
}

// serving remembers the leaf in use and puts off its replacement until the API servers can verify the new one.
type serving struct {
	trust  *trust
	settle time.Duration
	now    func() time.Time

	mu      sync.Mutex
	current *tls.Certificate
}

// pick returns the leaf to present, given the newest one. The leaf in use stays while it works and the newest is not yet known to.
func (s *serving) pick(newest *tls.Certificate) *tls.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil || (s.current != newest && !s.waits(newest)) {
		s.current = newest
	}
	return s.current
}

func (s *serving) waits(newest *tls.Certificate) bool {
	now := s.now()
	if s.trust.covers(s.current.Leaf, now, 0) != nil {
		// Expired, or its CA is no longer published: there is nothing to lose.
		return false
	}
	// A leaf is valid from the second it was signed in; an API server whose clock is behind would refuse it.
	if now.Before(newest.Leaf.NotBefore.Add(s.settle)) {
		return true
	}
	return s.trust.covers(newest.Leaf, now, s.settle) != nil
}
