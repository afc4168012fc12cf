//go:build integration

package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// mount is a folder that changes as the kubelet changes a mounted Secret: the files are links into a versioned folder behind one more link,
// which is replaced in one step before the old version goes.
type mount struct {
	t       *testing.T
	dir     string
	version int
}

const mountedData = "..data"

// newMount returns a mount with the certificate in it.
func newMount(t *testing.T, leaf *tls.Certificate) *mount {
	t.Helper()
	m := &mount{t: t, dir: t.TempDir()}
	m.hold(leaf)
	for _, name := range []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey} {
		if err := os.Symlink(filepath.Join(mountedData, name), filepath.Join(m.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// hold changes the mounted certificate.
func (m *mount) hold(leaf *tls.Certificate) {
	m.t.Helper()
	m.swap(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Leaf.Raw}), privateKeyPEM(m.t, leaf.PrivateKey))
}

// swap changes the content of the mount.
func (m *mount) swap(cert, key []byte) {
	m.t.Helper()
	m.version++
	fresh := fmt.Sprintf("..version_%d", m.version)
	old, err := os.Readlink(filepath.Join(m.dir, mountedData))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		m.t.Fatal(err)
	}
	link := filepath.Join(m.dir, mountedData+"_tmp")
	if err := errors.Join(
		os.Mkdir(filepath.Join(m.dir, fresh), 0o750),
		os.WriteFile(filepath.Join(m.dir, fresh, corev1.TLSCertKey), cert, 0o600),
		os.WriteFile(filepath.Join(m.dir, fresh, corev1.TLSPrivateKeyKey), key, 0o600),
		os.Symlink(fresh, link),
		os.Rename(link, filepath.Join(m.dir, mountedData)),
	); err != nil {
		m.t.Fatal(err)
	}
	if old == "" {
		return
	}
	if err := os.RemoveAll(filepath.Join(m.dir, old)); err != nil {
		m.t.Fatal(err)
	}
}

// inject writes the bundle into the configurations as cert-manager does, and nothing else.
func (w *world) inject(bundle []byte) {
	w.t.Helper()
	for _, c := range w.stored() {
		before := c.copy()
		c.carry(bundlePlan{bundle: bundle})
		c.object.SetAnnotations(nil)
		if err := w.client.Patch(w.t.Context(), c.object, client.StrategicMergeFrom(before.object)); err != nil {
			w.t.Fatalf("injecting into %s: %v", c, err)
		}
	}
}

// shaking makes handshakes with a replica, each with the bundle in force.
type shaking struct {
	w        *world
	bundle   atomic.Pointer[[]byte]
	made     atomic.Int64
	failures []error
	cancel   context.CancelFunc
	done     chan struct{}
}

// shake begins to make handshakes, two hundred a second at most.
func (w *world) shake(r *replica, bundle []byte) *shaking {
	ctx, cancel := context.WithCancel(w.t.Context())
	s := &shaking{w: w, cancel: cancel, done: make(chan struct{})}
	s.bundle.Store(&bundle)
	go func() {
		defer close(s.done)
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				if _, err := r.handshake(*s.bundle.Load()); err != nil {
					s.failures = append(s.failures, fmt.Errorf("%s: %w", time.Now().Format("15:04:05.000"), err))
				}
				s.made.Add(1)
			}
		}
	}()
	return s
}

// more waits for so many further handshakes, which is a while without a clock.
func (s *shaking) more(n int64) {
	s.w.t.Helper()
	want := s.made.Load() + n
	s.w.eventually("handshakes are made", func() error {
		if made := s.made.Load(); made < want {
			return fmt.Errorf("%d of %d", made, want)
		}
		return nil
	})
}

// end stops and demands that none has failed.
func (s *shaking) end() {
	s.w.t.Helper()
	s.cancel()
	<-s.done
	if len(s.failures) > 0 {
		s.w.t.Errorf("%d of %d handshakes failed: %v", len(s.failures), s.made.Load(), s.failures[0])
	}
}

// passed ends the load and demands that all of it was admitted.
func (w *world) passed(stop func(int64) (int64, []error)) {
	w.t.Helper()
	sent, failures := stop(50)
	if len(failures) > 0 {
		w.t.Errorf("%d of %d admissions failed, first: %v", len(failures), sent, failures[0])
	}
}

// shows waits until the replica serves the certificate to those who trust the bundle.
func (w *world) shows(r *replica, leaf *x509.Certificate, bundle []byte) {
	w.t.Helper()
	w.eventually("the mounted certificate is served", func() error {
		shown, err := r.handshake(bundle)
		if err != nil {
			w.t.Fatalf("a client was shown a certificate that does not verify: %v", err)
		}
		if !shown.Equal(leaf) {
			return fmt.Errorf("serial %s valid from %s is served", shown.SerialNumber, shown.NotBefore)
		}
		return nil
	})
}

// newFilesWorld returns a world whose replica serves the mount; nothing is injected yet.
func newFilesWorld(t *testing.T, name string, m *mount) (*world, *replica) {
	t.Helper()
	opts := fast(name)
	opts.Mode, opts.Dir = ModeFiles, m.dir
	w := newWorld(t, opts)
	w.createConfigurations()
	r := w.start(apiServer)
	w.ready(r)
	return w, r
}

// TestMountedCertificateIsReloadedUnderLoad renews the serving certificate, then the CA with the key it had, under load. The bundle comes first
// and the files much later, as with cert-manager and a kubelet. No handshake and no admission fails.
func TestMountedCertificateIsReloadedUnderLoad(t *testing.T) {
	start := time.Now().Add(-time.Hour)
	ca := newCA(t, start, 24*time.Hour)
	m := newMount(t, ca.leaf(t, start, 12*time.Hour))
	w, r := newFilesWorld(t, "files-reload", m)
	// Otherwise this test would prove nothing. The API server learns of the webhooks a moment after they are stored.
	w.eventually("nothing is admitted while no bundle is injected", func() error {
		if w.admit() == nil {
			return errors.New("a request was admitted")
		}
		return nil
	})
	bundle := bundleOf(ca)
	w.inject(bundle)
	w.eventually("a request is admitted", w.admit)

	stop, handshakes := w.load(), w.shake(r, bundle)
	for i := range 3 {
		leaf := ca.leaf(t, start.Add(time.Duration(i+1)*time.Minute), 12*time.Hour)
		m.hold(leaf)
		w.shows(r, leaf.Leaf, bundle)
	}

	renewed := ca.renewed(t, start.Add(time.Minute), 48*time.Hour)
	fresh := bundleOf(renewed)
	w.inject(fresh)
	handshakes.bundle.Store(&fresh)
	handshakes.more(300)
	leaf := renewed.leaf(t, start.Add(time.Hour), 12*time.Hour)
	m.hold(leaf)
	w.shows(r, leaf.Leaf, fresh)
	// An API server that has not seen the new bundle yet.
	if _, err := r.handshake(bundle); err != nil {
		t.Errorf("the new certificate does not verify with the old bundle: %v", err)
	}

	handshakes.more(100)
	handshakes.end()
	w.passed(stop)
	if err := w.bundlesAre(renewed.cert); err != nil {
		t.Errorf("the bundle is not the injected one any more: %v", err)
	}
	for _, c := range w.stored() {
		if _, ours := c.object.GetAnnotations()[SinceAnnotation]; ours {
			t.Errorf("%s was written by the built-in injector, which has to be off", c)
		}
	}
	var secret corev1.Secret
	if err := w.client.Get(t.Context(), client.ObjectKey{Namespace: w.opts.Namespace, Name: w.opts.CASecret}, &secret); !apierrors.IsNotFound(err) {
		t.Errorf("reading the built-in CA's Secret: %v, want that there is none", err)
	}
}

// TestUnusableFilesChangeNothing mounts what cannot be served: the certificate that works stays, and the next good one is taken.
func TestUnusableFilesChangeNothing(t *testing.T) {
	start := time.Now().Add(-time.Hour)
	ca := newCA(t, start, 24*time.Hour)
	good := ca.leaf(t, start, 12*time.Hour)
	m := newMount(t, good)
	w, r := newFilesWorld(t, "files-unusable", m)
	bundle := bundleOf(ca)
	w.inject(bundle)
	w.eventually("a request is admitted", w.admit)

	stop, handshakes := w.load(), w.shake(r, bundle)
	other := ca.leaf(t, start, 12*time.Hour)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.Leaf.Raw})
	for _, content := range [][2][]byte{
		{certificate, privateKeyPEM(t, good.PrivateKey)},
		{[]byte("rubbish"), []byte("rubbish")},
		{nil, nil},
	} {
		m.swap(content[0], content[1])
		handshakes.more(100)
		w.shows(r, good.Leaf, bundle)
		if err := r.source.Ready(nil); err != nil {
			t.Errorf("a replica with a certificate that works left the Service: %v", err)
		}
	}
	m.hold(other)
	w.shows(r, other.Leaf, bundle)
	handshakes.end()
	w.passed(stop)
}
