//go:build integration

package webhook

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Answers that are given to several examples.
const (
	accepted = ""
	// laterProvider is what a later version brings; fragment is what the text around an example has its readers fill in.
	laterProvider = "is not available in this version; use one of "
	fragment      = "Required value"
)

// judged is what is answered to each example of Flagger's documentation.
var judged = map[string]string{
	"README.md#1":                                    accepted,
	"artifacts/examples/istio-abtest.yaml#1":         accepted,
	"artifacts/examples/istio-canary.yaml#1":         accepted,
	"artifacts/examples/kuma-canary.yaml#1":          accepted,
	"artifacts/examples/linkerd-canary-steps.yaml#1": accepted,
	"artifacts/examples/linkerd-canary.yaml#1":       accepted,
	"dev/upgrade-guide.md#1":                         accepted,
	"faq.md#1":                                       accepted,
	"tutorials/apisix-progressive-delivery.md#1":     accepted,
	"tutorials/apisix-progressive-delivery.md#2":     accepted,
	"tutorials/contour-progressive-delivery.md#1":    accepted,
	"tutorials/gatewayapi-progressive-delivery.md#1": accepted,
	"tutorials/gatewayapi-progressive-delivery.md#2": accepted,
	"tutorials/gatewayapi-progressive-delivery.md#3": accepted,
	"tutorials/gatewayapi-progressive-delivery.md#4": accepted,
	"tutorials/gatewayapi-progressive-delivery.md#5": accepted,
	"tutorials/gatewayapi-progressive-delivery.md#6": accepted,
	"tutorials/gloo-progressive-delivery.md#1":       accepted,
	"tutorials/gloo-progressive-delivery.md#2":       accepted,
	"tutorials/istio-ab-testing.md#1":                accepted,
	"tutorials/istio-progressive-delivery.md#1":      accepted,
	"tutorials/istio-progressive-delivery.md#2":      accepted,
	"tutorials/keda-scaledobject.md#1":               accepted,
	"tutorials/knative-progressive-delivery.md#1":    laterProvider,
	"tutorials/kubernetes-blue-green.md#1":           accepted,
	"tutorials/kubernetes-blue-green.md#2":           accepted,
	"tutorials/kuma-progressive-delivery.md#1":       accepted,
	"tutorials/linkerd-progressive-delivery.md#1":    accepted,
	"tutorials/linkerd-progressive-delivery.md#2":    accepted,
	"tutorials/linkerd-progressive-delivery.md#3":    accepted,
	"tutorials/linkerd-progressive-delivery.md#4":    accepted,
	"tutorials/nginx-progressive-delivery.md#1":      accepted,
	"tutorials/nginx-progressive-delivery.md#2":      accepted,
	"tutorials/prometheus-operator.md#1":             accepted,
	"tutorials/prometheus-operator.md#2":             accepted,
	"tutorials/prometheus-operator.md#3":             accepted,
	"tutorials/skipper-progressive-delivery.md#1":    accepted,
	"tutorials/skipper-progressive-delivery.md#2":    accepted,
	"tutorials/traefik-progressive-delivery.md#1":    accepted,
	"tutorials/traefik-progressive-delivery.md#2":    accepted,
	"usage/alerting.md#1":                            "set exactly one of address and secretRef",
	"usage/how-it-works.md#1":                        accepted,
	"usage/metrics.md#1":                             fragment,
	"usage/metrics.md#2":                             accepted,
	"usage/metrics.md#3":                             accepted,
	"usage/metrics.md#4":                             accepted,
	"usage/metrics.md#5":                             fragment,
	"usage/metrics.md#6":                             accepted,
	"usage/metrics.md#7":                             `no matches for kind "MetricTemplate" in version "flagger.app/v1alpha1"`,
	"usage/metrics.md#8":                             accepted,
	"usage/metrics.md#9":                             accepted,
	"usage/metrics.md#10":                            fragment,
	"usage/metrics.md#11":                            accepted,
	"usage/metrics.md#12":                            accepted,
	"usage/metrics.md#13":                            accepted,
	"usage/metrics.md#14":                            accepted,
	"usage/metrics.md#15":                            accepted,
	"usage/metrics.md#16":                            accepted,
}

// installed is the provider that a tutorial installs Flagger with, for Canaries that name none. Elsewhere it is that of this test.
var installed = map[string]string{
	"artifacts/examples/kuma-canary.yaml":          "kuma",
	"tutorials/contour-progressive-delivery.md":    "contour",
	"tutorials/gatewayapi-progressive-delivery.md": "gatewayapi:v1",
	"tutorials/istio-ab-testing.md":                "istio",
	"tutorials/istio-progressive-delivery.md":      "istio",
	"tutorials/kuma-progressive-delivery.md":       "kuma",
	"tutorials/linkerd-progressive-delivery.md":    "gatewayapi:v1beta1",
}

// The objects that Flagger's documentation has its users apply, as they stand there.
func TestFlaggersExamples(t *testing.T) {
	ns := namespace(t)
	seen := map[string]bool{}
	for _, e := range examples(t) {
		id := fmt.Sprintf("%s#%d", e.file, e.number)
		seen[id] = true
		want, known := judged[id]
		if !known {
			t.Errorf("%s is not in the table", id)
			continue
		}
		o := e.object
		o.SetNamespace(ns)
		if provider := installed[e.file]; provider != "" && o.GetKind() == v1beta1.CanaryKind {
			if _, named, _ := unstructured.NestedString(o.Object, "spec", "provider"); !named {
				must(t, unstructured.SetNestedField(o.Object, provider, "spec", "provider"))
			}
		}
		world.warnings.take()
		err := world.admin.Create(t.Context(), o, client.DryRunAll, client.FieldValidation("Strict"))
		switch {
		case want == accepted && err != nil:
			t.Errorf("%s was refused: %v", id, err)
		case want != accepted && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s was answered %v, want %q", id, err, want)
		}
		for _, w := range world.warnings.take() {
			if !strings.Contains(w, "does not exist") {
				t.Logf("%s: %s", id, w)
			}
		}
	}
	for id := range judged {
		if !seen[id] {
			t.Errorf("%s is in the table and not in the documentation", id)
		}
	}
}

// notJoined is what is answered to the fragments that are refused: parts of a Canary, each joined to a small one for Gateway API.
var notJoined = map[string]string{
	// Examples for Istio and Contour.
	"usage/deployment-strategies.md#5": "match[2].sourceLabels: cannot be expressed by provider gatewayapi:v1; match headers instead",
	"usage/deployment-strategies.md#7": "headers.user-agent.prefix: cannot be expressed by provider gatewayapi:v1; it can compare by: exact, regex",
	// A list of fields without values.
	"usage/how-it-works.md#6": "in body must be of type object",
	// Flagger stores these words and its queries carry them as they are.
	"usage/metrics.md#8": `spec.analysis.metrics[0].interval: Invalid value: "1min": not a duration`,
	// Flagger's own schema wants a string, too.
	"usage/webhooks.md#6": "metadata.clone in body must be of type string",
}

// The parts of Canaries that Flagger's documentation shows by themselves.
func TestFlaggersFragments(t *testing.T) {
	ns, dir := namespace(t), flaggerDir(t)
	seen := 0
	for _, file := range []string{"faq.md", "tutorials/gatewayapi-progressive-delivery.md", "tutorials/kubernetes-blue-green.md", "tutorials/zero-downtime-deployments.md",
		"usage/alerting.md", "usage/deployment-strategies.md", "usage/how-it-works.md", "usage/metrics.md", "usage/monitoring.md", "usage/webhooks.md"} {
		data, err := os.ReadFile(filepath.Join(dir, "docs", "gitbook", filepath.FromSlash(file)))
		must(t, err)
		for i, spec := range fragments(string(data)) {
			id := fmt.Sprintf("%s#%d", file, i+1)
			seen++
			o := &unstructured.Unstructured{}
			must(t, yaml.Unmarshal([]byte(joinedTo), &o.Object))
			o.SetNamespace(ns)
			join(o.Object["spec"].(map[string]any), spec)
			world.warnings.take()
			err := world.admin.Create(t.Context(), o, client.DryRunAll, client.FieldValidation("Strict"))
			switch want, refused := notJoined[id]; {
			case !refused && err != nil:
				t.Errorf("%s was refused: %v", id, err)
			case refused && (err == nil || !strings.Contains(err.Error(), want)):
				t.Errorf("%s was answered %v, want %q", id, err, want)
			}
			for _, w := range world.warnings.take() {
				if !strings.Contains(w, "does not exist") {
					t.Logf("%s: %s", id, w)
				}
			}
		}
	}
	if seen < 60 {
		t.Errorf("only %d fragments were found", seen)
	}
}

// joinedTo is what fragments are joined to.
const joinedTo = `
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: podinfo}
spec:
  provider: gatewayapi:v1
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: podinfo}
  service: {port: 9898, gatewayRefs: [{name: gateway, namespace: istio-ingress}]}
  analysis: {interval: 1m, threshold: 5, stepWeight: 10}
`

// fragments are the specs of Canaries in a text that miss a target or an analysis.
func fragments(text string) []map[string]any {
	var out []map[string]any
	for _, block := range codeBlock.FindAllStringSubmatch(text, -1) {
		o := map[string]any{}
		if yaml.Unmarshal([]byte(block[1]), &o) != nil {
			continue
		}
		if kind := o["kind"]; kind != nil && kind != v1beta1.CanaryKind {
			continue
		}
		spec, _ := o["spec"].(map[string]any)
		switch {
		case spec != nil:
		case o["analysis"] != nil:
			spec = o
		case o["webhooks"] != nil:
			spec = map[string]any{"analysis": o}
		}
		if spec == nil || spec["containers"] != nil || (spec["targetRef"] != nil && spec["analysis"] != nil) {
			continue
		}
		out = append(out, spec)
	}
	return out
}

// join writes a fragment over a spec. One way to roll out takes the place of another.
func join(into, fragment map[string]any) {
	for key, value := range fragment {
		inner, deep := value.(map[string]any)
		old, there := into[key].(map[string]any)
		if key == "analysis" && deep {
			if inner["iterations"] != nil || inner["stepWeights"] != nil {
				delete(old, "stepWeight")
			}
		}
		if deep && there {
			join(old, inner)
			continue
		}
		into[key] = value
	}
}

// example is one object of Flagger's documentation: the number of those in its file.
type example struct {
	file   string
	number int
	object *unstructured.Unstructured
}

var codeBlock = regexp.MustCompile("(?s)```ya?ml\n(.*?)```")

// examples reads them from Flagger's module. Fragments of Canaries, without a target or an analysis, are left out.
func examples(t *testing.T) []example {
	t.Helper()
	dir := flaggerDir(t)
	var found []example
	for _, pattern := range []string{"README.md", "docs/gitbook/*/*.md", "docs/gitbook/*.md", "artifacts/examples/*.yaml"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		must(t, err)
		for _, file := range files {
			data, err := os.ReadFile(file)
			must(t, err)
			rel, err := filepath.Rel(dir, file)
			must(t, err)
			number := 0
			for _, o := range objects(string(data), filepath.Ext(file) == ".md") {
				number++
				found = append(found, example{strings.TrimPrefix(rel, "docs/gitbook/"), number, o})
			}
		}
	}
	return found
}

// objects are those of Flagger's API in a text.
func objects(text string, markdown bool) []*unstructured.Unstructured {
	if markdown {
		var blocks []string
		for _, m := range codeBlock.FindAllStringSubmatch(text, -1) {
			blocks = append(blocks, m[1])
		}
		text = strings.Join(blocks, "\n---\n")
	}
	var out []*unstructured.Unstructured
	for document := range strings.SplitSeq(text, "\n---\n") {
		o := &unstructured.Unstructured{}
		// Some blocks are not for Kubernetes, or have placeholders.
		if yaml.Unmarshal([]byte(document), &o.Object) != nil || o.GroupVersionKind().Group != v1beta1.GroupVersion.Group {
			continue
		}
		spec, _, _ := unstructured.NestedMap(o.Object, "spec")
		if o.GetKind() == v1beta1.CanaryKind && (spec["targetRef"] == nil || spec["analysis"] == nil) {
			continue
		}
		out = append(out, o)
	}
	return out
}

// flaggerDir is the folder of Flagger's module.
func flaggerDir(t *testing.T) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", "github.com/fluxcd/flagger")
	cmd.Dir = filepath.Join("..", "e2e", "tools", "flagger")
	out, err := cmd.Output()
	must(t, err)
	var module struct{ Dir string }
	must(t, json.Unmarshal(out, &module))
	return module.Dir
}
