//go:build integration

package reconciler

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// flagged makes what Flagger leaves of the application after its initialisation, while Sluice is not there.
func flagged(t *testing.T) *stage {
	t.Helper()
	s := newStage(t)
	s.stop()
	s.application()
	c := s.canary()
	owner := []metav1.OwnerReference{*metav1.NewControllerRef(c, v1beta1.GroupVersion.WithKind(v1beta1.CanaryKind))}
	change(s, "web", &appsv1.Deployment{}, func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(0)) })
	primary := s.deployment("web").DeepCopy()
	primary.ObjectMeta = metav1.ObjectMeta{Name: "web-primary", Labels: map[string]string{"app": "web-primary"}, OwnerReferences: owner}
	primary.Spec.Replicas = new(int32(2))
	primary.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web-primary"}}
	template := &primary.Spec.Template
	template.Labels = map[string]string{"app": "web-primary"}
	template.Annotations = map[string]string{"flagger-id": "8f2b"}
	template.Spec.Containers[0].EnvFrom[0].ConfigMapRef.Name += "-primary"
	template.Spec.Containers[0].EnvFrom[1].SecretRef.Name += "-primary"
	s.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings-primary", OwnerReferences: owner}, Data: map[string]string{"colour": "blue"}})
	s.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "token-primary", OwnerReferences: owner}, Data: map[string][]byte{"t": []byte("1")}})
	s.create(primary)
	for name, selects := range map[string]string{"web": "web-primary", "web-primary": "web-primary", "web-canary": "web"} {
		s.create(&corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: owner, Labels: map[string]string{"app": name}},
			Spec: corev1.ServiceSpec{
				Selector: map[string]string{"app": selects},
				Ports:    []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}},
			},
		})
	}
	c.Status.Phase, c.Status.LastAppliedSpec, c.Status.LastPromotedSpec = v1beta1.PhaseInitialized, "5d8fbc7f9c", "5d8fbc7f9c"
	c.Status.TrackedConfigs = map[string]string{"configmap/settings": "12ab", "secret/token": "34cd"}
	if err := shared.admin.Status().Update(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	s.until("the primary is ready", func() bool { return s.deployment("web-primary").Status.AvailableReplicas == 2 })
	return s
}

func TestTakingOverFromFlaggerReplacesNoPod(t *testing.T) {
	t.Parallel()
	s := flagged(t)
	before := s.deployment("web-primary")
	s.start()
	s.settled(v1beta1.PhaseInitialized)
	after, c := s.deployment("web-primary"), s.canary()
	if !equality.Semantic.DeepEqual(after.Spec, before.Spec) || after.UID != before.UID {
		t.Errorf("the primary was changed\n before %+v\n after %+v", before.Spec, after.Spec)
	}
	if c.Status.Rollout != nil || c.Status.PromotedRevision == "" || c.Status.PromotedRevision != c.Status.CurrentRevision {
		t.Errorf("status %+v; want the promoted revision to be the current one, and no rollout", c.Status.SluiceStatus)
	}
	if stored := s.snapshots(); len(stored) != 1 || stored[0].Promoted.IsZero() {
		t.Errorf("snapshots %+v, want one, marked as promoted", stored)
	}

	// Restarted, it finds all as it is.
	s.stop()
	s.start()
	s.settled(v1beta1.PhaseInitialized)
	if again := s.deployment("web-primary"); again.ResourceVersion != after.ResourceVersion {
		t.Errorf("a restart wrote the primary: %+v", again)
	}

	s.setImage("web:2")
	s.settled(v1beta1.PhaseSucceeded)
	promoted := s.deployment("web-primary")
	from := promoted.Spec.Template.Spec.Containers[0].EnvFrom
	if s.image("web-primary") != "web:2" || !strings.HasPrefix(from[0].ConfigMapRef.Name, "settings-primary-") {
		t.Errorf("after a promotion the primary runs %s with %v, annotations %v", s.image("web-primary"), from, promoted.Annotations)
	}
}

// Whoever may write a primary must not be able to have users served by what nobody analysed, whatever it is marked with.
func TestAnInheritedPrimaryIsNotForEverybodyToChange(t *testing.T) {
	t.Parallel()
	s := flagged(t)
	s.start()
	s.settled(v1beta1.PhaseInitialized)
	change(s, "web-primary", &appsv1.Deployment{}, func(d *appsv1.Deployment) {
		d.Annotations[revision.AnnotationInherited] = "true"
		d.Spec.Template.Spec.Containers[0].Image = "mallory:1"
	})
	s.until("the primary runs what was promoted", func() bool { return s.image("web-primary") == "web:1" })
	name := s.deployment("web-primary").Spec.Template.Spec.Containers[0].EnvFrom[0].ConfigMapRef.Name
	if !strings.HasPrefix(name, "settings-primary-") {
		t.Errorf("the primary reads %s, want it rendered from the snapshot", name)
	}
	s.settled(v1beta1.PhaseInitialized)
}

// A primary whose labels and annotations were taken off is recognised by its template.
func TestAnInheritedPrimaryIsKnownByItsTemplate(t *testing.T) {
	t.Parallel()
	s := flagged(t)
	before := s.deployment("web-primary")
	s.start()
	s.settled(v1beta1.PhaseInitialized)
	change(s, "web-primary", &appsv1.Deployment{}, func(d *appsv1.Deployment) {
		d.Annotations, d.Labels = nil, map[string]string{"app": "web-primary"}
	})
	s.until("its marks are back", func() bool {
		d := s.deployment("web-primary")
		return d.Annotations[revision.AnnotationRevision] != "" && d.Labels[v1beta1.LabelTracked] == v1beta1.TrackedPrimary
	})
	if after := s.deployment("web-primary"); !equality.Semantic.DeepEqual(after.Spec.Template, before.Spec.Template) {
		t.Errorf("its pods were replaced\n before %+v\n after %+v", before.Spec.Template, after.Spec.Template)
	}
}

func TestTakingOverAPrimaryThatDiffersStartsARollout(t *testing.T) {
	t.Parallel()
	s := flagged(t)
	// Flagger was stopped before it has seen these.
	change(s, "settings", &corev1.ConfigMap{}, func(c *corev1.ConfigMap) { c.Data["colour"] = "red" })
	s.checks.set(true, v1beta1.VerdictFail)
	before := s.deployment("web-primary")
	s.start()
	s.until("the rollout failed and is over", func() bool {
		st := s.canary().Status
		return st.Phase == v1beta1.PhaseFailed && st.Rollout == nil
	})
	if after := s.deployment("web-primary"); !equality.Semantic.DeepEqual(after.Spec, before.Spec) {
		t.Errorf("a failed rollout changed the primary\n before %+v\n after %+v", before.Spec, after.Spec)
	}
	// What Flagger made is deleted; what its pods have read comes back.
	if err := shared.admin.Delete(t.Context(), s.deployment("web-primary")); err != nil {
		t.Fatal(err)
	}
	s.until("the primary is there again", func() bool {
		d := s.deployment("web-primary")
		return d.UID != "" && d.UID != before.UID
	})
	name := s.deployment("web-primary").Spec.Template.Spec.Containers[0].EnvFrom[0].ConfigMapRef.Name
	var read corev1.ConfigMap
	if !s.get(name, &read) || read.Data["colour"] != "blue" {
		t.Errorf("the primary reads %s with %v, want what Flagger has promoted", name, read.Data)
	}
}
