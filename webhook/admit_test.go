package webhook

import (
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// A Canary that Go cannot decode would end every list and watch, so it is refused, but only where its spec is new.
func TestUndecodableCanary(t *testing.T) {
	raw := func(metadata, threshold string) runtime.RawExtension {
		return runtime.RawExtension{Raw: []byte(`{"apiVersion":"flagger.app/v1beta1","kind":"Canary","metadata":{"name":"podinfo","namespace":"test"` + metadata +
			`},"spec":{"analysis":{"threshold":` + threshold + `}}}`)}
	}
	for name, tt := range map[string]struct {
		old, new runtime.RawExtension
		refused  bool
	}{
		"created":          {new: raw("", "1.5"), refused: true},
		"made so":          {old: raw("", "1"), new: raw("", "1.5"), refused: true},
		"metadata changed": {old: raw("", "1.5"), new: raw(`,"labels":{"a":"b"}`, "1.5")},
		"being deleted":    {old: raw("", "1.5"), new: raw(`,"deletionTimestamp":"2026-01-01T00:00:00Z"`, "2.5")},
	} {
		t.Run(name, func(t *testing.T) {
			req := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{Operation: admissionv1.Update, OldObject: tt.old, Object: tt.new}}
			a, err := canaryGate{}.handle(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			if (len(a.denials) == 1) != tt.refused {
				t.Fatalf("denials %q, want refused: %v", a.denials, tt.refused)
			}
			if tt.refused && !strings.HasPrefix(a.denials[0], "spec.analysis.threshold: number 1.5 cannot be read as int32; ") {
				t.Errorf("denial %q does not say which field, value and type", a.denials[0])
			}
		})
	}
}

func TestInCharge(t *testing.T) {
	at := func(name string, second int64, deleting bool) *v1beta1.Canary {
		c := canary("test", name)
		c.CreationTimestamp = metav1.NewTime(time.Unix(second, 0))
		if deleting {
			c.DeletionTimestamp = &metav1.Time{Time: time.Unix(99, 0)}
		}
		return c
	}
	// Each comes before all that follow.
	order := []*v1beta1.Canary{at("z", 1, false), at("a", 2, false), at("b", 2, false), at("a", 0, true), at("b", 0, true)}
	for i, a := range order {
		for j, b := range order {
			if i != j && inCharge(a, b) != (i < j) {
				t.Errorf("number %d before number %d: %v", i, j, inCharge(a, b))
			}
		}
	}
}
