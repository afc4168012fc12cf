package scaler

import (
	"reflect"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := u.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	return u
}

func canary(t *testing.T, ref string) *v1beta1.Canary {
	t.Helper()
	c := &v1beta1.Canary{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", UID: "1"}}
	c.Spec.TargetRef = v1beta1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}
	c.Spec.AutoscalerRef = &v1beta1.AutoscalerReference{}
	if err := yaml.UnmarshalStrict([]byte(ref), c.Spec.AutoscalerRef); err != nil {
		t.Fatal(err)
	}
	return c
}

const owner = `ownerReferences: [{apiVersion: flagger.app/v1beta1, kind: Canary, name: web, uid: "1", controller: true, blockOwnerDeletion: true}]`

const userHPA = `
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: web-scaler
  namespace: shop
  resourceVersion: "7"
  labels: {team: blue, argocd.argoproj.io/instance: shop, kustomize.toolkit.fluxcd.io/name: shop, app.kubernetes.io/managed-by: Helm, sluice.dev/tracked: scaler}
  annotations: {team: blue}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 2
  maxReplicas: 6
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}]
  behavior: {scaleDown: {stabilizationWindowSeconds: 60}}
  fieldOfTomorrow: {kept: true}
status: {currentReplicas: 3, desiredReplicas: 3}
`

const userSO = `
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: web-scaler
  namespace: shop
  labels: {team: blue, scaledobject.keda.sh/name: web-scaler}
  annotations:
    team: blue
    autoscaling.keda.sh/paused-replicas: "0"
    autoscaling.keda.sh/paused: "true"
    autoscaling.keda.sh/paused-scale-in: "true"
    kustomize.toolkit.fluxcd.io/checksum: abc
spec:
  scaleTargetRef: {name: web, envSourceContainerName: main}
  minReplicaCount: 1
  maxReplicaCount: 8
  pollingInterval: 5
  advanced: {horizontalPodAutoscalerConfig: {name: web-hpa, behavior: {scaleDown: {stabilizationWindowSeconds: 60}}}}
  fallback: {failureThreshold: 3, replicas: 2}
  triggers:
  - {type: prometheus, name: requests, metadata: {serverAddress: "http://prometheus:9090", query: 'sum(rate(http_requests_total{app="web-canary"}[1m]))'}}
  - {type: prometheus, name: queue, metadata: {query: 'queue_length{app="web"}'}}
  - {type: cpu, metadata: {value: "70"}}
`

// Primaries are rendered as a whole, and compared as a whole: whatever a kind copies that it must not would show.
func TestPrimary(t *testing.T) {
	const hpaRef, soRef = "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, name: web-scaler}", "{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, name: web-scaler}"
	tests := map[string]struct {
		source, ref string
		floor       int32
		want        string
	}{
		"HPA": {source: userHPA, ref: hpaRef, want: `
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: web-scaler-primary
  namespace: shop
  labels: {team: blue, ours: "true"}
  ` + owner + `
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web-primary}
  minReplicas: 2
  maxReplicas: 6
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}]
  behavior: {scaleDown: {stabilizationWindowSeconds: 60}}
  fieldOfTomorrow: {kept: true}
`},
		"ScaledObject": {source: userSO, ref: soRef, want: `
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: web-scaler-primary
  namespace: shop
  labels: {team: blue, ours: "true"}
  annotations: {team: blue}
  ` + owner + `
spec:
  scaleTargetRef: {name: web-primary, envSourceContainerName: main}
  minReplicaCount: 1
  maxReplicaCount: 8
  pollingInterval: 5
  advanced: {horizontalPodAutoscalerConfig: {name: web-hpa-primary, behavior: {scaleDown: {stabilizationWindowSeconds: 60}}}}
  fallback: {failureThreshold: 3, replicas: 2}
  triggers:
  - {type: prometheus, name: requests, metadata: {serverAddress: "http://prometheus:9090", query: 'sum(rate(http_requests_total{app="web-primary"}[1m]))'}}
  - {type: prometheus, name: queue, metadata: {query: 'queue_length{app="web-primary"}'}}
  - {type: cpu, metadata: {value: "70"}}
`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			source := parse(t, test.source)
			before := source.DeepCopy()
			k, _ := Of(source.GetKind())
			got, err := Primary(k, source, PrimaryOptions{Canary: canary(t, test.ref), Labels: map[string]string{"ours": "true"}, Floor: test.floor})
			if err != nil {
				t.Fatal(err)
			}
			if want := parse(t, test.want); !reflect.DeepEqual(got.Object, want.Object) {
				a, _ := yaml.Marshal(got.Object)
				t.Errorf("rendered:\n%s\nwant:%s", a, test.want)
			}
			if !reflect.DeepEqual(before, source) {
				t.Error("the source was changed")
			}
			// What is stored is taken for what is wanted: nothing is written again.
			stored := got.DeepCopy()
			stored.SetResourceVersion("8")
			stored.Object["status"] = map[string]any{"desiredReplicas": int64(3)}
			if again := Merge(k, stored, got); !reflect.DeepEqual(again.Object, stored.Object) {
				t.Errorf("a second merge differs: %v", again.Object)
			}
		})
	}
}

func TestPrimaryLimits(t *testing.T) {
	tests := map[string]struct {
		kind, spec, ref string
		floor           int32
		want            Limits
		idle            any
	}{
		"as the source":                 {kind: HPA, spec: "{minReplicas: 2, maxReplicas: 6}", want: Limits{2, 6}},
		"the default minimum":           {kind: HPA, spec: "{maxReplicas: 6}", want: Limits{1, 6}},
		"own minimum":                   {kind: HPA, spec: "{minReplicas: 2, maxReplicas: 6}", ref: "{minReplicas: 4}", want: Limits{4, 6}},
		"own maximum":                   {kind: HPA, spec: "{minReplicas: 2, maxReplicas: 6}", ref: "{maxReplicas: 9}", want: Limits{2, 9}},
		"own minimum above the maximum": {kind: HPA, spec: "{minReplicas: 2, maxReplicas: 6}", ref: "{minReplicas: 8}", want: Limits{8, 8}},
		"own maximum below the minimum": {kind: HPA, spec: "{minReplicas: 4, maxReplicas: 6}", ref: "{maxReplicas: 3}", want: Limits{3, 3}},
		"a floor":                       {kind: HPA, spec: "{minReplicas: 2, maxReplicas: 6}", floor: 5, want: Limits{5, 6}},
		"a floor below the minimum":     {kind: HPA, spec: "{minReplicas: 2, maxReplicas: 6}", floor: 1, want: Limits{2, 6}},
		"a floor above the maximum":     {kind: HPA, spec: "{minReplicas: 2, maxReplicas: 6}", floor: 9, want: Limits{6, 6}},
		"KEDA's defaults":               {kind: ScaledObject, spec: "{}", want: Limits{0, 100}},
		"own limits with KEDA":          {kind: ScaledObject, spec: "{minReplicaCount: 1}", ref: "{minReplicas: 2, maxReplicas: 5}", want: Limits{2, 5}},
		"idle replicas":                 {kind: ScaledObject, spec: "{minReplicaCount: 2, idleReplicaCount: 0}", want: Limits{2, 100}, idle: int64(0)},
		"idle replicas and a floor":     {kind: ScaledObject, spec: "{minReplicaCount: 2, idleReplicaCount: 0}", floor: 1, want: Limits{2, 100}},
		"a floor of one that may idle":  {kind: ScaledObject, spec: "{}", floor: 1, want: Limits{1, 100}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			k, ok := Of(test.kind)
			if !ok {
				t.Fatal("unknown kind")
			}
			source := parse(t, "{apiVersion: v1, kind: "+test.kind+", metadata: {name: s}, spec: "+test.spec+"}")
			if err := unstructured.SetNestedField(source.Object, "web", "spec", "scaleTargetRef", "name"); err != nil {
				t.Fatal(err)
			}
			ref := "{apiVersion: v1, kind: " + test.kind + ", name: s}"
			if test.ref != "" {
				ref = "{apiVersion: v1, kind: " + test.kind + ", name: s, primaryScalerReplicas: " + test.ref + "}"
			}
			got, err := Primary(k, source, PrimaryOptions{Canary: canary(t, ref), Floor: test.floor})
			if err != nil {
				t.Fatal(err)
			}
			if l := k.Limits(got); l != test.want {
				t.Errorf("limits %+v, want %+v", l, test.want)
			}
			if left := section(got.Object, "spec")["idleReplicaCount"]; left != test.idle {
				t.Errorf("idleReplicaCount %v, want %v", left, test.idle)
			}
		})
	}
}

func TestPrimaryQueries(t *testing.T) {
	ref := `{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, name: web-scaler, primaryScalerQueries: {requests: up, absent: down}}`
	got, err := Primary(scaledObject{}, parse(t, userSO), PrimaryOptions{Canary: canary(t, ref)})
	if err != nil {
		t.Fatal(err)
	}
	triggers, _ := section(got.Object, "spec")["triggers"].([]any)
	queries := []any{}
	for _, trigger := range triggers {
		queries = append(queries, section(trigger.(map[string]any), "metadata")["query"])
	}
	// Where queries are given, the others are meant as they are.
	if want := []any{"up", `queue_length{app="web"}`, nil}; !reflect.DeepEqual(queries, want) {
		t.Errorf("queries %q, want %q", queries, want)
	}
}

func TestRename(t *testing.T) {
	for query, want := range map[string]string{
		`app="web"`:                       `app="web-primary"`,
		`app="web-canary"`:                `app="web-primary"`,
		`app="web-primary"`:               `app="web-primary"`,
		`app="web-canary-2"`:              `app="web-canary-2"`,
		`app="my-web"`:                    `app="my-web"`,
		`app="web2"`:                      `app="web2"`,
		`web_requests_total{app="web"}`:   `web_requests_total{app="web-primary"}`,
		`pod=~"web-.*"`:                   `pod=~"web-primary-.*"`,
		`pod=~"web-[0-9a-z]+"`:            `pod=~"web-primary-[0-9a-z]+"`,
		`pod=~"web-canary-.*"`:            `pod=~"web-primary-.*"`,
		`host="web.shop.svc"`:             `host="web-primary.shop.svc"`,
		`a="web",b="webweb",c="web"`:      `a="web-primary",b="webweb",c="web-primary"`,
		`web`:                             `web-primary`,
		`web-`:                            `web-primary-`,
		``:                                ``,
		`service=~"(web|web-canary|cat)"`: `service=~"(web-primary|web-primary|cat)"`,
	} {
		if got := Rename(query, "web"); got != want {
			t.Errorf("Rename(%s) = %s, want %s", query, got, want)
		}
		if once := Rename(query, "web"); Rename(once, "web") != once {
			t.Errorf("%s is renamed twice: %s", query, Rename(once, "web"))
		}
	}
	if got := Rename("up", ""); got != "up" {
		t.Errorf("a query was changed for a target without a name: %s", got)
	}
}

// A pause is Sluice's own or the user's; the user's comes back, whenever it was set.
func TestPause(t *testing.T) {
	const paused, mark = "autoscaling.keda.sh/paused-replicas", v1beta1.AnnotationScalerPaused
	so := parse(t, userSO)
	so.SetAnnotations(nil)
	k := scaledObject{}
	expect := func(what string, want map[string]string) {
		t.Helper()
		got := so.GetAnnotations()
		if len(got) != len(want) || (len(want) > 0 && !reflect.DeepEqual(got, want)) {
			t.Fatalf("%s: %v, want %v", what, got, want)
		}
		// Both verbs are carried out time and again.
		again := so.DeepCopy()
		if _, marked := want[mark]; marked {
			k.Pause(again)
		} else if want[paused] != "0" {
			k.Resume(again)
		}
		if !reflect.DeepEqual(again.Object, so.Object) {
			t.Fatalf("%s: repeating it changed %v to %v", what, so.GetAnnotations(), again.GetAnnotations())
		}
	}
	set := func(value string) {
		a := cloned(so.GetAnnotations())
		if a[paused] = value; value == "" {
			delete(a, paused)
		}
		so.SetAnnotations(a)
	}
	k.Pause(so)
	expect("paused", map[string]string{paused: "0", mark: "{}"})
	k.Resume(so)
	expect("resumed", nil)
	set("3")
	k.Resume(so)
	expect("paused by its user while it runs", map[string]string{paused: "3"})
	k.Pause(so)
	expect("paused over that", map[string]string{paused: "0", mark: `{"replicas":"3"}`})
	set("5")
	k.Pause(so)
	expect("changed by its user while idle", map[string]string{paused: "0", mark: `{"replicas":"5"}`})
	k.Resume(so)
	expect("the user's pause is back", map[string]string{paused: "5"})
	k.Pause(so)
	set("")
	k.Pause(so)
	expect("its user took the pause off while idle", map[string]string{paused: "0", mark: "{}"})
	set("7")
	k.Resume(so)
	expect("its user has paused it again before it was resumed", map[string]string{paused: "7"})
	so.SetAnnotations(map[string]string{paused: "0"})
	k.Resume(so)
	expect("resumed after Flagger had paused it", nil)
	so.SetAnnotations(map[string]string{paused: "0", mark: "spoilt"})
	k.Resume(so)
	expect("a spoilt mark", nil)

	h := parse(t, userHPA)
	before := h.DeepCopy()
	hpa{}.Pause(h)
	hpa{}.Resume(h)
	if !reflect.DeepEqual(before, h) {
		t.Error("an HPA leaves idle targets alone by itself, and was changed")
	}
}

// What others put on a primary's copy stays, but for a pause at nothing, which Flagger may have left.
func TestMerge(t *testing.T) {
	want, err := Primary(scaledObject{}, parse(t, userSO), PrimaryOptions{Canary: canary(t, "{kind: ScaledObject, name: web-scaler, apiVersion: keda.sh/v1alpha1}")})
	if err != nil {
		t.Fatal(err)
	}
	stored := want.DeepCopy()
	stored.SetLabels(map[string]string{"scaledobject.keda.sh/name": "web-scaler-primary"})
	stored.SetAnnotations(map[string]string{"by": "keda", "autoscaling.keda.sh/paused-replicas": "0"})
	if err := unstructured.SetNestedField(stored.Object, int64(99), "spec", "maxReplicaCount"); err != nil {
		t.Fatal(err)
	}
	got := Merge(scaledObject{}, stored, want)
	if l := got.GetLabels(); l["scaledobject.keda.sh/name"] != "web-scaler-primary" || l["team"] != "blue" {
		t.Errorf("labels %v", l)
	}
	if a := got.GetAnnotations(); !reflect.DeepEqual(a, map[string]string{"by": "keda", "team": "blue"}) {
		t.Errorf("annotations %v", a)
	}
	if n := section(got.Object, "spec")["maxReplicaCount"]; n != int64(8) {
		t.Errorf("an edit of the copy stays: %v", n)
	}
}

func TestScales(t *testing.T) {
	if why, ok := Scales(parse(t, userHPA), "Deployment", "web"); !ok {
		t.Error(why)
	}
	if why, ok := Scales(parse(t, userSO), "Deployment", "web"); !ok {
		t.Errorf("a ScaledObject need not name the kind: %s", why)
	}
	for _, other := range [][2]string{{"Deployment", "api"}, {"StatefulSet", "web"}} {
		if why, ok := Scales(parse(t, userHPA), other[0], other[1]); ok || why == "" {
			t.Errorf("it does not scale %v", other)
		}
	}
}

func TestKinds(t *testing.T) {
	if got := Kinds(); !reflect.DeepEqual(got, []string{HPA, ScaledObject}) {
		t.Errorf("kinds %v", got)
	}
	if _, ok := Of("Deployment"); ok {
		t.Error("an unknown kind is known")
	}
	if _, err := Primary(hpa{}, parse(t, "{apiVersion: v1, kind: X, metadata: {name: x}}"), PrimaryOptions{Canary: canary(t, "{kind: X, name: x, apiVersion: v1}")}); err == nil {
		t.Error("one without a spec was copied")
	}
}

// Whether the load is known is what the autoscaler says; one that says nothing yet is taken at its word later.
func TestBlind(t *testing.T) {
	const hpa = "kind: HorizontalPodAutoscaler\napiVersion: autoscaling/v2\n"
	for text, want := range map[string]bool{
		hpa: false,
		hpa + "status: {conditions: [{type: AbleToScale, status: \"True\"}, {type: ScalingActive, status: \"True\", reason: ValidMetricFound}]}":              false,
		hpa + "status: {conditions: [{type: ScalingActive, status: \"False\", reason: FailedGetResourceMetric}]}":                                             true,
		hpa + "status: {conditions: [{type: ScalingActive, status: Unknown}]}":                                                                                true,
		hpa + "status: {conditions: [{type: ScalingActive, status: \"False\", reason: ScalingDisabled}]}":                                                     false,
		"kind: ScaledObject\napiVersion: keda.sh/v1alpha1\nstatus: {conditions: [{type: ScalingActive, status: \"False\", reason: FailedGetResourceMetric}]}": false,
	} {
		if got := Blind(parse(t, text)); got != want {
			t.Errorf("blind %v, want %v:\n%s", got, want, text)
		}
	}
}
