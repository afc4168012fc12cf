package v1beta1_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Each manifest decodes strictly into its type, through the scheme, and comes back the same but for zero values.
func TestManifestsRoundTrip(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for _, d := range corpus(t) {
		t.Run(d.name, func(t *testing.T) {
			gvk := schema.FromAPIVersionAndKind("flagger.app/v1beta1", d.kind)
			o, err := scheme.New(gvk)
			if err != nil {
				t.Fatal(err)
			}
			if err := yaml.UnmarshalStrict(d.raw, o); err != nil {
				t.Fatal(err)
			}
			out, err := json.Marshal(o.DeepCopyObject())
			if err != nil {
				t.Fatal(err)
			}
			got, want := withoutZeros(generic(t, out)), withoutZeros(generic(t, d.raw))
			if !reflect.DeepEqual(got, want) {
				t.Errorf("came back as\n%s\nwant\n%s", render(t, got), render(t, want))
			}
		})
	}
}

// withoutZeros drops false, 0, "" and what is empty then.
func withoutZeros(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, child := range v {
			if c := withoutZeros(child); c != nil {
				out[key] = c
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	case []any:
		out := make([]any, 0, len(v))
		for _, child := range v {
			out = append(out, withoutZeros(child))
		}
		if len(out) == 0 {
			return nil
		}
		return out
	case nil:
		return nil
	default:
		if reflect.ValueOf(v).IsZero() {
			return nil
		}
		return v
	}
}

func render(t *testing.T, v any) string {
	t.Helper()
	b, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What a zero means must survive where it differs from an absent field.
func TestZerosThatMeanSomethingSurvive(t *testing.T) {
	const manifest = `
spec:
  progressDeadlineSeconds: 0
  service:
    port: 80
    corsPolicy: {allowCredentials: false}
    trafficPolicy: {outlierDetection: {consecutive5xxErrors: 0}}
  analysis:
    interval: 1m
    threshold: 0
    metrics:
      - name: errors
        threshold: 0
        thresholdRange: {max: 0}
`
	var c v1beta1.Canary
	if err := yaml.UnmarshalStrict([]byte(manifest), &c); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(c.Spec)
	if err != nil {
		t.Fatal(err)
	}
	got := generic(t, out)
	delete(got, "targetRef")
	if want := generic(t, []byte(manifest))["spec"]; !reflect.DeepEqual(got, want) {
		t.Errorf("came back as\n%s\nwant\n%s", render(t, got), render(t, want))
	}
}

// A status that only has zeros shows Flagger's counters and no dates.
func TestStatusShowsCountersAndNoEmptyDates(t *testing.T) {
	out, err := json.Marshal(v1beta1.CanaryStatus{
		Phase: v1beta1.PhaseInitializing, SluiceStatus: v1beta1.SluiceStatus{Checks: []v1beta1.CheckResult{{Name: "x"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"phase":"Initializing","failedChecks":0,"canaryWeight":0,"iterations":0,` +
		`"checks":[{"name":"x","kind":"","step":0,"weight":0,"attempt":0,"verdict":""}]}`
	if string(out) != want {
		t.Errorf("got  %s\nwant %s", out, want)
	}
}
