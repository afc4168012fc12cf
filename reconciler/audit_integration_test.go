//go:build integration

package reconciler

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// notes returns the messages of the events with a reason.
func (s *stage) notes(reason string) []string {
	s.Helper()
	list := &eventsv1.EventList{}
	if err := shared.admin.List(s.Context(), list, client.InNamespace(s.ns)); err != nil {
		s.Fatal(err)
	}
	var out []string
	for _, e := range list.Items {
		if e.Reason == reason {
			out = append(out, e.Note)
		}
	}
	return out
}

// told waits for an event with a reason that holds a text.
func (s *stage) told(reason, text string) {
	s.Helper()
	s.until("an event "+reason+" says "+text, func() bool {
		return slices.ContainsFunc(s.notes(reason), func(note string) bool { return strings.Contains(note, text) })
	})
}

// admit puts the mark of admission on an object, as it is changed by somebody.
func (s *stage) admit(o client.Object, by string) {
	s.Helper()
	content, err := contentOf(o)
	if err != nil {
		s.Fatal(err)
	}
	o.SetAnnotations(map[string]string{v1beta1.AnnotationAdmitted: v1beta1.Admitted{By: by, Digest: content.Digest}.String()})
}

// A rollout names who changed what; what admission has not seen is told, with the object; a snapshot keeps who made its revision.
func TestWhoChangedWhat(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.application()
	s.settled(v1beta1.PhaseInitialized)
	if early := s.notes("CaughtUp"); len(early) > 0 {
		t.Errorf("the first revision counts as unseen: %v", early)
	}
	change(s, "settings", &corev1.ConfigMap{}, func(c *corev1.ConfigMap) {
		c.Data["colour"] = "green"
		s.admit(c, "bob")
	})
	s.settled(v1beta1.PhaseSucceeded)
	s.told("NewRevision", ": configmap/settings by bob")
	seen := s.canary().Status.PromotedRevision
	change(s, "token", &corev1.Secret{}, func(c *corev1.Secret) { c.Data["t"] = []byte("2") })
	s.until("the Secret is promoted", func() bool { return s.canary().Status.PromotedRevision != seen })
	s.settled(v1beta1.PhaseSucceeded)
	s.told("CaughtUp", "secret/token was changed while admission was away")
	if notes := s.notes("CaughtUp"); len(notes) != 1 {
		t.Errorf("told more than once, or of more: %v", notes)
	}
	authors := map[string]string{}
	list := &appsv1.ControllerRevisionList{}
	if err := shared.admin.List(t.Context(), list, client.InNamespace(s.ns)); err != nil {
		t.Fatal(err)
	}
	for _, o := range list.Items {
		authors[o.Labels[v1beta1.LabelRevision]] = o.Annotations[v1beta1.AnnotationChangedBy]
	}
	if authors[seen] != "bob" || authors[s.canary().Status.PromotedRevision] != "" {
		t.Errorf("snapshots were made by %v", authors)
	}
}

// What a target references and does not find is in the status, also while it cannot start without it; once it is there it is part of a revision.
func TestAwaitedConfigs(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.application()
	s.settled(v1beta1.PhaseInitialized)
	change(s, "web", &appsv1.Deployment{}, func(d *appsv1.Deployment) {
		c := &d.Spec.Template.Spec.Containers[0]
		named := func(name string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: name} }
		c.EnvFrom = append(c.EnvFrom,
			corev1.EnvFromSource{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: named("maybe"), Optional: new(true)}},
			corev1.EnvFromSource{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: named("needed")}})
	})
	s.until("both are awaited", func() bool {
		return slices.Equal(s.canary().Status.AwaitedConfigs, []string{"configmap/maybe", "secret/needed"})
	})
	s.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "needed"}, Data: map[string][]byte{"k": []byte("v")}})
	s.settled(v1beta1.PhaseSucceeded)
	if awaited := s.canary().Status.AwaitedConfigs; !slices.Equal(awaited, []string{"configmap/maybe"}) {
		t.Errorf("awaited: %v", awaited)
	}
	before := s.canary().Status.PromotedRevision
	// Admission labels what it awaits as it is created.
	s.create(&corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "maybe", Labels: map[string]string{v1beta1.LabelTracked: v1beta1.TrackedConfig}}, Data: map[string]string{"a": "b"},
	})
	s.until("what was optional is promoted", func() bool { return s.canary().Status.PromotedRevision != before })
	s.settled(v1beta1.PhaseSucceeded)
	if awaited := s.canary().Status.AwaitedConfigs; len(awaited) > 0 {
		t.Errorf("awaited: %v", awaited)
	}
}

// A config that is referenced no more is let go, once no revision that runs needs it; one that another Canary needs is kept.
func TestConfigsAreLetGo(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.application()
	s.settled(v1beta1.PhaseInitialized)
	change(s, "settings", &corev1.ConfigMap{}, func(c *corev1.ConfigMap) { c.Annotations = map[string]string{v1beta1.AnnotationAdmitted: "{}"} })
	s.checks.set(false, "")
	change(s, "web", &appsv1.Deployment{}, func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.Containers[0].EnvFrom = d.Spec.Template.Spec.Containers[0].EnvFrom[1:]
	})
	s.until("the canary is at 50 %", func() bool { return s.canary().Status.CanaryWeight == 50 })
	tracked := func(name string, o client.Object) bool {
		s.get(name, o)
		return o.GetLabels()[v1beta1.LabelTracked] != ""
	}
	if !tracked("settings", &corev1.ConfigMap{}) {
		t.Error("the config that the primary was made of is tracked no more")
	}
	s.checks.set(true, "")
	s.settled(v1beta1.PhaseSucceeded)
	s.until("the ConfigMap is let go", func() bool { return !tracked("settings", &corev1.ConfigMap{}) })
	if !tracked("token", &corev1.Secret{}) {
		t.Error("the Secret that is still referenced is tracked no more")
	}
	settings := &corev1.ConfigMap{}
	if s.get("settings", settings); settings.Data["colour"] != "blue" || len(settings.Annotations) > 0 {
		t.Errorf("left behind: %v with annotations %v", settings.Data, settings.Annotations)
	}
}
