package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	crwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/sluice-dev/sluice/analysis/query/promql"
	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/api/validation"
)

// smallWorld answers every read from memory, as a cluster with one Canary and any config that is asked for. It forgets what is written.
type smallWorld struct {
	client.Client
	canary *v1beta1.Canary
}

func (w *smallWorld) Get(_ context.Context, key types.NamespacedName, into client.Object, _ ...client.GetOption) error {
	switch into := into.(type) {
	case *v1beta1.Canary:
		if w.canary != nil && client.ObjectKeyFromObject(w.canary) == key {
			w.canary.DeepCopyInto(into)
			return nil
		}
	case *corev1.ConfigMap:
		into.Namespace, into.Name, into.Data = key.Namespace, key.Name, map[string]string{"colour": "blue"}
		return nil
	case *corev1.Secret:
		into.Namespace, into.Name, into.Data = key.Namespace, key.Name, map[string][]byte{"token": []byte("x")}
		return nil
	}
	return apierrors.NewNotFound(schema.GroupResource{Resource: "things"}, key.Name)
}

func (w *smallWorld) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	if canaries, ok := list.(*v1beta1.CanaryList); ok && w.canary != nil {
		canaries.Items = []v1beta1.Canary{*w.canary.DeepCopy()}
	}
	return nil
}

func (*smallWorld) Create(context.Context, client.Object, ...client.CreateOption) error { return nil }

func (*smallWorld) Patch(context.Context, client.Object, client.Patch, ...client.PatchOption) error {
	return nil
}

func (*smallWorld) RESTMapper() meta.RESTMapper { return meta.NewDefaultRESTMapper(nil) }

// noFence has no routes.
type noFence struct{}

func (noFence) Fence(context.Context, *v1beta1.Canary, v1beta1.Fence) error { return nil }

// chain is everything between the HTTP request and the decision, as it is registered with the server.
func chain(t testing.TB, w *smallWorld) http.Handler {
	t.Helper()
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Username: own, Registerer: prometheus.NewRegistry(), Fencer: noFence{},
		Validation: validation.Options{DefaultProvider: "kubernetes", CheckQuery: promql.Check},
		Now:        func() time.Time { return time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC) },
	}.withDefaults()
	server := crwebhook.NewServer(crwebhook.Options{})
	register(server, o, m, clients{cache: w, live: w, write: w})
	return server.WebhookMux()
}

// paths are all that is served.
var paths = []string{PathWorkloads, PathConfigs, PathVerifyWorkloads, PathVerifyConfigs, PathCanaries, PathMetricTemplates, PathAlertProviders}

// send asks the chain and returns the answer. It fails on what no request whatever may cause.
func send(t *testing.T, chain http.Handler, path string, body []byte) *admissionv1.AdmissionResponse {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, bytes.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	chain.ServeHTTP(w, req)
	var out admissionv1.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code != http.StatusOK || out.Response == nil {
		t.Fatalf("status %d, answer %q: %v", w.Code, w.Body, err)
	}
	for _, warning := range out.Response.Warnings {
		if strings.Contains(warning, "internal failure") {
			t.Errorf("the handler panicked")
		}
		if len(warning) > MaxWarning {
			t.Errorf("a warning of %d bytes: %s", len(warning), warning)
		}
	}
	return out.Response
}

// FuzzReview sends any bytes to every path: there is an answer, no handler panics, and nothing is denied but Canaries, templates and providers.
func FuzzReview(f *testing.F) {
	for i := range paths {
		for _, tape := range []string{"", "\x01\x02\x03\x04\x05\x06\x07\x08", "\x02\x01\x05\x05\x05\x05\x05\x05\x05\x05\x05\x05"} {
			r := newRequest(&tapeReader{[]byte(tape)})
			f.Add(uint8(i), r.body(f, r.object))
		}
		f.Add(uint8(i), []byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`))
		f.Add(uint8(i), []byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","operation":"UPDATE","object":{"kind":"a"}}}`))
		f.Add(uint8(i), []byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","kind":{"kind":"Canary"},"operation":"CREATE",`+
			`"namespace":"test","object":{"apiVersion":"flagger.app/v1beta1","kind":"Canary","metadata":{"name":"podinfo"},"spec":{"analysis":{"interval":"1m"}}}}}`))
	}
	w := &smallWorld{canary: canary("test", "podinfo")}
	c := chain(f, w)
	f.Fuzz(func(t *testing.T, path uint8, body []byte) {
		where := paths[int(path)%len(paths)]
		resp := send(t, c, where, body)
		refusing := where == PathCanaries || where == PathMetricTemplates || where == PathAlertProviders
		if !resp.Allowed && resp.UID != "" && !refusing {
			t.Errorf("%s denies: %+v", where, resp.Result)
		}
	})
}

// FuzzDecide changes objects in all ways that a tape of bytes can spell, and holds what is promised of every answer about a tracked object: it
// allows, its patch applies, touches nothing but Sluice's own marks, and asking again for the patched object changes nothing more.
func FuzzDecide(f *testing.F) {
	for _, seed := range []string{"", "hold", "a replaced object", "\x00\x01\x01\x01\x01\x01\x01\x02\x02\x02\x02\x02\x02\x03\x03\x03\x03\x04\x04\x05\x05\x05\x06\x06"} {
		f.Add([]byte(seed))
	}
	w := &smallWorld{}
	c := chain(f, w)
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newRequest(&tapeReader{data})
		w.canary = r.canary
		answer := send(t, c, r.path, r.body(t, r.object))
		if !answer.Allowed {
			t.Fatalf("denied: %+v\n%s", answer.Result, r.body(t, r.object))
		}
		if len(answer.Patch) == 0 || !r.possible() {
			// What no API server takes needs an answer, and nothing else.
			return
		}
		patched := r.apply(t, answer.Patch)
		if want, got := strip(t, mustMarshal(t, r.object)), strip(t, patched); !reflect.DeepEqual(want, got) {
			t.Errorf("patch %s changes more than Sluice's marks:\n got %v\nwant %v", answer.Patch, got, want)
		}
		again := exactly(t, patched)
		if verified := send(t, c, r.verify, r.body(t, again)); !verified.Allowed {
			t.Errorf("after patch %s the validating phase denies: %+v\nrequest %s", answer.Patch, verified.Result, r.body(t, again))
		}
		if second := send(t, c, r.path, r.body(t, again)); len(second.Patch) > 0 {
			t.Errorf("after patch %s a second call patches again: %s\nrequest %s", answer.Patch, second.Patch, r.body(t, r.object))
		}
	})
}

// request is an admission request made up from a tape.
type request struct {
	// path is that of the mutating phase, verify that of the validating one.
	path, verify, kind, operation string
	dryRun                        bool
	old, object                   map[string]any
	canary                        *v1beta1.Canary
}

func newRequest(t *tapeReader) request {
	r := request{path: PathWorkloads, verify: PathVerifyWorkloads, kind: one(t, "Deployment", "DaemonSet", "ConfigMap", "Secret")}
	build := t.workload
	if r.kind == "ConfigMap" || r.kind == "Secret" {
		r.path, r.verify, build = PathConfigs, PathVerifyConfigs, t.config
	}
	r.dryRun, r.canary = t.pick(4) == 1, t.canary(r.kind)
	r.operation = one(t, "UPDATE", "UPDATE", "UPDATE", "CREATE", "DELETE")
	if r.operation != "CREATE" {
		r.old = build(r.kind)
	}
	if r.operation != "DELETE" {
		r.object = build(r.kind)
	}
	return r
}

// body is the request as the API server sends it, with another object.
func (r request) body(t testing.TB, object map[string]any) []byte {
	t.Helper()
	req := map[string]any{
		"uid": "u1", "operation": r.operation, "namespace": "test", "name": "podinfo", "dryRun": r.dryRun,
		"kind": map[string]any{"kind": r.kind}, "userInfo": map[string]any{"username": "alice"},
	}
	if r.old != nil {
		req["oldObject"] = r.old
	}
	if object != nil {
		req["object"] = object
	}
	return mustMarshal(t, map[string]any{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": req})
}

func (r request) apply(t *testing.T, operations []byte) []byte {
	t.Helper()
	p, err := jsonpatch.DecodePatch(operations)
	if err != nil {
		t.Fatalf("patch %s: %v", operations, err)
	}
	patched, err := p.Apply(mustMarshal(t, r.object))
	if err != nil {
		t.Fatalf("patch %s does not apply to %v: %v", operations, r.object, err)
	}
	return patched
}

// strip decodes an object without what Sluice may touch; an empty map counts as none.
func strip(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	o := exactly(t, raw)
	if metadata, ok := o["metadata"].(map[string]any); ok {
		for _, field := range []string{"labels", "annotations"} {
			entries, _ := metadata[field].(map[string]any)
			for k := range entries {
				if strings.HasPrefix(k, "sluice.dev/") {
					delete(entries, k)
				}
			}
			if len(entries) == 0 {
				delete(metadata, field)
			}
		}
	}
	if spec, ok := o["spec"].(map[string]any); ok {
		for _, field := range []string{"paused", "updateStrategy"} {
			delete(spec, field)
		}
		pod := podSpec(o)
		// What keeps a new DaemonSet's pods from starting.
		if nodes, ok := pod["nodeSelector"].(map[string]any); ok && maps.Equal(nodes, map[string]any{"flagger.app/scale-to-zero": "true"}) {
			delete(pod, "nodeSelector")
		}
	}
	return o
}

// podSpec returns the pods' spec in a workload, nil where there is none.
func podSpec(workload map[string]any) map[string]any {
	spec, _ := workload["spec"].(map[string]any)
	template, _ := spec["template"].(map[string]any)
	pod, _ := template["spec"].(map[string]any)
	return pod
}

// possible tells whether the object has the types that an API server takes, where it matters here.
func (r request) possible() bool {
	metadata, _ := r.object["metadata"].(map[string]any)
	for _, field := range []string{"labels", "annotations"} {
		entries, ok := metadata[field].(map[string]any)
		if !ok && metadata[field] != nil {
			return false
		}
		for _, v := range entries {
			if _, ok := v.(string); !ok {
				return false
			}
		}
	}
	return r.path == PathConfigs || podSpec(r.object) != nil
}

// exactly decodes an object with all digits of its numbers.
func exactly(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var o map[string]any
	if err := d.Decode(&o); err != nil {
		t.Fatal(err)
	}
	return o
}

// tapeReader turns bytes into choices. An empty tape chooses the first of everything.
type tapeReader struct{ left []byte }

func (t *tapeReader) pick(n int) int {
	if len(t.left) == 0 {
		return 0
	}
	b := t.left[0]
	t.left = t.left[1:]
	return int(b) % n
}

func one[T any](t *tapeReader, of ...T) T { return of[t.pick(len(of))] }

// absent stands for a field that is left out.
type absent struct{}

func (t *tapeReader) put(o map[string]any, field string, values ...any) {
	if v := one(t, values...); v != any(absent{}) {
		o[field] = v
	}
}

// entries is one of metadata's maps.
func (t *tapeReader) entries(keys []string, values ...any) any {
	switch t.pick(8) {
	case 0:
		return absent{}
	case 1:
		return nil
	case 2:
		return map[string]any{}
	case 3:
		return "no map"
	}
	o := map[string]any{"team/a~b": "a"}
	for _, k := range keys {
		t.put(o, k, append([]any{absent{}}, values...)...)
	}
	return o
}

func (t *tapeReader) metadata() map[string]any {
	m := map[string]any{"name": "podinfo", "namespace": "test", "fieldOfTomorrow": json.Number("9007199254740993")}
	t.put(m, "labels", t.entries([]string{v1beta1.LabelTracked, v1beta1.LabelCanary}, "target", "config", "podinfo", "", 1, nil))
	t.put(m, "annotations", t.entries([]string{v1beta1.AnnotationHold, v1beta1.AnnotationAdmitted, v1beta1.AnnotationConfigTracking, v1beta1.AnnotationRotation, "note"},
		`{"revision":"bbbb","paused":false}`, `{"revision":"bbbb","paused":true}`, `{"by":"bob","digest":"bbbb"}`, "disabled", v1beta1.RotationDirect, "{", "", 1, nil))
	t.put(m, "deletionTimestamp", absent{}, absent{}, absent{}, nil, "2026-05-01T08:00:00Z", "yesterday", 1)
	return m
}

func (t *tapeReader) config(kind string) map[string]any {
	o := map[string]any{"apiVersion": "v1", "kind": kind, "metadata": t.metadata(), "fieldOfTomorrow": json.Number("1.50")}
	t.put(o, "data", absent{}, map[string]any{"a": "MQ=="}, map[string]any{"a": "Mg=="}, map[string]any{"a": "<"}, map[string]any{"a": 1}, map[string]any{}, nil, "none")
	t.put(o, "binaryData", absent{}, map[string]any{"b": "/w=="}, nil, "none")
	t.put(o, "immutable", absent{}, true, false, nil, "yes")
	t.put(o, "type", absent{}, "Opaque", "kubernetes.io/tls", "kubernetes.io/service-account-token", 1)
	return o
}

func (t *tapeReader) workload(kind string) map[string]any {
	o := map[string]any{"apiVersion": "apps/v1", "kind": kind}
	t.put(o, "metadata", t.metadata(), t.metadata(), absent{}, nil, "none")
	spec := map[string]any{"replicas": 2, "fieldOfTomorrow": map[string]any{"a": one(t, json.Number("1.50"), json.Number("9007199254740993"), json.Number("1e400"))}}
	t.put(spec, "paused", absent{}, true, false, nil, "yes")
	t.put(spec, "updateStrategy", absent{}, map[string]any{"type": "OnDelete"}, map[string]any{"type": "RollingUpdate", "rollingUpdate": map[string]any{"maxSurge": 1}}, nil, "none")
	t.put(spec, "template", t.template(), t.template(), t.template(), t.template(), absent{}, nil, "none", []any{})
	t.put(o, "spec", spec, spec, spec, spec, absent{}, nil, "none")
	return o
}

func (t *tapeReader) template() any {
	container := map[string]any{"name": "app", "image": one(t, "podinfo:1", "podinfo:2", ""), "newInTheNextRelease": one[any](t, true, nil, json.Number("0.10"))}
	t.put(container, "envFrom", absent{}, nil, "none", []any{}, []any{1, nil, map[string]any{}},
		[]any{map[string]any{"configMapRef": map[string]any{"name": one[any](t, "settings", 1, nil)}}}, []any{map[string]any{"secretRef": "none"}})
	spec := map[string]any{"containers": one[any](t, []any{container}, []any{container}, "none", nil, []any{1})}
	t.put(spec, "volumes", absent{}, nil, "none", []any{nil, 1, map[string]any{"configMap": nil}}, []any{map[string]any{"projected": map[string]any{"sources": []any{1}}}})
	return map[string]any{"metadata": one[any](t, map[string]any{"labels": map[string]any{"app": "podinfo"}}, nil), "spec": one[any](t, spec, spec, nil, "none")}
}

func (t *tapeReader) canary(kind string) *v1beta1.Canary {
	if t.pick(8) == 1 {
		return nil
	}
	c := canary("test", one(t, "podinfo", strings.Repeat("long-", 40)))
	c.Spec.TargetRef.Name = "podinfo"
	if kind == "DaemonSet" {
		c.Spec.TargetRef.Kind = kind
	}
	c.Spec.Suspend = t.pick(8) == 1
	if t.pick(8) == 1 {
		c.Annotations = map[string]string{v1beta1.AnnotationLeave: "true"}
	}
	c.Status.Phase = one(t, v1beta1.CanaryPhase(""), v1beta1.PhaseInitializing, v1beta1.PhaseProgressing, v1beta1.PhaseSucceeded, v1beta1.PhaseFailed)
	c.Status.CanaryWeight = one[int32](t, 0, 50)
	c.Status.CurrentRevision = one(t, "", "aaaaaaaaaaaaaaaa")
	if stage := one[v1beta1.Stage](t, "", v1beta1.StageSettling, v1beta1.StageLeaving, v1beta1.StageAnalysing); stage != "" {
		c.Status.Rollout = &v1beta1.RolloutStatus{Stage: stage}
	}
	return c
}

func mustMarshal(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
