package revision

import (
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

func testCanary() *v1beta1.Canary {
	return &v1beta1.Canary{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "web", UID: "c-1"}}
}

func TestPrimaryReadsCopiesAtEverySite(t *testing.T) {
	s := take(t, deployment)
	template, err := PrimaryTemplate(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := canonicalValue(template)
	if err != nil {
		t.Fatal(err)
	}
	refs, err := ConfigRefs(raw)
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, r := range refs {
		got = append(got, r.Key())
	}
	for _, c := range s.Configs {
		want = append(want, key(c.Kind, c.Copy))
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("references\n got %v\nwant %v", got, want)
	}
	if !strings.Contains(string(raw), `{"name":"D","value":"c-env"}`) {
		t.Error("a plain value that reads like a config's name was rewritten")
	}
	if !strings.Contains(string(raw), `"imagePullSecrets":[{"name":"s-pull"}]`) {
		t.Error("an image pull secret was rewritten")
	}
}

// TestPrimaryDiffersOnlyWhereListed undoes the listed rewrites and expects the snapshot's template, unknown fields included.
func TestPrimaryDiffersOnlyWhereListed(t *testing.T) {
	s := take(t, deployment)
	template, err := PrimaryTemplate(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := canonicalValue(template)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	if n := strings.Count(text, "web-primary"); n != 4 {
		t.Errorf("%d values were suffixed, want the pod label, two anti-affinity terms and one spread constraint", n)
	}
	text = strings.ReplaceAll(text, "web-primary", "web")
	for _, c := range s.Configs {
		text = strings.ReplaceAll(text, c.Copy, c.Name)
	}
	original, err := decodeTemplate(s.Template)
	if err != nil {
		t.Fatal(err)
	}
	meta := object(original, "metadata")
	dropOwnership(object(meta, "labels"))
	dropOwnership(object(meta, "annotations"))
	want, err := canonicalValue(original)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("the primary's template is another one\n got %s\nwant %s", text, want)
	}
}

func TestPrimaryObject(t *testing.T) {
	s := take(t, deployment)
	u, err := PrimaryObject(s, PrimaryOptions{Canary: testCanary(), Replicas: 2, IncludeLabelPrefixes: []string{"te"}})
	if err != nil {
		t.Fatal(err)
	}
	if u.GetName() != "web-primary" || u.GetNamespace() != "prod" || u.GetAnnotations()[AnnotationRevision] != digestOf(t, s) {
		t.Errorf("identity: %s/%s %v", u.GetNamespace(), u.GetName(), u.GetAnnotations())
	}
	if o := metav1.GetControllerOf(u); o == nil || o.Kind != "Canary" || o.UID != "c-1" {
		t.Errorf("owner %v", o)
	}
	labels := u.GetLabels()
	if labels["app"] != "web-primary" || labels[v1beta1.LabelTracked] != v1beta1.TrackedPrimary || labels["team"] != "shop" || len(labels) != 4 {
		t.Errorf("labels %v", labels)
	}
	spec := object(u.Object, "spec")
	selector := object(spec, "selector")
	if m := object(selector, "matchLabels"); m["app"] != "web-primary" || m["tier"] != "front" {
		t.Errorf("selector %v", selector)
	}
	if e := objects(selector, "matchExpressions"); len(e) != 1 || e[0]["key"] != "tier" {
		t.Errorf("expressions about the rewritten label exclude the primary's own pods: %v", e)
	}
	if spec["replicas"] != int64(2) || spec["progressDeadlineSeconds"] != int64(90) || spec["minReadySeconds"] != int64(4) || spec["paused"] != nil {
		t.Errorf("spec %v", spec)
	}
	if object(spec, "strategy")["type"] != "RollingUpdate" {
		t.Errorf("strategy %v", spec["strategy"])
	}
	// Copying panics on numbers that Kubernetes' libraries do not expect.
	runtime.DeepCopyJSON(u.Object)
}

func TestPrimaryOfDaemonSet(t *testing.T) {
	u := parse(t, strings.Replace(deployment, "kind: Deployment", "kind: DaemonSet", 1))
	if err := unstructured.SetNestedField(u.Object, "true", "spec", "template", "spec", "nodeSelector", ScaleToZeroKey); err != nil {
		t.Fatal(err)
	}
	s, _, err := Take(u, contentOf)
	if err != nil {
		t.Fatal(err)
	}
	p, err := PrimaryObject(s, PrimaryOptions{Canary: testCanary(), Replicas: 2})
	if err != nil {
		t.Fatal(err)
	}
	spec := object(p.Object, "spec")
	if _, ok := spec["replicas"]; ok || p.GetKind() != "DaemonSet" {
		t.Errorf("a DaemonSet has no replicas: %v", p.Object)
	}
	if len(object(object(object(spec, "template"), "spec"), "nodeSelector")) != 0 {
		t.Error("the primary inherits the target's scale to zero")
	}
}

func TestSelectorLabel(t *testing.T) {
	for _, c := range []struct{ name, workload, want string }{
		{"first in order", `{"selector":{"matchLabels":{"name":"b","app":"a"}}}`, "app=a"},
		{"second", `{"selector":{"matchLabels":{"name":"b","x":"y"}}}`, "name=b"},
		{"none", `{"selector":{"matchLabels":{"x":"y"}}}`, ""},
		{"no selector", `{}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := FindSelectorLabel([]byte(c.workload), nil)
			if c.want == "" {
				if err == nil || !strings.Contains(err.Error(), "app, name, app.kubernetes.io/name") {
					t.Errorf("got %v, %v, want an error that names the labels", l, err)
				}
				return
			}
			if got := l.Key + "=" + l.Value; err != nil || got != c.want {
				t.Errorf("got %s, %v, want %s", got, err, c.want)
			}
		})
	}
}

// TestMetadataOfOtherToolsIsNotCopied: a primary or a copy with the marks of a tool would be taken for that tool's own, and deleted by it because
// its manifests do not name it. "*" asks for all labels, and does not mean these.
func TestMetadataOfOtherToolsIsNotCopied(t *testing.T) {
	marks := map[string]string{
		"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:prod/web", "argocd.argoproj.io/instance": "shop", "argocd.argoproj.io/hook": "Sync",
		"app.kubernetes.io/instance": "shop", "app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "shop-1.2.3",
		"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "prod",
		"kustomize.toolkit.fluxcd.io/name": "apps", "helm.toolkit.fluxcd.io/namespace": "prod",
		"kubectl.kubernetes.io/last-applied-configuration": "{}", "deployment.kubernetes.io/revision": "3",
	}
	s := take(t, deployment)
	s.Labels = map[string]string{"team": "shop"}
	maps.Copy(s.Labels, marks)
	s.Annotations = map[string]string{"team/page": "shop"}
	maps.Copy(s.Annotations, marks)
	u, err := PrimaryObject(s, PrimaryOptions{Canary: testCanary(), IncludeLabelPrefixes: []string{"*", "helm.sh", "app.kubernetes.io/"}})
	if err != nil {
		t.Fatal(err)
	}
	if u.GetLabels()["team"] != "shop" || u.GetAnnotations()["team/page"] != "shop" {
		t.Errorf("the user's own label or annotation is missing: %v, %v", u.GetLabels(), u.GetAnnotations())
	}
	if none, err := PrimaryObject(s, PrimaryOptions{Canary: testCanary()}); err != nil || none.GetAnnotations()["team/page"] != "" {
		t.Errorf("an annotation was taken over that nobody has chosen: %v, %v", none.GetAnnotations(), err)
	}
	for key := range marks {
		if _, found := u.GetLabels()[key]; found {
			t.Errorf("the primary has the label %s", key)
		}
		if _, found := u.GetAnnotations()[key]; found {
			t.Errorf("the primary has the annotation %s", key)
		}
	}
	content, err := SecretContent(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "key", Labels: marks, Annotations: marks}})
	if err != nil {
		t.Fatal(err)
	}
	mapped, err := ConfigMapContent(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "page", Labels: marks, Annotations: marks}})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []metav1.ObjectMeta{content.SecretCopy("prod").ObjectMeta, mapped.ConfigMapCopy("prod").ObjectMeta} {
		for key := range o.Labels {
			if !strings.HasPrefix(key, "sluice.dev/") {
				t.Errorf("a copy has the label %s", key)
			}
		}
		if len(o.Annotations) > 0 {
			t.Errorf("a copy has the annotations %v", o.Annotations)
		}
	}
}

// TestPodsKeepWhatTheirSelectorMatches: charts put the instance into the selector, and its pods must carry it.
func TestPodsKeepWhatTheirSelectorMatches(t *testing.T) {
	s := take(t, deployment)
	s.Template = []byte(`{"metadata":{"labels":{"app":"web","app.kubernetes.io/instance":"shop","helm.sh/chart":"shop-1"},` +
		`"annotations":{"argocd.argoproj.io/tracking-id":"x","kubectl.kubernetes.io/restartedAt":"now"}},"spec":{"containers":[{"name":"a"}]}}`)
	s.Workload = []byte(`{"selector":{"matchLabels":{"app":"web","app.kubernetes.io/instance":"shop"}}}`)
	template, err := PrimaryTemplate(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	meta := object(template, "metadata")
	if l := object(meta, "labels"); l["app.kubernetes.io/instance"] != "shop" || l["app"] != "web-primary" {
		t.Errorf("labels of the pods: %v", l)
	}
	if a := object(meta, "annotations"); a["kubectl.kubernetes.io/restartedAt"] != "now" || len(a) != 1 {
		t.Errorf("annotations of the pods: %v", a)
	}
}

// What a program keeps in an annotation may be as large as a template, and must not keep a snapshot from being stored.
func TestLargeAnnotationsAreNotTakenOver(t *testing.T) {
	all := map[string]string{"team": "shop", "cache": strings.Repeat("x", maxAnnotation+1)}
	if got := ownAnnotations(all); len(got) != 1 || got["team"] != "shop" {
		t.Errorf("taken over: %d annotations, team=%q; want team alone", len(got), got["team"])
	}
}
