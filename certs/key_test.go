package certs

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// secret answers every question with one Secret.
type secret struct {
	client.Reader
	corev1.Secret
}

func (s secret) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	if key.Namespace == s.Namespace && key.Name == s.Name {
		s.DeepCopyInto(into.(*corev1.Secret))
	}
	return nil
}

// Both sources give all replicas one key for each purpose, which is never the private key itself.
func TestKey(t *testing.T) {
	private := []byte("private")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, corev1.TLSPrivateKeyKey), private, 0o600); err != nil {
		t.Fatal(err)
	}
	stored := secret{Secret: corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "sluice-system", Name: DefaultCASecret}, Data: map[string][]byte{corev1.TLSPrivateKeyKey: private},
	}}
	for name, o := range map[string]Options{"builtin": {Namespace: "sluice-system"}, "files": {Mode: ModeFiles, Dir: dir}} {
		key := func(purpose string) []byte {
			k, err := o.Key(purpose, stored)(t.Context())
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return k
		}
		if !bytes.Equal(key("a"), key("a")) || bytes.Equal(key("a"), key("b")) || bytes.Equal(key("a"), private) || len(key("a")) != 32 {
			t.Errorf("%s: keys %x and %x", name, key("a"), key("b"))
		}
	}
	for name, o := range map[string]Options{"no key yet": {Namespace: "elsewhere"}, "no file": {Mode: ModeFiles, Dir: t.TempDir()}} {
		if k, err := o.Key("a", stored)(t.Context()); err == nil || k != nil {
			t.Errorf("%s: key %x, error %v", name, k, err)
		}
	}
}
