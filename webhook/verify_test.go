package webhook

import (
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

func TestVerifyWorkload(t *testing.T) {
	type change = []func(*unstructured.Unstructured)
	guard := set("true", "metadata", "labels", v1beta1.LabelGuarded)
	now := metav1.Now()
	gone := func(c *v1beta1.Canary) { c.DeletionTimestamp = &now }
	for name, tt := range map[string]struct {
		old, new change
		free     bool
		canary   func(*v1beta1.Canary)

		unheld, snapshot, denied bool
	}{
		"what the mutating phase made":         {new: change{image("2"), stamped("jane", "2"), hold(heldByB)}},
		"no hold is needed":                    {new: change{image("2"), stamped("jane", "2")}, free: true},
		"no hold is needed, not seen":          {new: change{image("2")}, free: true, snapshot: true},
		"not seen":                             {new: change{image("2")}, unheld: true, snapshot: true},
		"not seen, with the stamp of before":   {old: change{stamped("jane", "1")}, new: change{stamped("jane", "1"), image("2")}, unheld: true, snapshot: true},
		"not seen, a replace":                  {old: change{stamped("jane", "1")}, new: change{replaced, image("2")}, unheld: true, snapshot: true},
		"the hold was taken off":               {new: change{image("2"), stamped("jane", "2")}, unheld: true},
		"the pause was taken off":              {new: change{image("2"), stamped("jane", "2"), hold(heldByB), paused(false)}, unheld: true},
		"a held change is let go":              {old: change{hold(heldByB)}, new: change{hold(heldByB), paused(false)}, unheld: true},
		"a held change is let go by a replace": {old: change{hold(heldByB)}, new: change{replaced}, unheld: true},
		"a held change goes when it may":       {old: change{hold(heldByB)}, new: change{hold(heldByB), paused(false)}, free: true},
		"nothing changed":                      {},
		"a pause of the user's is no hold":     {new: change{paused(true), image("2")}, unheld: true, snapshot: true},
		"guarded":                              {old: change{guard}, new: change{guard, image("2")}, denied: true},
		"guarded, without its label":           {old: change{guard}, new: change{image("2"), replaced}, denied: true},
		"guarded and held":                     {old: change{guard}, new: change{guard, image("2"), stamped("jane", "2"), hold(heldByB)}},
		"guarded, no hold is needed":           {old: change{guard}, new: change{guard, image("2")}, free: true, snapshot: true},
		"the Canary leaves":                    {new: change{image("2")}, canary: gone},
		"the object leaves":                    {old: change{func(u *unstructured.Unstructured) { u.SetDeletionTimestamp(&now) }}, new: change{image("2")}},
	} {
		t.Run(name, func(t *testing.T) {
			f := Facts{Operation: admissionv1.Update, Old: workload(t, tt.old...), New: workload(t, tt.new...), Canary: canary("test", "podinfo"), Hold: !tt.free}
			if tt.canary != nil {
				tt.canary(f.Canary)
			}
			v, err := VerifyWorkload(f)
			if err != nil {
				t.Fatal(err)
			}
			expectVerification(t, v, tt.unheld, tt.snapshot, tt.denied)
			f.Canary = nil
			if v, err := VerifyWorkload(f); err != nil || v.Unheld || len(v.Denials)+len(v.Snapshot)+len(v.Warnings) > 0 {
				t.Errorf("without a Canary: %+v, error %v; want nothing", v, err)
			}
		})
	}
}

func expectVerification(t *testing.T, v Verification, unheld, snapshot, denied bool) {
	t.Helper()
	if v.Unheld != unheld || (len(v.Snapshot) == 1) != snapshot || (len(v.Denials) == 1) != denied {
		t.Errorf("unheld %v, snapshot of %q, denials %q; want %v, %v, %v", v.Unheld, names(v.Snapshot), v.Denials, unheld, snapshot, denied)
	}
	if (len(v.Fence) == 1) != unheld || len(v.Warnings) != len(v.Fence) {
		t.Errorf("fences %q with warnings %q; want one with one: %v", names(v.Fence), v.Warnings, unheld)
	}
	if denied && !strings.Contains(v.Denials[0], "is guarded by canary") {
		t.Errorf("denial %q does not say by what", v.Denials[0])
	}
}

func TestVerifyConfig(t *testing.T) {
	type change = []func(*corev1.ConfigMap)
	direct := annotated(v1beta1.AnnotationRotation, v1beta1.RotationDirect)
	seen := annotated(v1beta1.AnnotationAdmitted, "another stamp")
	guard := func(m *corev1.ConfigMap) { m.Labels = map[string]string{v1beta1.LabelGuarded: "true"} }
	immutable := func(m *corev1.ConfigMap) { m.Immutable = new(true) }
	for name, tt := range map[string]struct {
		old, new change
		free     bool

		unheld, snapshot, denied bool
	}{
		"what the mutating phase made": {new: change{color("red"), seen}},
		"not seen":                     {new: change{color("red")}, unheld: true, snapshot: true},
		"not seen, a replace":          {new: change{color("red"), bare}, unheld: true, snapshot: true},
		"not seen between rollouts":    {new: change{color("red")}, free: true, snapshot: true},
		"nothing changed":              {new: change{bare}},
		"it passes straight":           {old: change{direct}, new: change{direct, color("red")}},
		"it is about to pass straight": {new: change{direct, color("red")}, unheld: true, snapshot: true},
		"immutable":                    {old: change{immutable}, new: change{color("red")}},
		"guarded":                      {old: change{guard}, new: change{color("red")}, denied: true},
		"guarded between rollouts":     {old: change{guard}, new: change{color("red")}, free: true, snapshot: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := ConfigFacts{Operation: admissionv1.Update, Old: config(t, tt.old...), New: config(t, tt.new...),
				Users: []ConfigUser{user("podinfo", v1beta1.StageAnalysing, !tt.free)}}
			expectVerification(t, VerifyConfig(f), tt.unheld, tt.snapshot, tt.denied)
		})
	}
}
