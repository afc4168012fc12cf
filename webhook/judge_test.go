package webhook

import (
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/api/validation"
)

// Only what changes a spec is judged, and what the program could not read back is refused.
func TestObjectGate(t *testing.T) {
	gate := objectGate[v1beta1.MetricTemplate]{
		references: func(*v1beta1.MetricTemplate) []validation.Reference { return nil },
		judge:      validation.ValidateMetricTemplate,
		options:    validation.Options{Features: validation.CurrentFeatures()},
	}
	raw := func(metadata, query string) runtime.RawExtension {
		return runtime.RawExtension{Raw: []byte(`{"apiVersion":"flagger.app/v1beta1","kind":"MetricTemplate","metadata":{"name":"rate","namespace":"test"` + metadata +
			`},"spec":{"provider":{"type":"prometheus","address":"http://prometheus"},"query":` + query + `}}`)}
	}
	for name, tt := range map[string]struct {
		old, new runtime.RawExtension
		want     string
	}{
		"good":             {new: raw("", `"1"`)},
		"wrong":            {new: raw("", `"{{ x }}"`), want: "spec.query: cannot be rendered: "},
		"unreadable":       {new: raw("", `5`), want: "spec.query: number cannot be read as string; "},
		"made wrong":       {old: raw("", `"1"`), new: raw("", `"{{ x }}"`), want: "spec.query: cannot be rendered: "},
		"metadata changed": {old: raw("", `"{{ x }}"`), new: raw(`,"labels":{"a":"b"}`, `"{{ x }}"`)},
		"being deleted":    {old: raw("", `"1"`), new: raw(`,"deletionTimestamp":"2026-01-01T00:00:00Z"`, `"{{ x }}"`)},
		"deleted":          {old: raw("", `"{{ x }}"`)},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := gate.handle(t.Context(), admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{OldObject: tt.old, Object: tt.new}})
			if err != nil {
				t.Fatal(err)
			}
			if (len(a.denials) == 1) != (tt.want != "") || len(a.denials) > 1 || len(a.denials) == 1 && !strings.HasPrefix(a.denials[0], tt.want) {
				t.Errorf("denials %q; want %q", a.denials, tt.want)
			}
		})
	}
}
