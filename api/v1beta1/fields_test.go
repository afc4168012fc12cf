package v1beta1_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// Counts that Flagger's schema calls numbers: a fraction there passes its schema and then breaks its decoding.
var narrowed = []string{
	"Canary.spec.progressDeadlineSeconds", "Canary.spec.service.port", "Canary.spec.analysis.iterations",
	"Canary.spec.analysis.threshold", "Canary.spec.analysis.maxWeight", "Canary.spec.analysis.stepWeight",
	"Canary.spec.analysis.stepWeights[]", "Canary.spec.analysis.stepWeightPromotion", "Canary.spec.analysis.mirrorWeight",
	"Canary.spec.analysis.primaryReadyThreshold", "Canary.spec.analysis.canaryReadyThreshold",
	"Canary.spec.analysis.webhooks[].retries", "Canary.spec.analysis.sessionAffinity.maxAge",
	"Canary.status.failedChecks", "Canary.status.canaryWeight", "Canary.status.iterations",
}

func TestSchemaHasEveryFlaggerField(t *testing.T) {
	ours := map[string]string{}
	for _, kind := range []string{"Canary", "MetricTemplate", "AlertProvider"} {
		paths(kind, schemaOf(t, kind), ours)
	}
	theirs := flaggerFields(t)
	if len(theirs) < 300 {
		t.Fatalf("only %d fields in testdata/flagger-fields.txt", len(theirs))
	}
	for _, path := range slices.Sorted(maps.Keys(theirs)) {
		want := theirs[path]
		if want == "number" && slices.Contains(narrowed, path) {
			want = "integer"
		}
		if got, ok := ours[path]; !ok {
			t.Errorf("%s is missing", path)
		} else if got != want {
			t.Errorf("%s has type %s; want %s", path, got, want)
		}
	}
}

func TestCorpusUsesEveryFlaggerField(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range corpus(t) {
		used(d.kind, schemaOf(t, d.kind), generic(t, d.raw), seen)
	}
	for _, path := range slices.Sorted(maps.Keys(flaggerFields(t))) {
		if strings.Contains(path, ".status") {
			continue
		}
		if !seen[path] {
			t.Errorf("no manifest in testdata uses %s", path)
		}
	}
}

func TestPrinterColumns(t *testing.T) {
	col := func(name, typ, path string, priority int32) apiextensionsv1.CustomResourceColumnDefinition {
		return apiextensionsv1.CustomResourceColumnDefinition{Name: name, Type: typ, JSONPath: path, Priority: priority}
	}
	want := map[string][]apiextensionsv1.CustomResourceColumnDefinition{
		"Canary": {
			col("Status", "string", ".status.phase", 0),
			col("Weight", "string", ".status.canaryWeight", 0),
			col("Suspended", "boolean", ".spec.suspend", 1),
			col("FailedChecks", "string", ".status.failedChecks", 1),
			col("Interval", "string", ".spec.analysis.interval", 1),
			col("Mirror", "boolean", ".spec.analysis.mirror", 1),
			col("StepWeight", "string", ".spec.analysis.stepWeight", 1),
			col("StepWeights", "string", ".spec.analysis.stepWeights", 1),
			col("MaxWeight", "string", ".spec.analysis.maxWeight", 1),
			col("LastTransitionTime", "string", ".status.lastTransitionTime", 0),
			// What follows is Sluice's, behind Flagger's.
			col("PausedBy", "string", ".status.paused.by", 1),
			col("LastVerb", "string", ".status.verb.text", 1),
			col("VerbOutcome", "string", ".status.verb.outcome", 1),
		},
		"MetricTemplate": {col("Provider", "string", ".spec.provider.type", 0)},
		"AlertProvider":  {col("Type", "string", ".spec.type", 0)},
	}
	all := crds(t)
	for kind, columns := range want {
		crd := all[kind]
		if crd == nil {
			t.Fatalf("no CRD of kind %s", kind)
		}
		v := crd.Spec.Versions[0]
		if !slices.Equal(v.AdditionalPrinterColumns, columns) {
			t.Errorf("%s: columns %v; want %v", kind, v.AdditionalPrinterColumns, columns)
		}
		if !slices.Equal(crd.Spec.Names.Categories, []string{"all"}) {
			t.Errorf("%s: categories %v; want [all]", kind, crd.Spec.Names.Categories)
		}
		if v.Subresources == nil || v.Subresources.Status == nil {
			t.Errorf("%s: no status subresource", kind)
		}
		if got := crd.Annotations["helm.sh/resource-policy"]; got != "keep" {
			t.Errorf("%s: helm.sh/resource-policy is %q; want keep", kind, got)
		}
	}
}
