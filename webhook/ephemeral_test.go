package webhook

import (
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// ephemeralCanary is one whose target serves between rollouts.
func ephemeralCanary() *v1beta1.Canary {
	c := &v1beta1.Canary{}
	c.Name, c.Namespace = "podinfo", "test"
	c.Spec.TargetRef = v1beta1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "podinfo"}
	c.Spec.Primary = &v1beta1.PrimarySpec{Lifecycle: v1beta1.LifecycleEphemeral}
	c.Status.Phase = v1beta1.PhaseInitialized
	return c
}

// A Deployment that is created in place of a deleted one starts no pod before its turn, and its owner's pause is remembered.
func TestCreatedTargetOfAnEphemeralPrimaryIsHeld(t *testing.T) {
	for _, own := range []bool{false, true} {
		u := workload(t, replaced, paused(own))
		out, err := Decide(Facts{Operation: admissionv1.Create, New: u, Canary: ephemeralCanary(), Hold: true, User: "alice"})
		if err != nil {
			t.Fatal(err)
		}
		got := after(t, u, out)
		if h := holdOf(got); h == nil || h.Paused != own || !isHeld(got) {
			t.Errorf("paused by its owner %v: hold %+v, held %v", own, h, isHeld(got))
		}
	}
	fresh := ephemeralCanary()
	fresh.Status.Phase = ""
	u := workload(t, replaced)
	out, err := Decide(Facts{Operation: admissionv1.Create, New: u, Canary: fresh, Hold: true, User: "alice"})
	if err != nil || holdOf(after(t, u, out)) != nil {
		t.Errorf("a target that nobody has adopted is held: %v", err)
	}
}

// A replace drops labels that it does not name; that of a guarded target is put back, and its change is held.
func TestGuardSurvivesAReplace(t *testing.T) {
	old := workload(t, func(u *unstructured.Unstructured) {
		u.SetLabels(map[string]string{v1beta1.LabelTracked: v1beta1.TrackedTarget, v1beta1.LabelGuarded: "true"})
	})
	u := workload(t, replaced, image("2"))
	out, err := Decide(Facts{Operation: admissionv1.Update, Old: old, New: u, Canary: ephemeralCanary(), Hold: true, User: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	if got := after(t, u, out); got.GetLabels()[v1beta1.LabelGuarded] != "true" || !isHeld(got) {
		t.Errorf("labels %v, held %v", got.GetLabels(), isHeld(got))
	}
	v, err := VerifyWorkload(Facts{Operation: admissionv1.Update, Old: old, New: workload(t, image("2")), Canary: ephemeralCanary(), Hold: true})
	if err != nil || len(v.Denials) == 0 {
		t.Errorf("a change of a guarded target that is not held is let through: %+v, %v", v, err)
	}
}
