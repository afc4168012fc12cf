package revision

import (
	"errors"
	"maps"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// flagged is the primary that Flagger 1.44 makes of the deployment of the other tests: its selector has the one label, toolkit metadata is gone, the
// pods have an ID, and each config that it copies is renamed. The Secret s-token is of a type that it does not copy.
const flagged = `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web-primary
  namespace: prod
  uid: 77aa
  generation: 9
spec:
  replicas: 5
  selector: {matchLabels: {app: web-primary}}
  template:
    metadata:
      labels: {app: web-primary, tier: front}
      annotations: {prometheus.io/scrape: "true", flagger-id: 0a1b}
    spec:
      affinity:
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
          - topologyKey: zone
            labelSelector: {matchExpressions: [{key: app, operator: In, values: [other, web-primary]}]}
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: web-primary}}}
      containers:
      - name: main
        image: web:1
        env: [{name: A, valueFrom: {configMapKeyRef: {name: settings-primary, key: k}}}]
        envFrom: [{secretRef: {name: token-primary}}, {secretRef: {name: issued}}, {configMapRef: {name: spare-primary, optional: true}}]
`

const unflagged = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: prod, uid: 5f1f, generation: 3}
spec:
  replicas: 0
  selector: {matchLabels: {app: web, tier: front}}
  template:
    metadata:
      labels: {app: web, tier: front, kustomize.toolkit.fluxcd.io/name: apps}
      annotations: {prometheus.io/scrape: "true", kustomize.toolkit.fluxcd.io/checksum: abc}
    spec:
      affinity:
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
          - topologyKey: zone
            labelSelector: {matchExpressions: [{key: app, operator: In, values: [other, web]}]}
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: web}}}
      containers:
      - name: main
        image: web:1
        env: [{name: A, valueFrom: {configMapKeyRef: {name: settings, key: k}}}]
        envFrom: [{secretRef: {name: token}}, {secretRef: {name: issued}}, {configMapRef: {name: spare-primary, optional: true}}]
`

// configs answers references as the API server does.
type configs map[string]any

func (c configs) lookup(r ConfigRef) (*Content, error) {
	switch o := c[r.Key()].(type) {
	case *corev1.ConfigMap:
		o.Name = r.Name
		content, err := ConfigMapContent(o)
		return &content, err
	case *corev1.Secret:
		o.Name = r.Name
		content, err := SecretContent(o)
		return &content, err
	case error:
		return nil, o
	}
	return nil, nil
}

func configMap(colour string) *corev1.ConfigMap {
	return &corev1.ConfigMap{Data: map[string]string{"k": colour}}
}

// stored is what a namespace holds in which nothing has changed since Flagger's last promotion.
func stored() (own, copies configs) {
	whole := configMap("blue")
	whole.BinaryData = map[string][]byte{"logo": {1}}
	token := func() *corev1.Secret {
		return &corev1.Secret{Type: corev1.SecretTypeOpaque, Data: map[string][]byte{"t": []byte("1")}}
	}
	own = configs{"configmap/settings": whole, "secret/token": token(), "secret/issued": &corev1.Secret{Type: "vendor.example/issued"}}
	// Flagger copies no binary data.
	return own, configs{"configmap/settings-primary": configMap("blue"), "secret/token-primary": token()}
}

func inheritOf(t *testing.T, primary, target *unstructured.Unstructured, own, copies configs) (Snapshot, []Content) {
	t.Helper()
	s, contents, err := Inherit(primary, target, nil, copies.lookup, own.lookup)
	if err != nil {
		t.Fatal(err)
	}
	return s, contents
}

func TestAnUnchangedTargetIsWhatFlaggersPrimaryRuns(t *testing.T) {
	own, copies := stored()
	s, contents := inheritOf(t, parse(t, flagged), parse(t, unflagged), own, copies)
	live, _, err := Take(parse(t, unflagged), own.lookup)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := digestOf(t, s), digestOf(t, live); got != want {
		t.Errorf("the primary runs %s and the target is %s, though nothing has changed\n primary %s\n target %s", got, want, s.Template, live.Template)
	}
	if s.Replicas != 5 || s.UID != "" || s.Generation != 0 {
		t.Errorf("replicas %d, UID %q, generation %d; want those of no stored object, and the primary's replicas", s.Replicas, s.UID, s.Generation)
	}
	if len(contents) != 2 || contents[0].Name != "settings" || len(contents[0].binaryData) != 1 {
		t.Errorf("contents %+v, want settings with its binary data, and token", contents)
	}
}

func TestWhatHasChangedSinceFlaggersPromotionIsSeen(t *testing.T) {
	image := func(u *unstructured.Unstructured, image string) {
		c := objects(object(object(object(u.Object, "spec"), "template"), "spec"), "containers")
		c[0]["image"] = image
	}
	for name, change := range map[string]func(target *unstructured.Unstructured, own configs){
		"the template": func(target *unstructured.Unstructured, _ configs) { image(target, "web:2") },
		"a ConfigMap":  func(_ *unstructured.Unstructured, own configs) { own["configmap/settings"] = configMap("red") },
		"a Secret": func(_ *unstructured.Unstructured, own configs) {
			own["secret/token"] = &corev1.Secret{Type: corev1.SecretTypeOpaque, Data: map[string][]byte{"t": []byte("2")}}
		},
		"a config that came": func(_ *unstructured.Unstructured, own configs) { own["configmap/spare-primary"] = configMap("x") },
	} {
		t.Run(name, func(t *testing.T) {
			own, copies := stored()
			// The copy has no binary data, so only without any can what was promoted be told from it.
			own["configmap/settings"] = configMap("blue")
			before, _ := inheritOf(t, parse(t, flagged), parse(t, unflagged), own, copies)
			target := parse(t, unflagged)
			change(target, own)
			s, _ := inheritOf(t, parse(t, flagged), target, own, copies)
			live, _, err := Take(target, own.lookup)
			if err != nil {
				t.Fatal(err)
			}
			if name == "a config that came" {
				// The primary's reference is to that very object, so it is what its pods read.
				before = live
			}
			if digestOf(t, s) != digestOf(t, before) && name != "the template" {
				t.Error("what the primary runs changed with the target")
			}
			if same := digestOf(t, s) == digestOf(t, live); same != (name == "a config that came") {
				t.Errorf("primary and target are the same: %v", same)
			}
			if name == "the template" && !strings.Contains(string(s.Template), "web:1") {
				t.Errorf("the inherited template is not the primary's: %s", s.Template)
			}
		})
	}
}

// What is inherited has to be as good as any revision: rendered as a primary it is what Flagger's was, but for names of copies.
func TestAnInheritedRevisionCanBeRenderedAgain(t *testing.T) {
	own, copies := stored()
	target := parse(t, unflagged)
	spec := object(object(object(target.Object, "spec"), "template"), "spec")
	objects(spec, "containers")[0]["image"] = "web:2"
	delete(spec, "affinity")
	s, _ := inheritOf(t, parse(t, flagged), target, own, copies)
	template, err := PrimaryTemplate(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := canonicalValue(template)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for _, c := range s.Configs {
		text = strings.ReplaceAll(text, c.Copy, c.Name+PrimarySuffix)
	}
	text = strings.ReplaceAll(text, CopyName("spare-primary", absentCopy), "spare-primary")
	want := parse(t, flagged)
	own2 := object(object(want.Object, "spec"), "template")
	tidy(own2)
	canonical, err := canonicalValue(own2)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(canonical) {
		t.Errorf("rendered again\n got %s\nwant %s", text, canonical)
	}
}

func TestInheritFailsAsTakeDoes(t *testing.T) {
	own, copies := stored()
	delete(own, "secret/issued")
	_, _, err := Inherit(parse(t, flagged), parse(t, unflagged), nil, copies.lookup, own.lookup)
	var missing *MissingConfigError
	if !errors.As(err, &missing) || missing.Ref.Name != "issued" {
		t.Errorf("error %v, want the missing Secret", err)
	}
	own, copies = stored()
	away := errors.New("away")
	copies["secret/token-primary"] = away
	if _, _, err := Inherit(parse(t, flagged), parse(t, unflagged), nil, copies.lookup, own.lookup); !errors.Is(err, away) {
		t.Errorf("error %v, want that of the lookup", err)
	}
	if _, _, err := Inherit(parse(t, flagged), parse(t, strings.ReplaceAll(unflagged, "app: web, tier: front", "tier: front")), nil, copies.lookup, own.lookup); err == nil {
		t.Error("no error for a target without a selector label")
	}
}

// A copy is one only if it is the Canary's: a config of the user's may have such a name.
func TestAForeignObjectWithACopysNameIsNoCopy(t *testing.T) {
	own, copies := stored()
	delete(copies, "configmap/settings-primary")
	own["configmap/settings-primary"] = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{}, Data: map[string]string{"k": "theirs"}}
	s, _ := inheritOf(t, parse(t, flagged), parse(t, unflagged), own, copies)
	if keys := maps.Keys(s.ConfigDigests()); !strings.Contains(string(s.Template), `"name":"settings-primary"`) {
		t.Errorf("the reference to the user's own object was rewritten: %s, configs %v", s.Template, keys)
	}
}
