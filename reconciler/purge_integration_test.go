//go:build integration

package reconciler

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// secretsHeld returns the contents of all Secrets, sorted.
func (s *stage) secretsHeld() []string {
	s.Helper()
	list := &corev1.SecretList{}
	if err := shared.admin.List(s.Context(), list, client.InNamespace(s.ns)); err != nil {
		s.Fatal(err)
	}
	var out []string
	for i := range list.Items {
		out = append(out, string(list.Items[i].Data["t"]))
	}
	slices.Sort(out)
	return out
}

// A revoked credential: what is kept of earlier contents goes with the snapshots that need it, but not before nothing runs with it any more.
func TestPurge(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.application()
	s.settled(v1beta1.PhaseInitialized)
	promote := func(value string, annotations map[string]string) {
		t.Helper()
		before := s.canary().Status.PromotedRevision
		change(s, "token", &corev1.Secret{}, func(c *corev1.Secret) { c.Data["t"], c.Annotations = []byte(value), annotations })
		s.until("the Secret is promoted", func() bool { return s.canary().Status.PromotedRevision != before })
		s.settled(v1beta1.PhaseSucceeded)
	}
	promote("2", nil)
	s.checks.set(false, "")
	purge := map[string]string{v1beta1.AnnotationPurge: "true", "theirs": "stays"}
	change(s, "token", &corev1.Secret{}, func(c *corev1.Secret) { c.Data["t"], c.Annotations = []byte("3"), purge })
	s.told("PurgeWaiting", "secret/token: 1 earlier contents are still in use")
	s.until("what nothing uses is gone at once", func() bool { return slices.Equal(s.secretsHeld(), []string{"2", "3", "3"}) })
	asked := &corev1.Secret{}
	if s.get("token", asked); asked.Annotations[v1beta1.AnnotationPurge] != "true" {
		t.Error("the request was taken off before it was done")
	}
	s.checks.set(true, "")
	s.settled(v1beta1.PhaseSucceeded)
	s.until("the request is taken off", func() bool {
		done := &corev1.Secret{}
		s.get("token", done)
		return done.Annotations[v1beta1.AnnotationPurge] == "" && done.Annotations["theirs"] == "stays"
	})
	if held := s.secretsHeld(); !slices.Equal(held, []string{"3", "3"}) {
		t.Errorf("the Secrets hold %v; only the present content and its copy ought to be left", held)
	}
	s.told("Purged", "secret/token: deleted 1 copies of earlier contents and 1 snapshots")
	now := &corev1.Secret{}
	s.get("token", now)
	content, err := contentOf(now)
	if err != nil {
		t.Fatal(err)
	}
	promoted := s.canary().Status.PromotedRevision
	stored := s.snapshots()
	for _, snapshot := range stored {
		for _, c := range snapshot.Configs {
			if c.Kind == revision.Secret && c.Digest != content.Digest {
				t.Errorf("snapshot %s needs an earlier content", snapshot.Name)
			}
		}
	}
	if revision.ByDigest(stored, promoted) == nil {
		t.Error("the snapshot of the promoted revision is gone")
	}
	// The way back still works.
	primary := s.deployment("web-primary")
	if err := shared.admin.Delete(t.Context(), primary); err != nil {
		t.Fatal(err)
	}
	s.until("the primary is back", func() bool {
		return s.image("web-primary") == "web:1" && s.deployment("web-primary").UID != primary.UID
	})
}
