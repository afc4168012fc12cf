//go:build integration

package reconciler

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// A rotated Secret: switching it on is a change like any other, because the primary has to turn from a copy to the original; from then on a new content
// replaces the primary's pods and starts no rollout, during one as well.
func TestRotation(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.application()
	s.settled(v1beta1.PhaseInitialized)
	change(s, "token", &corev1.Secret{}, func(c *corev1.Secret) {
		c.Annotations = map[string]string{v1beta1.AnnotationRotation: v1beta1.RotationDirect}
	})
	s.settled(v1beta1.PhaseSucceeded)
	from := s.deployment("web-primary").Spec.Template.Spec.Containers[0].EnvFrom
	if from[1].SecretRef.Name != "token" || from[0].ConfigMapRef.Name == "settings" {
		t.Fatalf("the primary reads %+v; the Secret ought to be the original, the ConfigMap a copy", from)
	}
	made := func() string {
		return s.deployment("web-primary").Spec.Template.Annotations[revision.AnnotationRotated]
	}
	first, promoted := made(), s.canary().Status.PromotedRevision
	if first == "" {
		t.Fatal("the primary's pods are not tied to the content of the Secret")
	}
	rotate := func(value string) {
		t.Helper()
		before := made()
		change(s, "token", &corev1.Secret{}, func(c *corev1.Secret) { c.Data["t"] = []byte(value) })
		s.until("the primary's pods are replaced", func() bool { return made() != before })
	}
	rotate("2")
	s.told("Rotated", "secret/token changed; the pods of web-primary."+s.ns)
	s.settled(v1beta1.PhaseSucceeded)
	if st := s.canary().Status; st.PromotedRevision != promoted || st.CurrentRevision != promoted {
		t.Errorf("a rotation made revision %s of %s", st.CurrentRevision, promoted)
	}

	// In the middle of a rollout.
	s.checks.set(false, "")
	s.setImage("web:2")
	s.until("the canary is at 50 %", func() bool { return s.canary().Status.CanaryWeight == 50 })
	id := s.canary().Status.Rollout.ID
	rotate("3")
	if ro := s.canary().Status.Rollout; ro == nil || ro.ID != id || s.image("web-primary") != "web:1" {
		t.Errorf("the rotation disturbed the rollout: %+v, primary %s", ro, s.image("web-primary"))
	}
	s.checks.set(true, "")
	s.settled(v1beta1.PhaseSucceeded)
	if s.image("web-primary") != "web:2" || made() == "" {
		t.Errorf("promoted %s with %q", s.image("web-primary"), made())
	}

	// A Secret that is gone is no reason to take pods away that run well.
	last := made()
	token := &corev1.Secret{}
	s.get("token", token)
	if err := shared.admin.Delete(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	s.until("the Secret is missed", func() bool { return len(s.canary().Status.AwaitedConfigs) == 1 })
	if made() != last {
		t.Error("the primary's pods are replaced by some that cannot start")
	}
}

// A rotation to content with which pods do not start: Ready says where to correct it and never what it is, and correcting it is all that is needed.
func TestRotationToContentThatDoesNotWork(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.application()
	s.settled(v1beta1.PhaseInitialized)
	change(s, "token", &corev1.Secret{}, func(c *corev1.Secret) {
		c.Annotations = map[string]string{v1beta1.AnnotationRotation: v1beta1.RotationDirect}
	})
	s.settled(v1beta1.PhaseSucceeded)
	const secret = "a password with a letter too many"
	s.stuck.Store(true)
	change(s, "token", &corev1.Secret{}, func(c *corev1.Secret) { c.Data["t"] = []byte(secret) })
	const says = "1 of 2 pods updated, 2 available, 2 behind the Service, 2 old ones left; its pods are made anew for each content of secret/token"
	var message string
	s.until("Ready counts the pods and names the Secret", func() bool {
		ready := s.canary().Status.Condition(v1beta1.ConditionReady)
		message = ready.Message
		return ready.Status == metav1.ConditionFalse && ready.Reason == "PrimaryNotReady" && strings.Contains(message, says)
	})
	if !strings.Contains(message, "correct it there") {
		t.Errorf("no way out in %q", message)
	}
	events := &eventsv1.EventList{}
	if err := shared.admin.List(t.Context(), events, client.InNamespace(s.ns)); err != nil {
		t.Fatal(err)
	}
	for _, said := range append(events.Items, eventsv1.Event{Note: message}) {
		if strings.Contains(said.Note, "password") {
			t.Errorf("the content of the Secret is told: %s", said.Note)
		}
	}
	change(s, "token", &corev1.Secret{}, func(c *corev1.Secret) { c.Data["t"] = []byte("a password") })
	s.stuck.Store(false)
	s.settled(v1beta1.PhaseSucceeded)
}

// A Canary that goes while it is decided about is no error: there is nothing left to retry.
func TestACanaryThatGoesMeanwhile(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	gone := &v1beta1.Canary{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "gone", ResourceVersion: "1"}}
	plan := core.Plan{Status: v1beta1.CanaryStatus{Phase: v1beta1.PhaseTerminating}}
	if err := s.sluice.apply(t.Context(), &world{canary: gone}, plan); !errors.Is(err, errGone) {
		t.Errorf("%v; want %v", err, errGone)
	}
}
