//go:build integration

package certs

import (
	"bufio"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// fast are options whose rotations a test can wait for. An API server on a busy machine has to learn of a bundle within Settle.
func fast(name string) Options {
	return Options{Namespace: name, ValidatingConfiguration: name, MutatingConfiguration: name, Settle: 8 * time.Second, Overlap: 24 * time.Second}
}

// TestInstallWithTheShippedRights runs two replicas as the shipped service account: they share one CA, inject it, become ready, and then rest.
func TestInstallWithTheShippedRights(t *testing.T) {
	w := newWorld(t, Options{Namespace: "sluice-system"})
	applyShipped(t, w, "own-namespace.yaml", "cluster.yaml")
	identity := rest.CopyConfig(apiServer)
	identity.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:sluice-system:sluice",
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:sluice-system", "system:authenticated"},
	}
	w.createConfigurations()
	one, two := w.start(identity), w.start(identity)
	w.ready(one, two)
	w.eventually("a request is admitted", w.admit)

	secret := w.secret()
	ca, err := parseCA(secret)
	if err != nil {
		t.Fatalf("the stored CA is unusable: %v", err)
	}
	if life := ca.NotAfter.Sub(ca.NotBefore); life != DefaultCADuration {
		t.Errorf("the CA lives %s, want %s", life, DefaultCADuration)
	}
	if err := w.bundlesAre(ca); err != nil {
		t.Error(err)
	}
	for _, r := range []*replica{one, two} {
		leaf, err := r.handshake(secret.Data[caKey])
		if err != nil {
			t.Fatalf("handshake with the shared CA: %v", err)
		}
		for _, name := range []string{"sluice-webhook.sluice-system.svc", "sluice-webhook.sluice-system.svc.cluster.local"} {
			if err := leaf.VerifyHostname(name); err != nil {
				t.Error(err)
			}
		}
		if life := leaf.NotAfter.Sub(leaf.NotBefore); life != DefaultLeafDuration {
			t.Errorf("the leaf lives %s, want %s", life, DefaultLeafDuration)
		}
	}

	// Events of all kinds, and a restart: nothing is written.
	before := w.versions()
	two.stop()
	three := w.start(identity)
	w.ready(three)
	touched := w.stored()[0]
	touched.object.SetLabels(map[string]string{"touched": "yes"})
	if err := w.client.Update(t.Context(), touched.object); err != nil {
		t.Fatal(err)
	}
	before = strings.Replace(before, strings.Fields(before)[1], touched.object.GetResourceVersion(), 1)
	quiet := time.NewTimer(3 * time.Second)
	defer quiet.Stop()
	<-quiet.C
	if after := w.versions(); after != before {
		t.Errorf("resourceVersions went from %q to %q although nothing had to change", before, after)
	}
}

// TestRotationUnderLoad loses the CA in every way and demands that no admission fails meanwhile, at either replica.
func TestRotationUnderLoad(t *testing.T) {
	for name, damage := range map[string]func(*testing.T, *world){
		"deleted": func(t *testing.T, w *world) {
			if err := w.client.Delete(t.Context(), w.secret()); err != nil {
				t.Fatal(err)
			}
		},
		"emptied": func(t *testing.T, w *world) {
			updateSecret(t, w, func(s *corev1.Secret) { s.Data = nil })
		},
		"rubbish": func(t *testing.T, w *world) {
			updateSecret(t, w, func(s *corev1.Secret) {
				s.Data[caKey], s.Data[corev1.TLSCertKey] = []byte("rubbish"), []byte("rubbish")
			})
		},
		"foreign-key": func(t *testing.T, w *world) {
			other := newCA(t, time.Now(), time.Hour)
			updateSecret(t, w, func(s *corev1.Secret) { s.Data[corev1.TLSPrivateKeyKey] = other.keyPEM(t) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, fast("rotate-"+name))
			w.createConfigurations()
			one, two := w.start(apiServer), w.start(apiServer)
			w.ready(one, two)
			w.eventually("a request is admitted", w.admit)
			old := certOf(t, w)

			stop := w.load()
			damage(t, w)
			fresh := certAfter(t, w, old)
			w.eventually("the bundle holds new and old", func() error { return w.bundlesAre(fresh, old) })
			for _, r := range []*replica{one, two} {
				_, err := r.handshake(encodeBundle([]*x509.Certificate{old}))
				// On a machine that was busy until now it may have switched in time.
				if since := w.stored()[0].publication().since; err != nil && time.Since(since) < w.opts.Settle {
					t.Errorf("the replica switched before the API servers had time to read the new bundle: %v", err)
				}
			}
			for _, r := range []*replica{one, two} {
				w.eventually("the replica switches to a leaf of the new CA", func() error {
					_, err := r.handshake(encodeBundle([]*x509.Certificate{fresh}))
					return err
				})
			}
			if err := w.bundlesAre(fresh, old); err != nil {
				t.Errorf("right after the switch: %v", err)
			}
			w.eventually("the old CA leaves the bundle", func() error { return w.bundlesAre(fresh) })
			w.eventually("a request is admitted", w.admit)

			sent, failures := stop(100)
			if len(failures) > 0 {
				t.Errorf("%d of %d admissions failed, first: %v", len(failures), sent, failures[0])
			}
			for i, r := range []*replica{one, two} {
				if err := r.source.Ready(nil); err != nil {
					t.Errorf("replica %d: %v", i, err)
				}
			}
		})
	}
}

// TestLeafIsRenewed lets leaves live for seconds, of which a third is left on a busy machine to show the next one.
func TestLeafIsRenewed(t *testing.T) {
	opts := fast("renew")
	opts.LeafDuration, opts.Settle = 24*time.Second, time.Second
	w := newWorld(t, opts)
	w.createConfigurations()
	r := w.start(apiServer)
	w.ready(r)
	w.eventually("a request is admitted", w.admit)
	stop := w.load()
	bundle := w.secret().Data[caKey]
	first, err := r.handshake(bundle)
	if err != nil {
		t.Fatal(err)
	}
	w.eventually("two renewals", func() error {
		leaf, err := r.handshake(bundle)
		if err != nil {
			t.Fatalf("a client was shown a leaf that does not verify: %v", err)
		}
		if leaf.NotBefore.Sub(first.NotBefore) < opts.LeafDuration {
			return fmt.Errorf("leaf is valid from %s, the first was from %s", leaf.NotBefore, first.NotBefore)
		}
		return nil
	})
	if sent, failures := stop(50); len(failures) > 0 {
		t.Errorf("%d of %d admissions failed, first: %v", len(failures), sent, failures[0])
	}
	if err := w.bundlesAre(certOf(t, w)); err != nil {
		t.Error(err)
	}
}

// TestBundleIsRepaired damages the configurations.
func TestBundleIsRepaired(t *testing.T) {
	w := newWorld(t, fast("repair"))
	r := w.start(apiServer)
	w.ready(r)
	// Configurations that appear later are filled, too.
	w.createConfigurations()
	ca := certOf(t, w)
	w.eventually("late configurations are filled", func() error { return w.bundlesAre(ca) })

	for name, damage := range map[string]func(configuration){
		"wiped": func(c configuration) { c.carry(bundlePlan{since: time.Now()}) },
		"replaced": func(c configuration) {
			c.carry(bundlePlan{bundle: bundleOf(newCA(t, time.Now(), time.Minute)), since: time.Now()})
		},
		"record erased": func(c configuration) { c.object.SetAnnotations(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, c := range w.stored() {
				damage(c)
				if err := w.client.Update(t.Context(), c.object); err != nil {
					t.Fatal(err)
				}
			}
			w.eventually("repaired", func() error {
				for _, c := range w.stored() {
					if c.publication().since.IsZero() {
						return fmt.Errorf("%s has no record", c)
					}
				}
				return w.bundlesAre(ca)
			})
			w.eventually("a request is admitted", w.admit)
			if err := r.source.Ready(nil); err != nil {
				t.Errorf("a replica that was ready left the Service: %v", err)
			}
		})
	}
}

// TestFieldsOfOthersSurvive checks that injection touches nothing but the bundle and its record.
func TestFieldsOfOthersSurvive(t *testing.T) {
	w := newWorld(t, fast("survive"))
	w.createConfigurations()
	before := w.stored()
	w.ready(w.start(apiServer))
	for i, after := range w.stored() {
		for _, c := range []configuration{before[i], after} {
			c.carry(bundlePlan{})
			c.object.SetResourceVersion("")
			c.object.SetGeneration(0)
			c.object.SetManagedFields(nil)
		}
		want, got := mustYAML(t, before[i].object), mustYAML(t, after.object)
		if got != want {
			t.Errorf("%s changed from\n%s\nto\n%s", after, want, got)
		}
	}
}

// TestCertManagersConfigurationIsLeftAlone: two writers would fight for ever.
func TestCertManagersConfigurationIsLeftAlone(t *testing.T) {
	w := newWorld(t, fast("foreign"))
	w.createConfigurations()
	marked := w.stored()[0]
	marked.object.SetAnnotations(map[string]string{cmapi.WantInjectAnnotation: "foreign/webhook"})
	if err := w.client.Update(t.Context(), marked.object); err != nil {
		t.Fatal(err)
	}
	r := w.start(apiServer)
	w.eventually("the other configuration is filled", func() error {
		if len(w.stored()[1].publication().bundles[0]) == 0 {
			return errors.New("empty")
		}
		return nil
	})
	if got := w.stored()[0]; got.object.GetResourceVersion() != marked.object.GetResourceVersion() {
		t.Errorf("%s was written although cert-manager is asked to", got)
	}
	w.eventually("readiness says which configuration is not trusted", func() error {
		if err := r.source.Ready(nil); err == nil || !strings.Contains(err.Error(), marked.String()) {
			return fmt.Errorf("it says: %w", err)
		}
		return nil
	})
}

func certOf(t *testing.T, w *world) *x509.Certificate {
	t.Helper()
	ca, err := parseCA(w.secret())
	if err != nil {
		t.Fatalf("the stored CA is unusable: %v", err)
	}
	return ca
}

// certAfter waits until a CA other than old is stored.
func certAfter(t *testing.T, w *world, old *x509.Certificate) *x509.Certificate {
	t.Helper()
	var fresh *x509.Certificate
	w.eventually("a new CA is stored", func() error {
		var secret corev1.Secret
		if err := w.client.Get(t.Context(), client.ObjectKey{Namespace: w.opts.Namespace, Name: w.opts.CASecret}, &secret); err != nil {
			return err
		}
		ca, err := parseCA(&secret)
		if err != nil {
			return err
		}
		if ca.Equal(old) {
			return errors.New("still the old one")
		}
		fresh = ca
		return nil
	})
	return fresh
}

func updateSecret(t *testing.T, w *world, change func(*corev1.Secret)) {
	t.Helper()
	secret := w.secret()
	change(secret)
	if err := w.client.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
}

// applyShipped creates the objects of the shipped rights in the world's namespace.
func applyShipped(t *testing.T, w *world, names ...string) {
	t.Helper()
	for _, name := range names {
		file, err := os.Open(filepath.Join("..", "manifests", "base", "rbac", name))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		documents := utilyaml.NewYAMLReader(bufio.NewReader(file))
		for {
			document, err := documents.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			var object unstructured.Unstructured
			if err := yaml.Unmarshal(document, &object.Object); err != nil {
				t.Fatal(err)
			}
			object.SetNamespace(w.opts.Namespace)
			if strings.HasPrefix(object.GetKind(), "Cluster") {
				object.SetNamespace(metav1.NamespaceNone)
			}
			w.create(&object)
		}
	}
}

func mustYAML(t *testing.T, object client.Object) string {
	t.Helper()
	out, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
