//go:build integration

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/testserver"
	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/certs"
)

// certManaged is Sluice with cert-manager: two replicas behind the Service that API servers call, and the kubelet's work done by the test.
type certManaged struct {
	t        *testing.T
	c        client.Client
	serving  *issuance
	replicas []*process
	mounts   []*mount
	address  string
}

// startCertManaged installs cert-manager first and Sluice then, as the documentation says.
func startCertManaged(t *testing.T) *certManaged {
	t.Helper()
	w := &certManaged{t: t, c: runCertManager(t), address: hostAddress(t)}
	objects := install(t, w.c, certManagerFile)
	w.patient()
	w.serving = issued(t, w.c, servingName, nil)
	kubeconfig := serviceAccount(t)
	for range 2 {
		m := newMount(t, w.serving)
		health, port, hook := testserver.FreePort(t), testserver.FreePort(t), testserver.FreePort(t)
		p := launch(t, append(find[appsv1.Deployment](t, objects, "Deployment", "sluice").Spec.Template.Spec.Containers[0].Args,
			"-kubeconfig="+kubeconfig, "-own-namespace="+ownNamespace, "-certs-dir="+m.dir, "-drain=0",
			fmt.Sprintf("-health-port=%d", health), fmt.Sprintf("-port=%d", port), fmt.Sprintf("-webhook-port=%d", hook))...)
		p.health, p.port, p.webhook = health, port, hook
		w.mounts, w.replicas = append(w.mounts, m), append(w.replicas, p)
	}
	for _, p := range w.replicas {
		eventually(t, "a replica gets ready", p.ready)
		endpoint(t, w.c, w.address, p)
	}
	injected(t, w.c, w.serving.ca)
	return w
}

// patient gives calls more time: this is about certificates, and the machine may be busy with something else.
func (w *certManaged) patient() {
	w.t.Helper()
	w.eachWebhook(func(_ *admissionv1.WebhookClientConfig, timeout **int32) {
		*timeout = new(testserver.WebhookTimeout)
	})
}

// eachWebhook changes all webhooks, on what is stored at that moment.
func (w *certManaged) eachWebhook(change func(client *admissionv1.WebhookClientConfig, timeout **int32)) {
	w.t.Helper()
	eventually(w.t, "changing the webhooks", func(ctx context.Context) error {
		var mutating admissionv1.MutatingWebhookConfiguration
		if err := w.c.Get(ctx, client.ObjectKey{Name: certs.DefaultConfiguration}, &mutating); err != nil {
			return err
		}
		for i := range mutating.Webhooks {
			change(&mutating.Webhooks[i].ClientConfig, &mutating.Webhooks[i].TimeoutSeconds)
		}
		if err := w.c.Update(ctx, &mutating); err != nil {
			return err
		}
		var validating admissionv1.ValidatingWebhookConfiguration
		if err := w.c.Get(ctx, client.ObjectKey{Name: certs.DefaultConfiguration}, &validating); err != nil {
			return err
		}
		for i := range validating.Webhooks {
			change(&validating.Webhooks[i].ClientConfig, &validating.Webhooks[i].TimeoutSeconds)
		}
		return w.c.Update(ctx, &validating)
	})
}

func (w *certManaged) addressOf(p *process) string {
	return net.JoinHostPort(w.address, strconv.Itoa(p.webhook))
}

// deliver brings a new certificate to the replicas, one long after the other as kubelets do, and sees each serve it without a restart.
func (w *certManaged) deliver(l *load, next *issuance) {
	w.t.Helper()
	w.serving = next
	for i, p := range w.replicas {
		before := l.answered()
		eventually(w.t, "admissions are answered while replicas serve different certificates", func(context.Context) error {
			if n := l.answered() - before; n < 2*loadRate {
				return fmt.Errorf("%d so far", n)
			}
			return nil
		})
		w.mounts[i].hold(next)
		eventually(w.t, "the new certificate is served", func(ctx context.Context) error {
			shown, err := handshake(ctx, w.addressOf(p), next.ca)
			if err == nil && !shown.Equal(next.leaf) {
				err = fmt.Errorf("still serial number %x", shown.SerialNumber)
			}
			return err
		})
	}
}

// fromCertificate lets cert-manager inject the CA of another Certificate.
func (w *certManaged) fromCertificate(name string) {
	w.t.Helper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{"%s":"%s/%s"}}}`, cmapi.WantInjectAnnotation, ownNamespace, name)
	for _, object := range []client.Object{&admissionv1.MutatingWebhookConfiguration{}, &admissionv1.ValidatingWebhookConfiguration{}} {
		object.SetName(certs.DefaultConfiguration)
		if err := w.c.Patch(w.t.Context(), object, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestCertManagerGuardsAndRotates runs two replicas with the certificates that cert-manager's own controllers issue, renew and inject: admission
// works, and goes on while leaf, CA and the CA's key are replaced. Not one request is passed over.
func TestCertManagerGuardsAndRotates(t *testing.T) {
	w := startCertManaged(t)
	canary := application(t, w.c)
	tracked := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: canary.Namespace, Name: canary.Spec.TargetRef.Name}}
	eventually(t, "the target is tracked", func(ctx context.Context) error {
		if err := w.c.Get(ctx, client.ObjectKeyFromObject(tracked), tracked); err != nil {
			return err
		}
		if tracked.Labels[v1beta1.LabelTracked] == "" {
			return errors.New("no label")
		}
		return nil
	})
	w.asked(tracked)
	w.intercepts(tracked)

	before, began := w.counts(), time.Now()
	l := w.press(tracked)
	w.renewLeaf(l)
	w.renewCA(l)
	w.replaceCA(l)
	l.stop()
	took := time.Since(began)
	for i, err := range l.problems {
		t.Errorf("problem %d of %d: %v", i+1, len(l.problems), err)
		if i == 9 {
			break
		}
	}
	after, canaries, changes := w.counts(), float64(l.canaries.Load()), float64(l.changes.Load())
	t.Logf("%v mistaken Canaries and %v changes in %s, %.0f a second; %d connections", canaries, changes, took.Round(time.Second),
		(canaries+changes)/took.Seconds(), l.handshakes.Load())
	if n := after.failedOpen - before.failedOpen; n != 0 {
		t.Errorf("the API server has passed over %v requests", n)
	}
	if n := after.rejected - before.rejected; n != canaries {
		t.Errorf("the API server was told to reject %v Canaries of %v", n, canaries)
	}
	if n := after.canaries - before.canaries; n != canaries {
		t.Errorf("Sluice has denied %v Canaries of %v", n, canaries)
	}
	if n := after.changes - before.changes; n != changes {
		t.Errorf("Sluice was asked about %v changes of %v", n, changes)
	}
	if n := after.unclear - before.unclear; n != 0 {
		t.Errorf("Sluice could not answer %v requests", n)
	}
	if total := canaries + changes; total < 1000 {
		t.Errorf("only %v admissions during all rotations", total)
	}
}

// asked waits until the API server asks both kinds of webhooks: it learns of an endpoint, and of a changed configuration, a moment after it is stored.
func (w *certManaged) asked(tracked *appsv1.Deployment) {
	w.t.Helper()
	eventually(w.t, "the webhooks are asked", func(ctx context.Context) error {
		if err := refused(w.c.Create(ctx, mistaken(tracked.Namespace), client.DryRunAll)); err != nil {
			return err
		}
		tried := tracked.DeepCopy()
		if err := w.c.Patch(ctx, tried, client.RawPatch(types.StrategicMergePatchType, []byte(changedImage)), client.DryRunAll); err != nil {
			return err
		}
		if tried.Annotations[v1beta1.AnnotationHold] == "" {
			return errors.New("a change is not held")
		}
		return nil
	})
}

const changedImage = `{"spec":{"template":{"spec":{"containers":[{"name":"podinfo","image":"podinfo:2"}]}}}}`

// intercepts checks that the webhooks are at work: what is mistaken is denied, and what changes a tracked Deployment is recorded.
func (w *certManaged) intercepts(tracked *appsv1.Deployment) {
	w.t.Helper()
	if err := refused(w.c.Create(w.t.Context(), mistaken(tracked.Namespace))); err != nil {
		w.t.Error(err)
	}
	if err := w.c.Patch(w.t.Context(), tracked, client.RawPatch(types.StrategicMergePatchType, []byte(changedImage))); err != nil {
		w.t.Fatal(err)
	}
	var snapshots appsv1.ControllerRevisionList
	if err := w.c.List(w.t.Context(), &snapshots, client.InNamespace(tracked.Namespace), client.HasLabels{v1beta1.LabelSnapshot}); err != nil {
		w.t.Fatal(err)
	}
	if tracked.Annotations[v1beta1.AnnotationHold] == "" || len(snapshots.Items) == 0 {
		w.t.Errorf("a change before the primary serves: annotations %v and %d snapshots, want a hold and what was there", tracked.Annotations, len(snapshots.Items))
	}
}

// renewLeaf is what happens every two months.
func (w *certManaged) renewLeaf(l *load) {
	w.t.Helper()
	next := renew(w.t, w.c, servingName, w.serving)
	if bytes.Equal(next.key, w.serving.key) || !bytes.Equal(next.ca, w.serving.ca) {
		w.t.Error("the leaf was renewed with the old key, or by another CA; want a new key and the same CA")
	}
	w.deliver(l, next)
}

// renewCA is what happens every three years: the CA keeps its key, so that it does not matter who hears of it first.
func (w *certManaged) renewCA(l *load) {
	w.t.Helper()
	old := issued(w.t, w.c, caName, nil)
	ca := renew(w.t, w.c, caName, old)
	if !bytes.Equal(ca.key, old.key) {
		w.t.Error("the CA has got a new key")
	}
	next := renew(w.t, w.c, servingName, w.serving)
	if !bytes.Equal(next.ca, ca.cert) {
		w.t.Error("the leaf was not signed by the renewed CA")
	}
	w.deliver(l, next)
	injected(w.t, w.c, next.ca)
}

// replaceCA is what the documentation says to do when somebody has seen the CA's key.
func (w *certManaged) replaceCA(l *load) {
	w.t.Helper()
	old := issued(w.t, w.c, caName, nil)
	w.fromCertificate(caName)
	if err := w.c.Delete(w.t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ownNamespace, Name: caName}}); err != nil {
		w.t.Fatal(err)
	}
	ca := issued(w.t, w.c, caName, old)
	if bytes.Equal(ca.key, old.key) {
		w.t.Error("the CA has kept its key")
	}
	injected(w.t, w.c, ca.cert)
	next := renew(w.t, w.c, servingName, w.serving)
	w.deliver(l, next)
	if _, err := handshake(w.t.Context(), w.addressOf(w.replicas[0]), old.cert); err == nil {
		w.t.Error("who trusts only the old CA still trusts the webhook")
	}
	// Until now the bundle holds every CA that there was. The old one must not be trusted for the rest of its life.
	w.fromCertificate(servingName)
	w.eachWebhook(func(c *admissionv1.WebhookClientConfig, _ **int32) { c.CABundle = next.ca })
	before := l.answered()
	eventually(w.t, "admissions are answered that only the new CA vouches for", func(context.Context) error {
		if n := l.answered() - before; n < 2*loadRate {
			return fmt.Errorf("%d so far", n)
		}
		return nil
	})
	// The injector may have read the bundle a moment before it was written, and write what it had then once more. It is written again as the
	// documentation says, until it stays.
	eventually(w.t, "the webhooks trust the new CA alone", func(ctx context.Context) error {
		all, err := bundles(ctx, w.c)
		if err != nil {
			return err
		}
		for _, bundle := range all {
			if !bytes.Equal(bytes.TrimSpace(bundle), bytes.TrimSpace(next.ca)) {
				w.eachWebhook(func(c *admissionv1.WebhookClientConfig, _ **int32) { c.CABundle = next.ca })
				return errors.New("a webhook still trusts more than the new CA")
			}
		}
		return nil
	})
}
