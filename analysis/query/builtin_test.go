package query_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/analysis/query"
	"github.com/sluice-dev/sluice/analysis/query/promql"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

var update = flag.Bool("update", false, "write the golden files anew")

// observers returns the folders with built-in queries and one provider of each.
func observers(t *testing.T) map[string]string {
	t.Helper()
	lists, err := filepath.Glob("observers/*/providers")
	if err != nil || len(lists) == 0 {
		t.Fatalf("no built-in queries: %v", err)
	}
	out := map[string]string{}
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			t.Fatal(err)
		}
		for provider := range strings.FieldsSeq(string(text)) {
			out[strings.ReplaceAll(provider, "*", "v1")] = filepath.Base(filepath.Dir(list))
		}
	}
	return out
}

func TestBuiltinQueries(t *testing.T) {
	for provider, folder := range observers(t) {
		for _, kind := range []string{"Deployment", "DaemonSet"} {
			for _, metric := range []string{query.SuccessRate, query.Duration} {
				t.Run(provider+"/"+kind+"/"+metric, func(t *testing.T) {
					v := podinfo
					v.TargetKind = kind
					got, err := query.Builtin(provider, metric, v)
					if err != nil {
						t.Fatal(err)
					}
					if err := promql.Check(got); err != nil {
						t.Errorf("%v:\n%s", err, got)
					}
					if strings.ContainsAny(got, "\n#") {
						t.Errorf("the query must be one line without comments:\n%s", got)
					}
					compareGolden(t, filepath.Join("testdata", folder, strings.ToLower(kind)+"."+metric+".golden"), got+"\n")
				})
			}
		}
	}
}

func compareGolden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run the test with -update and look at the difference", err)
	}
	if got != string(want) {
		t.Errorf("%s differs; run the test with -update and look at the difference\ngot  %swant %s", path, got, want)
	}
}

func TestBuiltinErrors(t *testing.T) {
	service := podinfo
	service.TargetKind = "Service"
	tests := map[string]struct {
		provider, metric string
		vars             query.Vars
		want             string
	}{
		"unknown provider":      {"istoi", query.SuccessRate, podinfo, `no built-in queries for provider "istoi"`},
		"no provider":           {"", query.SuccessRate, podinfo, `no built-in queries for provider ""`},
		"no prefix of a match":  {"kubernetes2", query.SuccessRate, podinfo, `no built-in queries`},
		"family without colon":  {"gatewayapi", query.SuccessRate, podinfo, `no built-in queries`},
		"unknown metric":        {"kubernetes", "latency", podinfo, `metric "latency" is not built in`},
		"target without a name": {"kubernetes", query.SuccessRate, query.Vars{TargetKind: "Deployment"}, `no name`},
		"target of other kind":  {"gatewayapi:v1", query.Duration, service, `use a MetricTemplate`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := query.Builtin(tt.provider, tt.metric, tt.vars)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, error %v; want an error that mentions %q", got, err, tt.want)
			}
		})
	}
}

func TestObserves(t *testing.T) {
	for provider, want := range map[string]bool{"kubernetes": true, "gatewayapi:v1": true, "gatewayapi:v1beta1": true, "istio": true, "knative": false, "smi:v1alpha1": false, "": false} {
		if got := query.Observes(provider); got != want {
			t.Errorf("Observes(%q) = %v, want %v", provider, got, want)
		}
	}
}

func TestVarsOf(t *testing.T) {
	canary := &v1beta1.Canary{ObjectMeta: metav1.ObjectMeta{Name: "c", Namespace: "ns"}}
	canary.Spec.TargetRef = v1beta1.LocalObjectReference{Kind: "Deployment", Name: "t"}
	metric := &v1beta1.CanaryMetric{Name: "m", Interval: "1.5m", TemplateVariables: map[string]string{"k": "v"}}

	const text = `{{ name }}/{{ namespace }}/{{ target }}/{{ service }}/{{ ingress }}/{{ route }}/{{ interval }}/{{ variables.k }}`
	check := func(want string) {
		t.Helper()
		got, err := query.Render(text, query.VarsOf(canary, metric))
		if err != nil || got != want {
			t.Errorf("rendered %q, %v; want %q", got, err, want)
		}
	}
	check("c/ns/t/t/t/t/90000ms/v")

	canary.Spec.Service.Name = "s"
	canary.Spec.IngressRef = &v1beta1.LocalObjectReference{Name: "i"}
	canary.Spec.RouteRef = &v1beta1.LocalObjectReference{Name: "r"}
	metric.Interval = ""
	check("c/ns/t/s/i/r/1m/v")
	if kind := query.VarsOf(canary, metric).TargetKind; kind != "Deployment" {
		t.Errorf("target kind %q", kind)
	}
}
