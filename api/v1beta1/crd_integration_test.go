//go:build integration

package v1beta1_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/internal/contradiction"
	"github.com/sluice-dev/sluice/api/testserver"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

const callTimeout = 2 * time.Minute

// server has the shipped CRDs.
var server *testserver.Server

func TestMain(m *testing.M) {
	os.Exit(testserver.Run(testserver.Options{CRDs: []string{"../../manifests/base/crds"}}, func(s *testserver.Server) int {
		server = s
		return m.Run()
	}))
}

func TestCRDs(t *testing.T) {
	direct, err := server.Client()
	if err != nil {
		t.Fatal(err)
	}
	c := client.WithFieldValidation(direct, metav1.FieldValidationStrict)
	t.Run("accept", func(t *testing.T) { acceptCorpus(t, c) })
	t.Run("refuse", func(t *testing.T) { refuseContradictions(t, c) })
	t.Run("refuse as Flagger does", func(t *testing.T) { refuseAlike(t, c) })
	t.Run("variants", func(t *testing.T) { acceptVariants(t, c) })
	t.Run("status", func(t *testing.T) { keepStatus(t, c) })
}

// acceptCorpus stores each manifest and finds it unchanged: nothing refused, nothing pruned.
func acceptCorpus(t *testing.T, c client.Client) {
	for _, d := range corpus(t) {
		t.Run(d.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
			defer cancel()
			o := object(t, d.raw)
			want := o.DeepCopy().Object["spec"]
			if err := c.Create(ctx, o); err != nil {
				t.Fatal(err)
			}
			got := &unstructured.Unstructured{}
			got.SetGroupVersionKind(o.GroupVersionKind())
			if err := c.Get(ctx, client.ObjectKeyFromObject(o), got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.Object["spec"], want) {
				t.Errorf("stored as\n%s\nwant\n%s", render(t, got.Object["spec"]), render(t, want))
			}
		})
	}
}

// refuseContradictions turns a good object into each contradiction and expects the server to name field and remedy.
func refuseContradictions(t *testing.T, c client.Client) {
	all, err := contradiction.Read("../testdata/contradictions.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range all {
		t.Run(x.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
			defer cancel()
			good, err := x.Good()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Create(ctx, &unstructured.Unstructured{Object: good}, client.DryRunAll); err != nil {
				t.Fatalf("the good object is refused: %v", err)
			}
			bad, err := x.Object()
			if err != nil {
				t.Fatal(err)
			}
			err = c.Create(ctx, &unstructured.Unstructured{Object: bad}, client.DryRunAll)
			if x.Layer == contradiction.Admission {
				if err != nil {
					t.Errorf("refused by the schema, so its layer is not %s: %v", x.Layer, err)
				}
				return
			}
			if err == nil {
				t.Fatal("accepted")
			}
			for _, text := range []string{x.Field, x.Says} {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("error %q does not say %q", err, text)
				}
			}
		})
	}
}

// refuseAlike holds what both schemas refuse.
func refuseAlike(t *testing.T, c client.Client) {
	for name, x := range map[string]struct{ kind, patch, says string }{
		"unknown provider":     {"", `{spec: {provider: istioo}}`, `supported values: "apisix", "appmesh"`},
		"no steps":             {"", `{spec: {analysis: {stepWeight: null}}}`, "set exactly one of iterations"},
		"two kinds of steps":   {"", `{spec: {analysis: {iterations: 3}}}`, "set exactly one of iterations"},
		"no interval":          {"", `{spec: {analysis: {interval: null}}}`, "spec.analysis.interval: Required value"},
		"no threshold":         {"", `{spec: {analysis: {threshold: null}}}`, "spec.analysis.threshold: Required value"},
		"no analysis":          {"", `{spec: {analysis: null}}`, "spec.analysis: Required value"},
		"interval of no unit":  {"", `{spec: {analysis: {interval: "30"}}}`, "not a duration"},
		"empty interval":       {"", `{spec: {analysis: {interval: ""}}}`, "spec.analysis.interval"},
		"kind of target":       {"", `{spec: {targetRef: {kind: Pod}}}`, "targetRef.kind must be Deployment, DaemonSet or Service"},
		"kind of ingress":      {"", `{spec: {ingressRef: {apiVersion: v1, kind: Service, name: a}}}`, "ingressRef.kind must be Ingress"},
		"kind of autoscaler":   {"", `{spec: {autoscalerRef: {apiVersion: v1, kind: A, name: a}}}`, "autoscalerRef.kind must be"},
		"type of webhook":      {"", `{spec: {analysis: {webhooks: [{name: a, url: "http://a", type: x}]}}}`, "supported values"},
		"severity of alert":    {"", `{spec: {analysis: {alerts: [{name: a, severity: loud, providerRef: {name: a}}]}}}`, "supported values"},
		"cookie without name":  {"", `{spec: {analysis: {sessionAffinity: {maxAge: 5}}}}`, "cookieName: Required value"},
		"two comparisons":      {"", `{spec: {service: {match: [{uri: {exact: /a, prefix: /b}}]}}}`, "spec.service.match[0].uri"},
		"two balancers":        {"", `{spec: {service: {trafficPolicy: {loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}}}}}`, "keep one"},
		"two hashes":           {"", `{spec: {service: {trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true, httpHeaderName: a}}}}}}`, "keep one"},
		"mirror without port":  {"", `{spec: {service: {mirror: [{backendRef: {name: a}}]}}}`, "Must have port for Service reference"},
		"alert of two sources": {"AlertProvider", `{spec: {secretRef: {name: a}}}`, "set exactly one of address and secretRef"},
		"alert of no source":   {"AlertProvider", `{spec: {address: null}}`, "set exactly one of address and secretRef"},
		"unknown chat":         {"AlertProvider", `{spec: {type: irc}}`, "supported values"},
		"unknown metrics API":  {"MetricTemplate", `{spec: {provider: {type: excel}}}`, "supported values"},
		"template of no query": {"MetricTemplate", `{spec: {query: null}}`, "spec.query: Required value"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
			defer cancel()
			o, err := contradiction.Contradiction{Kind: x.kind, Patch: generic(t, []byte(x.patch))}.Object()
			if err != nil {
				t.Fatal(err)
			}
			err = c.Create(ctx, &unstructured.Unstructured{Object: o}, client.DryRunAll)
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), x.says) {
				t.Errorf("error %q does not say %q", err, x.says)
			}
		})
	}
}

// acceptVariants holds edges that must stay accepted.
func acceptVariants(t *testing.T, c client.Client) {
	for name, patch := range map[string]string{
		"threshold 0":                    `{spec: {analysis: {threshold: 0}}}`,
		"maxWeight 0":                    `{spec: {analysis: {maxWeight: 0}}}`,
		"maxWeight below stepWeight":     `{spec: {analysis: {maxWeight: 5}}}`,
		"whole number with a fraction":   `{spec: {analysis: {threshold: 5.0}}}`,
		"several units":                  `{spec: {analysis: {interval: 1m30s}}}`,
		"hours":                          `{spec: {analysis: {interval: 1h}}}`,
		"retries 0":                      `{spec: {analysis: {webhooks: [{name: a, url: "http://a/", retries: 0}]}}}`,
		"webhook of an unusual scheme":   `{spec: {analysis: {webhooks: [{name: a, url: "a"}]}}}`,
		"empty lists":                    `{spec: {analysis: {metrics: [], webhooks: [], alerts: [], match: []}}}`,
		"metric without limits":          `{spec: {analysis: {metrics: [{name: request-duration}]}}}`,
		"no service":                     `{spec: {service: null}}`,
		"empty provider settings":        `{spec: {service: {timeout: "", portName: "", targetPort: 0}}}`,
		"a hundred metrics":              fmt.Sprintf(`{spec: {analysis: {metrics: [%s]}}}`, strings.Repeat(`{name: a, interval: 1m},`, 100)),
		"a hundred steps":                fmt.Sprintf(`{spec: {analysis: {stepWeight: null, stepWeights: [%s]}}}`, counted(100)),
		"an unusual targetRef group":     `{spec: {targetRef: {apiVersion: extensions/v1beta1}}}`,
		"fractions where they are meant": `{spec: {analysis: {metrics: [{name: a, query: "1", threshold: 0.25}]}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
			defer cancel()
			if err := c.Create(ctx, patched(t, patch), client.DryRunAll); err != nil {
				t.Error(err)
			}
		})
	}
}

func counted(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d,", i+1)
	}
	return b.String()
}

// keepStatus writes a status as Flagger leaves it, then a full one of Sluice, through the subresource.
func keepStatus(t *testing.T, c client.Client) {
	ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
	defer cancel()
	o := patched(t, `{metadata: {name: with-status}}`)
	if err := c.Create(ctx, o); err != nil {
		t.Fatal(err)
	}
	for _, manifest := range []string{statusOfFlagger, statusOfSluice} {
		want := generic(t, []byte(manifest))
		patch, err := json.Marshal(map[string]any{"status": want})
		if err != nil {
			t.Fatal(err)
		}
		typed := &v1beta1.Canary{ObjectMeta: metav1.ObjectMeta{Name: "with-status", Namespace: "default"}}
		if err := c.Status().Patch(ctx, typed, client.RawPatch("application/merge-patch+json", patch)); err != nil {
			t.Fatal(err)
		}
		// A second, typed write must find every field where the first left it.
		if err := c.Status().Update(ctx, typed); err != nil {
			t.Fatal(err)
		}
		got := patched(t, "{}")
		if err := c.Get(ctx, client.ObjectKeyFromObject(typed), got); err != nil {
			t.Fatal(err)
		}
		out, err := json.Marshal(got.Object["status"])
		if err != nil {
			t.Fatal(err)
		}
		if got := generic(t, out); !reflect.DeepEqual(got, want) {
			t.Errorf("stored as\n%s\nwant\n%s", render(t, got), render(t, want))
		}
	}
}

const statusOfFlagger = `
phase: Progressing
failedChecks: 1
canaryWeight: 20
iterations: 0
trackedConfigs: {configmap/shop: 0123456789abcdef}
lastAppliedSpec: 5d6f7b8c9
lastPromotedSpec: 7d4f8b5c6
lastTransitionTime: "2026-01-01T10:00:00Z"
sessionAffinityCookie: sticky=abcdefghij
primarySessionAffinityCookie: sticky-primary=abcdefghij
previousSessionAffinityCookie: sticky=jihgfedcba
conditions:
  - type: Promoted
    status: Unknown
    reason: Progressing
    message: New revision detected, progressing canary analysis.
    lastUpdateTime: "2026-01-01T10:00:00Z"
    lastTransitionTime: "2026-01-01T10:00:00Z"
`

const statusOfSluice = statusOfFlagger + `
observedGeneration: 3
targetGeneration: 7
currentRevision: 0123456789abcdef
analysedRevision: 0123456789abcdef
promotedRevision: fedcba9876543210
failedRevision: 00000000000000ff
rollout:
  id: 0123456789abcdef-7
  revision: 0123456789abcdef
  podHash: 5d6f7b8c9
  stage: Analysing
  stageSince: "2026-01-01T10:00:00.000000Z"
  step: 1
  attempt: 2
  convergedAt: "2026-01-01T10:00:01.000000Z"
  nextCheckAt: "2026-01-01T10:00:30.000000Z"
  unreadySince: "2026-01-01T09:59:00.000000Z"
  reason: the checks at 10 per cent passed
checks:
  - name: request-success-rate
    kind: metric
    stage: Analysing
    step: 1
    weight: 20
    attempt: 1
    value: "97.5"
    threshold: ">= 99"
    verdict: Fail
    message: 97.5 is below 99
    time: "2026-01-01T10:00:00Z"
`

func object(t *testing.T, raw []byte) *unstructured.Unstructured {
	t.Helper()
	j, err := yaml.YAMLToJSON(raw)
	if err != nil {
		t.Fatal(err)
	}
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON(j); err != nil {
		t.Fatal(err)
	}
	return o
}

// patched is a good Canary after a merge patch in YAML.
func patched(t *testing.T, patch string) *unstructured.Unstructured {
	t.Helper()
	x := contradiction.Contradiction{Patch: generic(t, []byte(patch))}
	o, err := x.Object()
	if err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: o}
}
