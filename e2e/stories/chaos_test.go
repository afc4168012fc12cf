//go:build e2e

package stories

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/e2e/harness"
)

// hasty lets certificates live for seconds, so that they end while somebody watches.
var hasty = []string{"-certs-leaf-duration=15s", "-certs-settle=2s", "-certs-overlap=8s"}

// chaos disturbs Sluice in every way that its operators know, under one load of more than fifty admissions a second. Nothing is ever refused, and
// what Sluice is not asked about never notices. Where nobody died without notice, every change passes the gate.
func chaos(t *testing.T, alone func()) {
	lasting := begin(t, "lasting")
	lasting.initialise(func(c *canary) { c.Provider = "kubernetes" })
	s := begin(t, "chaos")
	s.initialise(nil)
	away := beginIn(t, "chaos-away", "away")
	away.initialise(func(c *canary) { c.Provider = "kubernetes" })
	alone()
	s.ask()
	_, err := stage.Cluster.Kubectl(s.ctx, "", "-n", lasting.key.Namespace, "patch", "canary", "lasting", "--type=merge", `--patch={"spec":{"suspend":true}}`)
	s.ok(err)
	s.apply(bystanders)
	t.Cleanup(func() {
		if _, err := stage.Cluster.Kubectl(context.WithoutCancel(s.ctx), bystanders, "delete", "--ignore-not-found", "-f", "-"); err != nil {
			t.Error(err)
		}
	})
	args, err := stage.SluiceArgs(s.ctx)
	s.ok(err)
	s.mended(args)
	// This is about what is shipped.
	s.ok(stage.SetWebhookTimeout(s.ctx, harness.ShippedTimeout))
	t.Cleanup(func() { s.ok(stage.SetWebhookTimeout(context.WithoutCancel(s.ctx), harness.PatientTimeout)) })
	all := changesOf("chaos", "lasting")
	s.counted(all)

	l := s.load(all, append(slices.Clone(gated), ungated...)...)
	quiet := l.during("nothing happens", func() { l.answered(time.Now(), 100, tracked) })
	quiet.gapless()
	if rate := quiet.all.Of(gated...).Summary().Rate; rate < 50 {
		t.Logf("the machine manages %.0f admissions a second only", rate)
	}
	l.during("a replica is deleted and leaves", func() { s.ok(stage.ScaleSluice(s.ctx, 1)) }).gapless()
	l.during("a replica comes", func() { s.ok(stage.ScaleSluice(s.ctx, 2)) }).gapless()
	l.during("an upgrade", func() {
		s.ok(stage.SetSluiceArgs(s.ctx, append(slices.Clone(args), hasty...)))
		s.ok(stage.RolledOut(s.ctx, harness.SluiceNamespace, "sluice"))
		s.ok(stage.SluiceReady(s.ctx, 2))
	}).gapless()
	// Not before: the kubelet waits long with pods that were killed before this story.
	l.during("a replica is killed", func() { l.killed(1) })
	l.during("the authority is rotated", l.rotated).gapless()
	l.during("both replicas are killed", func() { l.killed(2) })
	l.during("both replicas hang until their certificates have expired", l.frozen)
	l.during("afterwards", func() { l.answered(time.Now(), 100, tracked) }).gapless()
	l.absent(away, args)
	l.during("at the end", func() { l.answered(time.Now(), 100, tracked) }).gapless()
}

// mended brings Sluice back to what other stories need, whatever happens in this one.
func (s *story) mended(args []string) {
	s.Helper()
	s.Cleanup(func() {
		ctx := context.WithoutCancel(s.ctx)
		for _, pod := range s.sluicePods() {
			// One that is not frozen cannot be thawed.
			_ = stage.ThawPod(ctx, pod)
		}
		now, err := stage.SluiceArgs(ctx)
		if err == nil && !slices.Equal(now, args) {
			err = stage.SetSluiceArgs(ctx, args)
		}
		if err == nil {
			err = stage.ScaleSluice(ctx, 2)
		}
		if err != nil {
			s.Error(err)
		}
	})
}

func (s *story) sluicePods() []types.NamespacedName {
	s.Helper()
	pods, err := stage.SluicePods(context.WithoutCancel(s.ctx))
	s.ok(err)
	var keys []types.NamespacedName
	for _, pod := range pods {
		keys = append(keys, types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name})
	}
	return keys
}

// killed ends the processes of replicas with SIGKILL and waits until they are back.
func (l *load) killed(replicas int) {
	l.Helper()
	pods := l.sluicePods()[:replicas]
	before := map[types.NamespacedName]int{}
	for _, pod := range pods {
		n, err := stage.Restarts(l.ctx, pod)
		l.ok(err)
		before[pod] = n
	}
	for _, pod := range pods {
		l.ok(stage.KillPod(l.ctx, pod))
	}
	for _, pod := range pods {
		l.eventually("pod "+pod.Name+" was started again", func() bool {
			n, err := stage.Restarts(l.ctx, pod)
			l.ok(err)
			return n > before[pod]
		})
	}
	l.ok(stage.SluiceReady(l.ctx, 2))
	l.closes()
}

// rotated deletes the authority, which is how to replace it, and waits until every replica serves what the new one signed and nobody trusts the
// old one any more.
func (l *load) rotated() {
	l.Helper()
	old, err := stage.WebhookCA(l.ctx)
	l.ok(err)
	_, err = stage.Cluster.Kubectl(l.ctx, "", "-n", harness.SluiceNamespace, "delete", "secret", "sluice-webhook-ca")
	l.ok(err)
	l.eventually("there is another authority", func() bool {
		now, err := stage.WebhookCA(l.ctx)
		return err == nil && !now.Equal(old)
	})
	l.signed()
	l.eventually("the old authority is trusted no more", func() bool {
		bundle, err := stage.WebhookBundle(l.ctx)
		return err == nil && !slices.ContainsFunc(bundle, old.Equal)
	})
}

// signed waits until every replica serves a valid certificate of the present authority.
func (l *load) signed() {
	l.Helper()
	l.eventually("every replica serves a certificate of the present authority", func() bool {
		ca, err := stage.WebhookCA(l.ctx)
		if err != nil {
			return false
		}
		serving, err := stage.ServingCertificates(l.ctx, ca)
		return err == nil && len(serving) > 0
	})
}

// frozen stops both replicas where they are until the certificates in their memory have expired, and lets them go on.
func (l *load) frozen() {
	l.Helper()
	pods := l.sluicePods()
	ca, err := stage.WebhookCA(l.ctx)
	l.ok(err)
	serving, err := stage.ServingCertificates(l.ctx, ca)
	l.ok(err)
	var expired time.Time
	for _, certificate := range serving {
		if certificate.NotAfter.After(expired) {
			expired = certificate.NotAfter
		}
	}
	leader := l.leader()
	for _, pod := range pods {
		l.ok(stage.FreezePod(l.ctx, pod))
	}
	l.eventually("the certificates have expired", func() bool { return time.Now().After(expired.Add(time.Second)) })
	thawed := time.Now()
	for _, pod := range pods {
		l.ok(stage.ThawPod(l.ctx, pod))
	}
	l.led(leader, thawed)
	l.ok(stage.SluiceReady(l.ctx, 2))
	l.signed()
	l.closes()
}

// leading is a replica that holds the lease, and how often it was started again.
type leading struct {
	identity string
	pod      types.NamespacedName
	restarts int
}

func (l *load) leader() leading {
	l.Helper()
	identity, since := "", time.Now()
	l.eventually("a replica leads", func() bool {
		now, renewed, err := stage.Lease(l.ctx)
		l.ok(err)
		identity = now
		return renewed.After(since)
	})
	name, _, _ := strings.Cut(identity, "_")
	pod := types.NamespacedName{Namespace: harness.SluiceNamespace, Name: name}
	n, err := stage.Restarts(l.ctx, pod)
	l.ok(err)
	return leading{identity, pod, n}
}

// led waits until a replica leads again. One that led before and has lost the lease ends by itself some seconds later, and is waited for.
func (l *load) led(before leading, since time.Time) {
	l.Helper()
	identity := ""
	l.eventually("a replica leads again", func() bool {
		now, renewed, err := stage.Lease(l.ctx)
		l.ok(err)
		identity = now
		return renewed.After(since)
	})
	if identity == before.identity {
		return
	}
	l.eventually("the former leader was started again", func() bool {
		n, err := stage.Restarts(l.ctx, before.pod)
		l.ok(err)
		return n > before.restarts
	})
}

// absent takes Sluice away, lets people change and delete what it looks after, and brings it back with an authority that has expired meanwhile.
func (l *load) absent(away *story, args []string) {
	l.Helper()
	gone := l.during("Sluice is away", func() {
		l.ok(stage.ScaleSluice(l.ctx, 0))
		since := time.Now()
		l.deploy("v2")
		_, err := stage.Cluster.Kubectl(l.ctx, "", "delete", "namespace", away.key.Namespace, "--wait=false")
		l.ok(err)
		certificate, key := expiredAuthority(l.story)
		l.ok(stage.ReplaceWebhookCA(l.ctx, certificate, key))
		l.answered(since, 100, tracked)
		if at := l.served("v2"); !at.IsZero() {
			l.Errorf("v2 answered a user at %s without any analysis", at)
		}
	})
	if gone.all.Of(tracked).Summary().Open == 0 {
		l.Error("no change went through while Sluice was away: the story proves nothing")
	}
	l.during("Sluice comes back", func() {
		l.ok(stage.SetSluiceArgs(l.ctx, args))
		l.ok(stage.ScaleSluice(l.ctx, 2))
		l.signed()
		l.closes()
	})
	l.onlyByItsSteps("v2", l.started("").Status.Rollout.Revision)
	l.event("CaughtUp")
	// The pods are new, so they count from nothing.
	if n := l.admissions().CaughtUp; n == 0 {
		l.Error("the change that was made meanwhile is not counted as caught up")
	}
	l.eventually("the namespace that was deleted meanwhile is gone", func() bool {
		out, err := stage.Cluster.Kubectl(l.ctx, "", "get", "namespace", away.key.Namespace, "--ignore-not-found", "--output=name")
		l.ok(err)
		return out == ""
	})
}

// expiredAuthority is a certificate authority whose time is over.
func expiredAuthority(s *story) (certificate, key []byte) {
	s.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.ok(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sluice-webhook-ca"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	s.ok(err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	s.ok(err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}
