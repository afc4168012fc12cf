package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// files is the source of ModeFiles.
type files struct {
	dir     string
	now     func() time.Time
	watcher *certwatcher.CertWatcher
}

var _ Source = &files{}

func newFiles(opts Options) (*files, error) {
	watcher, err := certwatcher.New(filepath.Join(opts.Dir, corev1.TLSCertKey), filepath.Join(opts.Dir, corev1.TLSPrivateKeyKey))
	if err != nil {
		return nil, fmt.Errorf("reading the serving certificate from folder %q: %w; mount a Secret with %s and %s there, or use certificate mode %q",
			opts.Dir, err, corev1.TLSCertKey, corev1.TLSPrivateKeyKey, ModeBuiltin)
	}
	return &files{dir: opts.Dir, now: opts.Now, watcher: watcher}, nil
}

// TLS implements [Source].
func (f *files) TLS(config *tls.Config) {
	config.MinVersion = tls.VersionTLS13
	config.GetCertificate = f.watcher.GetCertificate
}

// SetupWithManager implements [Source].
func (f *files) SetupWithManager(mgr manager.Manager) error {
	if err := mgr.Add(f.watcher); err != nil {
		return fmt.Errorf("adding the certificate watcher: %w", err)
	}
	return nil
}

// Ready implements [Source]. Who mounts the files also injects the CA, so only the certificate itself is judged.
func (f *files) Ready(*http.Request) error {
	cert, err := f.watcher.GetCertificate(nil)
	if err != nil {
		return err
	}
	if cert == nil || cert.Leaf == nil {
		return errors.New("no serving certificate has been read")
	}
	if err := valid(cert, f.now()); err != nil {
		return fmt.Errorf("folder %q: %w", f.dir, err)
	}
	return nil
}
