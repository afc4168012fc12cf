package certs

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	cmtls "github.com/cert-manager/cert-manager/pkg/server/tls"
	"github.com/cert-manager/cert-manager/pkg/server/tls/authority"
	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// signRetry is the wait before another try while the CA Secret is being created or repaired.
const signRetry = time.Second

// builtin is the source of ModeBuiltin.
type builtin struct {
	opts      Options
	authority *authority.DynamicAuthority
	leaves    *cmtls.DynamicSource
	trust     *trust
	serving   *serving
	// trusted is set for good once the API servers could verify a leaf of this process: from then on a bundle that somebody damages is
	// repaired by the injector, and leaving the Service meanwhile would only make the gap longer.
	trusted atomic.Bool
}

var (
	_ Source                         = &builtin{}
	_ manager.LeaderElectionRunnable = &leafRunner{}
)

func newBuiltin(opts Options) *builtin {
	ca := &authority.DynamicAuthority{
		SecretNamespace: opts.Namespace,
		SecretName:      opts.CASecret,
		SecretLabels:    map[string]string{"app.kubernetes.io/part-of": "sluice", "app.kubernetes.io/component": "webhook-ca"},
		CommonName:      DefaultCASecret,
		CADuration:      opts.CADuration,
		LeafDuration:    opts.LeafDuration,
	}
	known := &trust{serverName: opts.serverName()}
	return &builtin{
		opts:      opts,
		authority: ca,
		leaves:    &cmtls.DynamicSource{DNSNames: opts.dnsNames(), Authority: ca, RetryInterval: signRetry},
		trust:     known,
		serving:   &serving{trust: known, settle: opts.Settle, now: opts.Now},
	}
}

// TLS implements [Source].
func (b *builtin) TLS(config *tls.Config) {
	config.MinVersion = tls.VersionTLS13
	config.GetCertificate = b.certificate
}

func (b *builtin) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	newest, err := b.leaves.GetCertificate(hello)
	if err != nil {
		return nil, fmt.Errorf("no serving certificate yet, waiting for a usable CA in Secret %s/%s: %w", b.opts.Namespace, b.opts.CASecret, err)
	}
	return b.serving.pick(newest), nil
}

// SetupWithManager implements [Source].
func (b *builtin) SetupWithManager(mgr manager.Manager) error {
	b.authority.RESTConfig = mgr.GetConfig()
	log := mgr.GetLogger().WithName("certs")
	if err := mgr.Add(&leafRunner{leaves: b.leaves, log: log}); err != nil {
		return fmt.Errorf("adding the certificate authority: %w", err)
	}
	if err := setupInjector(mgr, b.opts, b.trust); err != nil {
		return fmt.Errorf("adding the CA injector: %w", err)
	}
	return nil
}

// Ready implements [Source].
func (b *builtin) Ready(*http.Request) error {
	cert, err := b.certificate(nil)
	if err != nil {
		return err
	}
	now := b.opts.Now()
	if err := valid(cert, now); err != nil {
		return err
	}
	if b.trusted.Load() {
		return nil
	}
	if err := b.trust.covers(cert.Leaf, now, 0); err != nil {
		return fmt.Errorf("API servers cannot trust the webhook yet: %w", err)
	}
	b.trusted.Store(true)
	return nil
}

// leafRunner runs the authority and the renewal of leaves on every replica, logging through the manager's logger.
type leafRunner struct {
	leaves *cmtls.DynamicSource
	log    logr.Logger
}

// Start implements manager.Runnable.
func (r *leafRunner) Start(ctx context.Context) error {
	return r.leaves.Start(logr.NewContext(ctx, r.log))
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica serves, so every replica signs.
func (r *leafRunner) NeedLeaderElection() bool {
	return false
}

// valid checks that the certificate holds at the time given.
func valid(cert *tls.Certificate, now time.Time) error {
	if now.Before(cert.Leaf.NotBefore) || now.After(cert.Leaf.NotAfter) {
		return fmt.Errorf("the serving certificate is valid from %s to %s, and it is %s: it was not renewed, or the clock is wrong",
			cert.Leaf.NotBefore.Format(time.RFC3339), cert.Leaf.NotAfter.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}
