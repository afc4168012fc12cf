package revision

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: prod
  uid: 5f1f
  generation: 3
  labels: {team: shop, kustomize.toolkit.fluxcd.io/name: apps}
spec:
  replicas: 3
  paused: true
  progressDeadlineSeconds: 90
  minReadySeconds: 4
  revisionHistoryLimit: 5
  strategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 0}}
  selector:
    matchLabels: {app: web, tier: front}
    matchExpressions: [{key: app, operator: In, values: [web]}, {key: tier, operator: Exists}]
  template:
    metadata:
      creationTimestamp: null
      labels: {app: web, tier: front, kustomize.toolkit.fluxcd.io/name: apps}
      annotations: {kustomize.toolkit.fluxcd.io/checksum: abc, prometheus.io/scrape: "true"}
    spec:
      futureField: {ratio: 0.5, list: [1, two]}
      affinity:
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
          - topologyKey: zone
            labelSelector: {matchExpressions: [{key: app, operator: In, values: [other, web]}]}
          preferredDuringSchedulingIgnoredDuringExecution:
          - weight: 1
            podAffinityTerm: {topologyKey: zone, labelSelector: {matchLabels: {app: web}}}
        podAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
          - {topologyKey: zone, labelSelector: {matchLabels: {app: web}}}
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: web}}}
      imagePullSecrets: [{name: s-pull}]
      initContainers:
      - name: init
        env: [{name: A, valueFrom: {configMapKeyRef: {name: c-initenv, key: k}}}]
        envFrom: [{secretRef: {name: s-initfrom}}]
      containers:
      - name: main
        env:
        - {name: A, valueFrom: {configMapKeyRef: {name: c-env, key: k}}}
        - {name: B, valueFrom: {secretKeyRef: {name: s-env, key: k}}}
        - {name: C, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        - {name: D, value: c-env}
        envFrom:
        - {configMapRef: {name: c-from, optional: true}}
        - {secretRef: {name: s-from}}
      volumes:
      - {name: v1, configMap: {name: c-vol, optional: true}}
      - {name: v2, secret: {secretName: s-vol}}
      - name: v3
        projected:
          sources:
          - {configMap: {name: c-proj}}
          - {secret: {name: s-proj}}
          - {serviceAccountToken: {path: t}}
      - {name: v4, emptyDir: {}}
      - {name: v5, configMap: {name: c-env}}
      - {name: v6, configMap: {name: c-from}}
`

// referenced are all configs of the Deployment above; optional ones end in "?".
var referenced = []string{
	"configmap/c-env", "configmap/c-from", "configmap/c-initenv", "configmap/c-proj", "configmap/c-vol?",
	"secret/s-env", "secret/s-from", "secret/s-initfrom", "secret/s-proj", "secret/s-vol",
}

func parse(t testing.TB, manifest string) *unstructured.Unstructured {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	return u
}

// contentOf answers every reference with one key named after the config.
func contentOf(r ConfigRef) (*Content, error) {
	meta := metav1.ObjectMeta{Name: r.Name}
	var c Content
	var err error
	if r.Kind == ConfigMap {
		c, err = ConfigMapContent(&corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"k": r.Name}})
	} else {
		c, err = SecretContent(&corev1.Secret{ObjectMeta: meta, Data: map[string][]byte{"k": []byte(r.Name)}})
	}
	return &c, err
}

func take(t testing.TB, manifest string) Snapshot {
	t.Helper()
	s, _, err := Take(parse(t, manifest), contentOf)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func digestOf(t testing.TB, s Snapshot) string {
	t.Helper()
	d, err := s.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestConfigRefsFindsEverySite(t *testing.T) {
	raw, err := TemplateOf(parse(t, deployment))
	if err != nil {
		t.Fatal(err)
	}
	refs, err := ConfigRefs(raw)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range refs {
		k := r.Key()
		if r.Optional {
			k += "?"
		}
		got = append(got, k)
	}
	if fmt.Sprint(got) != fmt.Sprint(referenced) {
		t.Errorf("references\n got %v\nwant %v", got, referenced)
	}
}

func TestTake(t *testing.T) {
	u := parse(t, deployment)
	s, contents, err := Take(u, contentOf)
	if err != nil {
		t.Fatal(err)
	}
	if len(contents) != len(referenced) || len(s.Configs) != len(referenced) {
		t.Fatalf("got %d contents and %d configs, want %d of each", len(contents), len(s.Configs), len(referenced))
	}
	for i, c := range contents {
		if s.Configs[i].Copy != CopyName(c.Name, c.Digest) || s.Configs[i].Digest != c.Digest {
			t.Errorf("config %d: %+v does not describe the content %s %s", i, s.Configs[i], c.Name, c.Digest)
		}
	}
	if s.Replicas != 3 || s.Target != (Target{Kind: "Deployment", Name: "web"}) || s.UID != "5f1f" || s.Generation != 3 {
		t.Errorf("snapshot describes another object: %+v", s)
	}
	if strings.Contains(string(s.Workload), "template") || strings.Contains(string(s.Workload), "paused") {
		t.Errorf("the rest of the spec holds what is stored elsewhere: %s", s.Workload)
	}
}

func TestTakeMissingAndUnreadable(t *testing.T) {
	absent := func(name string, err error) Lookup {
		return func(r ConfigRef) (*Content, error) {
			if r.Name == name {
				return nil, err
			}
			return contentOf(r)
		}
	}
	u := parse(t, deployment)
	var missing *MissingConfigError
	if _, _, err := Take(u, absent("s-env", nil)); !errors.As(err, &missing) || missing.Ref.Key() != "secret/s-env" {
		t.Errorf("a missing mandatory config: got %v, want it named", err)
	}
	boom := errors.New("boom")
	if _, _, err := Take(u, absent("s-env", boom)); !errors.Is(err, boom) {
		t.Errorf("an unreadable config: got %v, want its cause", err)
	}
	s, _, err := Take(u, absent("c-vol", nil))
	if err != nil {
		t.Fatalf("a missing optional config: %v", err)
	}
	if tmpl, err := PrimaryTemplate(s, []string{"app"}); err != nil || !strings.Contains(fmt.Sprint(tmpl), "c-vol-primary-absent") {
		t.Errorf("the primary would read the config on the day it appears: %v, %v", tmpl, err)
	}
	if digestOf(t, s) == digestOf(t, take(t, deployment)) {
		t.Error("an optional config that appears does not change the revision")
	}
	u.SetAnnotations(map[string]string{v1beta1.AnnotationConfigTracking: "disabled"})
	s, contents, err := Take(u, absent("s-env", boom))
	if err != nil || len(contents) != 0 || len(s.Configs) != 0 {
		t.Errorf("an opted-out workload: got %v, %v, %v, want no configs", s.Configs, contents, err)
	}
}

func TestSharedConfigs(t *testing.T) {
	for _, c := range []struct {
		name       string
		annotation string
		kind       corev1.SecretType
		want       bool
	}{
		{"opaque", "", corev1.SecretTypeOpaque, false},
		{"tls", "", corev1.SecretTypeTLS, false},
		{"basic auth", "", corev1.SecretTypeBasicAuth, false},
		{"ssh auth", "", corev1.SecretTypeSSHAuth, false},
		{"token", "", corev1.SecretTypeServiceAccountToken, true},
		{"registry", "", corev1.SecretTypeDockerConfigJson, true},
		{"opted out", "disabled", corev1.SecretTypeOpaque, true},
		{"other value", "enabled", corev1.SecretTypeOpaque, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &corev1.Secret{Type: c.kind}
			s.Annotations = map[string]string{v1beta1.AnnotationConfigTracking: c.annotation}
			got, err := SecretContent(s)
			if err != nil || got.Shared != c.want {
				t.Errorf("shared = %v, %v, want %v", got.Shared, err, c.want)
			}
		})
	}
}

func TestContentDigestCountsEveryByte(t *testing.T) {
	seen := map[string]string{}
	for name, c := range map[string]*corev1.ConfigMap{
		"empty":  {},
		"data":   {Data: map[string]string{"a": "1"}},
		"value":  {Data: map[string]string{"a": "2"}},
		"key":    {Data: map[string]string{"b": "1"}},
		"binary": {BinaryData: map[string][]byte{"a": {0xff}}},
		"text":   {Data: map[string]string{"a": "<1>"}},
	} {
		got, err := ConfigMapContent(c)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[got.Digest]; ok {
			t.Errorf("%s and %s have the same digest", name, other)
		}
		seen[got.Digest] = name
		immutable := true
		labelled := c.DeepCopy()
		labelled.Labels, labelled.Immutable = map[string]string{"x": "y"}, &immutable
		again, err := ConfigMapContent(labelled)
		if err != nil || again.Digest != got.Digest {
			t.Errorf("%s: labels or immutability change the digest", name)
		}
	}
}

func TestCopiesCarryContentOnly(t *testing.T) {
	s := &corev1.Secret{Type: corev1.SecretTypeTLS, Data: map[string][]byte{"tls.key": []byte("k")}}
	s.Name, s.Labels = "cert", map[string]string{"app.kubernetes.io/managed-by": "Helm"}
	s.Annotations = map[string]string{"argocd.argoproj.io/tracking-id": "x"}
	c, err := SecretContent(s)
	if err != nil {
		t.Fatal(err)
	}
	got := c.SecretCopy("prod")
	if got.Type != s.Type || string(got.Data["tls.key"]) != "k" || got.Immutable == nil || !*got.Immutable {
		t.Errorf("the copy differs from the original in content: %v", got.Name)
	}
	if len(got.Annotations) != 0 || got.Labels["app.kubernetes.io/managed-by"] != "" || got.OwnerReferences != nil {
		t.Errorf("the copy carries the original's metadata: %v %v", got.Labels, got.Annotations)
	}
	again, err := SecretContent(got)
	if err != nil || again.Digest != c.Digest {
		t.Errorf("digest of the copy %q, %v, want %q", again.Digest, err, c.Digest)
	}
}

func TestEncodeDecode(t *testing.T) {
	s := take(t, deployment)
	at := time.Date(2026, 5, 1, 8, 0, 0, 12345, time.UTC)
	r, err := Encode("prod", s, Taken{By: "alice", At: at, Baseline: true})
	if err != nil {
		t.Fatal(err)
	}
	if want := "web-sluice-" + digestOf(t, s); r.Name != want {
		t.Errorf("name %q, want %q", r.Name, want)
	}
	if len(r.OwnerReferences) != 0 {
		t.Error("a snapshot must outlive every object")
	}
	// The API server may reformat what it stores.
	var loose any
	if err := json.Unmarshal(r.Data.Raw, &loose); err != nil {
		t.Fatal(err)
	}
	if r.Data.Raw, err = json.MarshalIndent(loose, "", " "); err != nil {
		t.Fatal(err)
	}
	r.Labels[v1beta1.LabelRevision] = "forged"
	got, err := Decode(r)
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest != digestOf(t, s) || !got.Baseline.Equal(at) || !got.Taken.Equal(at) || !got.Promoted.IsZero() {
		t.Errorf("read back %+v", got)
	}
	for name, raw := range map[string]string{"garbage": "{", "another's": `{"spec":{}}`, "no template": `{"target":{"kind":"Deployment","name":"web"},"template":1}`} {
		r.Data.Raw = []byte(raw)
		if _, err := Decode(r); err == nil || !strings.Contains(err.Error(), r.Name) {
			t.Errorf("%s: got %v, want an error that names the object", name, err)
		}
	}
}

func TestEncodeRefusesWhatCannotBeStored(t *testing.T) {
	s := take(t, deployment)
	s.Labels = map[string]string{"big": strings.Repeat("x", MaxSize)}
	if _, err := Encode("prod", s, Taken{}); err == nil {
		t.Error("a snapshot above the API server's limit was encoded")
	}
}

func TestNewestMarkCounts(t *testing.T) {
	at := time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC)
	list := []Stored{
		{Name: "a", Digest: "1", Promoted: at},
		{Name: "b", Digest: "2", Promoted: at.Add(time.Nanosecond)},
		{Name: "c", Digest: "3", Baseline: at},
	}
	if got := Promoted(list); got == nil || got.Name != "b" {
		t.Errorf("promoted %+v, want b", got)
	}
	if got := Baseline(list); got == nil || got.Name != "c" {
		t.Errorf("baseline %+v, want c", got)
	}
	if Promoted(nil) != nil || ByDigest(list, "9") != nil || ByDigest(list, "2").Name != "b" {
		t.Error("lookup by mark or digest is wrong")
	}
}

func TestNamesFit(t *testing.T) {
	long := strings.Repeat("a.", 126) + "z"
	other := long[:252] + "y"
	d := strings.Repeat("0", DigestLength)
	for _, pair := range [][2]string{{SnapshotName(long, d), SnapshotName(other, d)}, {CopyName(long, d), CopyName(other, d)}} {
		if errs := utilvalidation.IsDNS1123Subdomain(pair[0]); len(errs) > 0 {
			t.Errorf("%q: %v", pair[0], errs)
		}
		if pair[0] == pair[1] {
			t.Errorf("two objects share the name %q", pair[0])
		}
	}
	for _, v := range []string{LabelValue(long), Selector(Target{Kind: "Deployment", Name: long})[v1beta1.LabelTarget]} {
		if errs := utilvalidation.IsValidLabelValue(v); len(errs) > 0 {
			t.Errorf("%q: %v", v, errs)
		}
	}
	if LabelValue("web") != "web" || CopyName("cfg", "0123456789abcdef") != "cfg-primary-01234567" {
		t.Error("short names must stay readable")
	}
	if !IsCopyOf(CopyName(long, d), long) || IsCopyOf(CopyName("cfg", d), "cf") || IsCopyOf("cfg", "cfg") {
		t.Error("a copy is not recognised by its name")
	}
}

func TestPodHash(t *testing.T) {
	target := parse(t, deployment)
	raw, err := TemplateOf(target)
	if err != nil {
		t.Fatal(err)
	}
	rs := target.DeepCopy()
	rs.SetKind("ReplicaSet")
	labels := []string{"spec", "template", "metadata", "labels", PodHashLabel}
	if err := unstructured.SetNestedField(rs.Object, "5d4f", labels...); err != nil {
		t.Fatal(err)
	}
	if got, err := PodHash(rs, raw); err != nil || got != "5d4f" {
		t.Errorf("hash %q, %v, want 5d4f", got, err)
	}
	if err := unstructured.SetNestedField(rs.Object, "other", "spec", "template", "spec", "hostname"); err != nil {
		t.Fatal(err)
	}
	if got, err := PodHash(rs, raw); err != nil || got != "" {
		t.Errorf("hash of another template %q, %v, want none", got, err)
	}
}
