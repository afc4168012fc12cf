//go:build integration

package reconciler

import (
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

func TestClusterRestoredFromABackup(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.application()
	s.settled(v1beta1.PhaseInitialized)
	s.stop()

	// All objects come back with new identities and without status; the target holds a change that nobody has analysed.
	change(s, "web", &v1beta1.Canary{}, func(c *v1beta1.Canary) { c.Finalizers = nil })
	old := s.canary()
	if err := shared.admin.Delete(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	fresh := &v1beta1.Canary{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: old.Spec}
	s.create(fresh)
	if err := shared.admin.Delete(t.Context(), s.deployment("web-primary")); err != nil {
		t.Fatal(err)
	}
	s.checks.set(false, "")
	s.setImage("web:2")
	s.start()

	s.until("the primary is back", func() bool { return s.image("web-primary") != "" })
	if got := s.image("web-primary"); got != "web:1" {
		t.Errorf("the primary came back with %s, which nobody has analysed", got)
	}
	s.until("the change is analysed", func() bool { return s.canary().Status.CanaryWeight == 50 })
	for _, name := range []string{"web", "web-primary", "web-canary"} {
		if svc := s.service(name); !metav1.IsControlledBy(svc, fresh) {
			t.Errorf("Service %s would be collected, its owner is %v", name, svc.OwnerReferences)
		}
	}
	if got := s.image("web-primary"); got != "web:1" {
		t.Errorf("the primary runs %s before the analysis ended", got)
	}
}

func TestLostLabelsAreNoDeletion(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.application()
	s.settled(v1beta1.PhaseInitialized)
	promoted := s.canary().Status.PromotedRevision

	change(s, "web", &appsv1.Deployment{}, func(d *appsv1.Deployment) { d.Labels = nil })
	s.until("the target's label is back", func() bool { return s.deployment("web").Labels[v1beta1.LabelTracked] != "" })
	change(s, "settings", &corev1.ConfigMap{}, func(c *corev1.ConfigMap) { c.Labels = nil })
	s.until("the ConfigMap's label is back", func() bool {
		var c corev1.ConfigMap
		return s.get("settings", &c) && c.Labels[v1beta1.LabelTracked] != ""
	})
	change(s, "web-primary", &appsv1.Deployment{}, func(d *appsv1.Deployment) { delete(d.Labels, v1beta1.LabelTracked) })
	s.until("the primary's label is back", func() bool { return s.deployment("web-primary").Labels[v1beta1.LabelTracked] != "" })

	s.settled(v1beta1.PhaseInitialized)
	if st := s.canary().Status; st.PromotedRevision != promoted || st.Rollout != nil || len(s.snapshots()) != 1 {
		t.Errorf("a lost label started something: %+v", st)
	}
}

func TestDeletedCopyIsMadeAgain(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.application()
	s.settled(v1beta1.PhaseInitialized)
	name := s.snapshots()[0].Configs[0].Copy
	gone := &corev1.ConfigMap{}
	s.get(name, gone)
	if err := shared.admin.Delete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	s.until("the copy is back", func() bool {
		var c corev1.ConfigMap
		return s.get(name, &c) && c.Data["colour"] == "blue"
	})
}

func TestAChangeMadeWhileTheTargetWasUnwatchedIsFound(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.application()
	s.settled(v1beta1.PhaseInitialized)
	s.stop()
	s.setImage("web:2")
	change(s, "settings", &corev1.ConfigMap{}, func(c *corev1.ConfigMap) { c.Data["colour"] = "red" })
	s.start()
	s.settled(v1beta1.PhaseSucceeded)
	if got := s.image("web-primary"); got != "web:2" {
		t.Errorf("the primary runs %s", got)
	}
	if p := revision.Promoted(s.snapshots()); p == nil || p.Digest != s.canary().Status.CurrentRevision {
		t.Errorf("promoted %+v, want the target's revision", p)
	}
}

func TestReplacedTargetIsFencedAndLabelledAgain(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.application()
	s.settled(v1beta1.PhaseInitialized)
	s.checks.set(false, "")
	s.setImage("web:2")
	s.until("the canary is at 50 %", func() bool { return s.canary().Status.CanaryWeight == 50 })
	first := s.canary().Status.Rollout.PodHash

	// What kubectl replace does: metadata that the manifest does not hold is gone.
	change(s, "web", &appsv1.Deployment{}, func(d *appsv1.Deployment) {
		d.Labels, d.Annotations = nil, nil
		d.Spec.Template.Spec.Containers[0].Image = "web:3"
	})
	s.until("the target's label is back", func() bool { return s.deployment("web").Labels[v1beta1.LabelTracked] != "" })
	s.until("the newer revision is at 50 %", func() bool {
		st := s.canary().Status
		return st.CanaryWeight == 50 && st.Rollout.PodHash != "" && st.Rollout.PodHash != first
	})
	// The status is stored before the route is written.
	want := []int{0, 50, 0, 50}
	s.until("the route was opened twice", func() bool { return len(s.router.written()) >= len(want) })
	if got := s.router.written(); !slices.Equal(got, want) {
		t.Errorf("weights %v, want %v: the newer revision must not inherit the older one's traffic", got, want)
	}
}
