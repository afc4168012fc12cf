package harness

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/cluster"
)

// appDeployment renders an application and decodes its Deployment.
func appDeployment(t *testing.T, a App) appsv1.Deployment {
	t.Helper()
	text, err := a.Manifests(&Harness{Cluster: &cluster.Cluster{}})
	if err != nil {
		t.Fatal(err)
	}
	for document := range strings.SplitSeq(text, "\n---\n") {
		var d appsv1.Deployment
		if err := yaml.Unmarshal([]byte(document), &d); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if d.Kind == "Deployment" {
			return d
		}
	}
	t.Fatal("the manifests hold no Deployment")
	return appsv1.Deployment{}
}

func TestVersionsOfAnAppDifferInTheTemplateAlone(t *testing.T) {
	v1 := appDeployment(t, App{Name: "app", Version: "v1"})
	v2 := appDeployment(t, App{Name: "app", Version: "v2", Broken: true})
	if v1.Namespace != TestNamespace || *v1.Spec.Replicas != 2 {
		t.Errorf("namespace %q, %d replicas: want the defaults", v1.Namespace, *v1.Spec.Replicas)
	}
	broken := strings.Join(v2.Spec.Template.Spec.Containers[0].Args, " ")
	if !strings.Contains(broken, "--ui-path=/pages/") || strings.Contains(strings.Join(v1.Spec.Template.Spec.Containers[0].Args, " "), "--ui-path=/pages/") {
		t.Error("the broken version, and it alone, has to look for its page where none is")
	}
	v2.Spec.Template = v1.Spec.Template
	a, _ := yaml.Marshal(v1)
	b, _ := yaml.Marshal(v2)
	if string(a) != string(b) {
		t.Errorf("versions differ beyond the template:\n%s\n%s", a, b)
	}
}

func TestVersionOf(t *testing.T) {
	for body, want := range map[string]string{
		"<title>app-1</title>\n<p>release:v12</p>":                        "v12",
		`{"message": "release:v2.1-rc", "color": "blue"}`:                 "v2.1-rc",
		"/pages/release:v3/vue.htmlopen /pages/release:v3/vue.html: no s": "v3",
		"Bad Gateway": "",
	} {
		if got := VersionOf(200, nil, []byte(body)); got != want {
			t.Errorf("%q is of version %q, want %q", body, got, want)
		}
	}
}

func TestCanaryWeight(t *testing.T) {
	for name, test := range map[string]struct {
		rules string
		want  int
	}{
		"a step":       {`[{"backendRefs":[{"name":"app-primary","weight":90},{"name":"app-canary","weight":10}]}]`, 10},
		"other scale":  {`[{"backendRefs":[{"name":"app-primary","weight":3},{"name":"app-canary","weight":1}]}]`, 25},
		"no weights":   {`[{"backendRefs":[{"name":"app-primary"},{"name":"app-canary"}]}]`, 50},
		"idle":         {`[{"backendRefs":[{"name":"app-primary","weight":100},{"name":"app-canary","weight":0}]}]`, 0},
		"no canary":    {`[{"backendRefs":[{"name":"app-primary"}]}]`, NoRoute},
		"no rules":     {`[]`, NoRoute},
		"all are zero": {`[{"backendRefs":[{"name":"app-canary","weight":0}]}]`, NoRoute},
	} {
		var route gatewayv1.HTTPRoute
		if err := yaml.Unmarshal([]byte(`{"spec":{"rules":`+test.rules+`}}`), &route); err != nil {
			t.Fatal(err)
		}
		if got := canaryWeight(&route, "app-canary"); got != test.want {
			t.Errorf("%s: weight %d, want %d", name, got, test.want)
		}
	}
}

func TestSpans(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	got := Spans([]Moment{
		{At: at(0), RouteWeight: 0},
		{At: at(1), RouteWeight: 0},
		{At: at(2), RouteWeight: 10},
		{At: at(3), RouteWeight: 10},
		{At: at(4), RouteWeight: 0},
	})
	want := []Span{{at(0), at(2), 0}, {at(2), at(4), 10}, {at(4), time.Time{}, 0}}
	if len(got) != len(want) {
		t.Fatalf("%d spans, want %d: %v", len(got), len(want), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("span %d is %v, want %v", i, got[i], want[i])
		}
	}
}

func TestTimelineWaitsForWhatComes(t *testing.T) {
	timeline := &Timeline{moments: []Moment{{RouteWeight: NoRoute}}, changed: make(chan struct{})}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			timeline.add(func(m *Moment) { m.RouteWeight = i % 20 })
		}
	}()
	// 10 is over when the waiting gets to look: it must be found still.
	if m, err := timeline.Wait(ctx, func(m Moment) bool { return m.RouteWeight == 10 }); err != nil || m.RouteWeight != 10 {
		t.Errorf("waited for weight 10: %v, %v", m, err)
	}
	over, cancelOver := context.WithCancel(t.Context())
	cancelOver()
	if _, err := timeline.Wait(over, func(m Moment) bool { return m.Phase() == v1beta1.PhaseSucceeded }); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting without time left gave %v", err)
	}
}

func TestCountRequests(t *testing.T) {
	got, err := countRequests(`# HELP apiserver_flowcontrol_dispatched_requests_total x
apiserver_flowcontrol_dispatched_requests_total{flow_schema="sluice",priority_level="workload-high"} 12
apiserver_flowcontrol_dispatched_requests_total{flow_schema="sluice-leases",priority_level="leader-election"} 1.5e+02
apiserver_flowcontrol_dispatched_requests_total{flow_schema="sluice-watches",priority_level="workload-high"} 9
apiserver_flowcontrol_dispatched_requests_total{flow_schema="exempt",priority_level="exempt"} 7
apiserver_flowcontrol_rejected_requests_total{flow_schema="sluice",priority_level="workload-high"} 5
`)
	if want := (Requests{Leases: 150, Watches: 9, Other: 12}); err != nil || got != want {
		t.Errorf("counted %+v (%v), want %+v", got, err, want)
	}
}

func TestAdaptChangesTheDeploymentAlone(t *testing.T) {
	const shipped = `apiVersion: v1
kind: Namespace
metadata:
  name: sluice-system
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: sluice
spec:
  template:
    spec:
      containers:
      - args: [controller]
        image: example.com/sluice:v1
        name: sluice
`
	h := &Harness{Cluster: &cluster.Cluster{}}
	got, reference, err := h.adapt(shipped, program{name: "sluice", args: []string{"-x"}}, "digest")
	if err != nil {
		t.Fatal(err)
	}
	if reference != "example.com/sluice:v1" {
		t.Errorf("the manifests name %q", reference)
	}
	before, after, _ := strings.Cut(got, "\n---\n")
	if !strings.HasPrefix(shipped, before) {
		t.Errorf("another object was changed:\n%s", before)
	}
	var d appsv1.Deployment
	if err := yaml.Unmarshal([]byte(after), &d); err != nil {
		t.Fatal(err)
	}
	if d.Spec.Template.Annotations[imageAnnotation] != "digest" || strings.Join(d.Spec.Template.Spec.Containers[0].Args, " ") != "controller -x" {
		t.Errorf("the Deployment became\n%s", after)
	}
	if _, _, err := h.adapt("kind: Namespace\n", program{name: "sluice"}, "digest"); err == nil {
		t.Error("manifests without the Deployment were accepted")
	}
}

func TestAdmissionsCountSluicesWebhooksOnly(t *testing.T) {
	var a Admissions
	err := errors.Join(a.countCalls(`
# HELP apiserver_admission_webhook_request_total x
apiserver_admission_webhook_request_total{code="200",name="targets.sluice.dev",operation="UPDATE",rejected="false",type="admit"} 7
apiserver_admission_webhook_request_total{code="503",name="canaries.sluice.dev",operation="CREATE",rejected="false",type="validating"} 2
apiserver_admission_webhook_request_total{code="200",name="webhook.example.com",operation="UPDATE",rejected="false",type="admit"} 100
apiserver_admission_webhook_fail_open_count{name="canaries.sluice.dev",type="validating"} 2
apiserver_admission_webhook_fail_open_count{name="webhook.example.com",type="validating"} 100
apiserver_admission_webhook_rejection_count{error_type="no_error",name="canaries.sluice.dev",operation="CREATE",rejection_code="422",type="validating"} 3
apiserver_admission_webhook_rejection_count{error_type="calling_webhook_error",name="guarded.sluice.dev",operation="CREATE",rejection_code="500",type="admit"} 4
`), a.countAnswers(`
sluice_admission_requests_total{dry_run="true",operation="UPDATE",outcome="allowed",path="/x"} 5
sluice_admission_requests_total{dry_run="true",operation="UPDATE",outcome="panicked",path="/x"} 1
sluice_changes_caught_up_total{kind="deployment"} 8
sluice_other{outcome="panicked"} 9
`))
	want := Admissions{Calls: 9, FailedOpen: 2, FailedClosed: 4, Answered: 6, Broken: 1, CaughtUp: 8}
	if err != nil || a != want {
		t.Errorf("%+v, %v; want %+v", a, err, want)
	}
	if got := a.Minus(Admissions{Calls: 1, Answered: 2}); got != (Admissions{Calls: 8, FailedOpen: 2, FailedClosed: 4, Answered: 4, Broken: 1, CaughtUp: 8}) {
		t.Errorf("minus: %+v", got)
	}
	if err := a.countCalls("apiserver_admission_webhook_request_total{name=\"targets.sluice.dev\"} many\n"); err == nil {
		t.Error("a count that is no number was accepted")
	}
}

func TestUsageAddsTimeAndTakesTheLargestMemory(t *testing.T) {
	var u Usage
	for _, metrics := range []string{
		"# HELP process_cpu_seconds_total x\nprocess_cpu_seconds_total 1.5\nprocess_resident_memory_bytes 4e+07\nprocess_resident_memory_bytes_other 9e+09\n",
		"process_cpu_seconds_total 0.25\nprocess_resident_memory_bytes 3e+07\n",
	} {
		if err := u.add(metrics); err != nil {
			t.Fatal(err)
		}
	}
	if want := (Usage{CPU: 1750 * time.Millisecond, Resident: 40_000_000}); u != want {
		t.Errorf("%+v, want %+v", u, want)
	}
	if err := u.add("process_cpu_seconds_total 1\n"); err == nil {
		t.Error("a process without memory is believed")
	}
}

func TestMomentTellsWhenItsStatusWasStored(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 10, 0, time.UTC)
	wrote := func(subresource string, second int) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Subresource: subresource, Time: &metav1.Time{Time: at.Add(time.Duration(second-10) * time.Second)}}
	}
	for name, c := range map[string]struct {
		fields []metav1.ManagedFieldsEntry
		want   int
	}{
		"late here":          {[]metav1.ManagedFieldsEntry{wrote("status", 4), wrote("status", 7), wrote("", 9)}, 7},
		"no status":          {[]metav1.ManagedFieldsEntry{wrote("", 9)}, 10},
		"by a clock ahead":   {[]metav1.ManagedFieldsEntry{wrote("status", 12)}, 10},
		"nothing was stored": {nil, 10},
	} {
		canary := &v1beta1.Canary{ObjectMeta: metav1.ObjectMeta{ManagedFields: c.fields}}
		if got := (Moment{At: at, Canary: canary}).Stored(); got.Second() != c.want {
			t.Errorf("%s: stored at %s, want second %d", name, got, c.want)
		}
	}
	if got := (Moment{At: at}).Stored(); !got.Equal(at) {
		t.Errorf("without a Canary: %s", got)
	}
}
