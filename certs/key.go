package certs

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Key returns a key that all replicas share and nobody else has who may not read the webhook's private key anyway, for signing what one replica writes
// and another reads. It is derived for the purpose from the key of the CA, or of the serving certificate where that is mounted, and changes with it. The
// reader must ask the API server itself: the Secret is in no cache.
func (o Options) Key(purpose string, live client.Reader) func(context.Context) ([]byte, error) {
	o = o.withDefaults()
	read := func(ctx context.Context) ([]byte, error) {
		var s corev1.Secret
		if err := live.Get(ctx, client.ObjectKey{Namespace: o.Namespace, Name: o.CASecret}, &s); err != nil {
			return nil, fmt.Errorf("reading the key of Secret %s/%s: %w", o.Namespace, o.CASecret, err)
		}
		return s.Data[corev1.TLSPrivateKeyKey], nil
	}
	if o.Mode == ModeFiles {
		read = func(context.Context) ([]byte, error) {
			return os.ReadFile(filepath.Join(o.Dir, corev1.TLSPrivateKeyKey))
		}
	}
	return func(ctx context.Context) ([]byte, error) {
		private, err := read(ctx)
		if err != nil {
			return nil, err
		}
		if len(private) == 0 {
			return nil, errors.New("the webhook's private key is empty; it is being made")
		}
		mac := hmac.New(sha256.New, private)
		mac.Write([]byte(purpose))
		return mac.Sum(nil), nil
	}
}
