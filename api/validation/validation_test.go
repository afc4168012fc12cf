package validation

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/internal/contradiction"
	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/mesh/capability"
)

// canary is a good Canary after a merge patch in YAML.
func canary(t *testing.T, patch string) *v1beta1.Canary {
	t.Helper()
	var p map[string]any
	if err := yaml.Unmarshal([]byte(patch), &p); err != nil {
		t.Fatal(err)
	}
	return decode(t, contradiction.Contradiction{Patch: p})
}

func decode(t *testing.T, x contradiction.Contradiction) *v1beta1.Canary {
	t.Helper()
	o, err := x.Object()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := yaml.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	c := &v1beta1.Canary{}
	if err := yaml.UnmarshalStrict(raw, c); err != nil {
		t.Fatal(err)
	}
	return c
}

func options() Options {
	return Options{DefaultProvider: "gatewayapi:v1", Features: CurrentFeatures(), CheckQuery: checkQuery}
}

func lines(issues []Issue) []string {
	var out []string
	for _, i := range issues {
		out = append(out, i.String())
	}
	return out
}

func expect(t *testing.T, what string, got []Issue, want ...string) {
	t.Helper()
	if !slices.Equal(lines(got), want) {
		t.Errorf("%s:\n  %s\nwant\n  %s", what, strings.Join(lines(got), "\n  "), strings.Join(want, "\n  "))
	}
}

// denialsOf judges an object of any kind.
func denialsOf(t *testing.T, x contradiction.Contradiction) []Issue {
	t.Helper()
	patch, err := yaml.Marshal(x.Patch)
	if err != nil {
		t.Fatal(err)
	}
	var denials []Issue
	switch x.Kind {
	case v1beta1.MetricTemplateKind:
		denials, _ = ValidateMetricTemplate(build[v1beta1.MetricTemplate](t, x.Kind, string(patch)), options())
	case v1beta1.AlertProviderKind:
		denials, _ = ValidateAlertProvider(build[v1beta1.AlertProvider](t, x.Kind, string(patch)), options())
	default:
		denials, _ = ValidateCanary(decode(t, x), options())
	}
	return denials
}

// Every contradiction that admission must catch is denied with its field and remedy.
func TestContradictions(t *testing.T) {
	all, err := contradiction.Read("../testdata/contradictions.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tested := 0
	for _, x := range all {
		if x.Layer != contradiction.Admission {
			continue
		}
		tested++
		t.Run(x.Name, func(t *testing.T) {
			if denials := denialsOf(t, contradiction.Contradiction{Kind: x.Kind}); len(denials) > 0 {
				t.Fatalf("the good object is denied: %v", lines(denials))
			}
			denials := denialsOf(t, x)
			if !slices.ContainsFunc(denials, func(i Issue) bool {
				return i.Field == x.Field && strings.Contains(i.String(), x.Says)
			}) {
				t.Errorf("denials: %v; want field %s and %q", lines(denials), x.Field, x.Says)
			}
		})
	}
	if tested < 10 {
		t.Errorf("only %d contradictions of layer admission", tested)
	}
}

// ruleCase is a merge patch to a good object, in YAML with tabs, and what is said of the outcome.
type ruleCase struct {
	name, patch string
	want        []string
}

// implemented lists the providers that can be used.
var implemented = strings.Join(capability.ImplementedNames(), ", ")

func denialCases() []ruleCase {
	return []ruleCase{
		{"good", `{}`, nil},
		{"conditions on connections", `{spec: {provider: istio, service: {appProtocol: TCP}, analysis: {stepWeight: null, stepWeights: null, iterations: 5, match: [{headers: {x: {exact: a}}}]}}}`, []string{
			`spec.analysis.iterations: 5 asks for A/B testing, which provider istio cannot express; use stepWeight, or iterations without match`,
			`spec.analysis.match: cannot be expressed by provider istio; remove it`,
		}},
		{"nginx without an Ingress", `{spec: {provider: nginx}}`, []string{`spec.ingressRef: is required by provider nginx`}},
		{"a header or a cookie on nginx", `{spec: {provider: nginx, ingressRef: {apiVersion: networking.k8s.io/v1, kind: Ingress, name: public}, analysis: {stepWeight: null, stepWeights: null, iterations: 5, match: [{headers: {x: {regex: a}}}, {headers: {Cookie: {exact: a}}}]}}}`, nil},
		{"shares of those who match on nginx", `{spec: {provider: nginx, ingressRef: {apiVersion: networking.k8s.io/v1, kind: Ingress, name: public}, analysis: {match: [{headers: {x: {exact: a}}}]}}}`, []string{
			`spec.analysis.match: without iterations asks to share out matching requests by weight, which provider nginx cannot express; set iterations for A/B testing, or remove match`,
		}},
		{"more than nginx has room for", `{spec: {provider: nginx, ingressRef: {apiVersion: networking.k8s.io/v1, kind: Ingress, name: public}, analysis: {stepWeight: null, stepWeights: null, iterations: 5, match: [{headers: {x: {exact: a}, y: {exact: a}}}, {headers: {cookie: {exact: a}, z: {exact: a}}}, {headers: {cookie: {regex: a}}}]}}}`, []string{
			`spec.analysis.match[1].headers: has 1 headers beside a cookie; with provider nginx each goes into an entry of its own, of which one is enough`,
			`spec.analysis.match[2].headers.cookie: must name a cookie with provider nginx, which compares its value with always; set exact to its name`,
			`spec.analysis.match: has 2 headers; provider nginx can express 1`,
			`spec.analysis.match: has 2 cookies; provider nginx can express 1`,
		}},
		{"unknown provider, a typo", `{spec: {provider: istioo}}`, []string{
			`spec.provider: "istioo" is not a known provider; did you mean istio; use one of apisix, appmesh, appmesh:v1beta2, ` +
				`contour, gatewayapi:v1, gatewayapi:v1beta1, gloo, istio, knative, kubernetes, kuma, linkerd, nginx, osm, skipper, ` +
				`smi:v1alpha1, smi:v1alpha2, smi:v1alpha3, traefik`,
		}},
		{"interval", `{spec: {analysis: {interval: 1x}}}`, []string{
			`spec.analysis.interval: "1x" is not a duration; use for example 30s or 1m`,
		}},
		{"no interval", `{spec: {analysis: {interval: ""}}}`, []string{
			`spec.analysis.interval: is required; use for example 30s or 1m`,
		}},
		{"negative interval", `{spec: {analysis: {interval: -1s}}}`, []string{
			`spec.analysis.interval: "-1s" is not a duration; use for example 30s or 1m`,
		}},
		{"overflowing interval", `{spec: {analysis: {interval: 99999999999h}}}`, []string{
			`spec.analysis.interval: "99999999999h" is not a duration; use for example 30s or 1m`,
		}},
		{"no steps", `{spec: {analysis: {stepWeight: 0}}}`, []string{
			`spec.analysis: has no steps; set one of stepWeight, stepWeights (canary) or iterations (A/B testing, blue/green)`,
		}},
		{"two strategies", `{spec: {analysis: {iterations: 3}}}`, []string{
			`spec.analysis: has more than one of stepWeight, stepWeights and iterations; keep one`,
		}},
		{"steps that fall", `{spec: {analysis: {stepWeight: 0, stepWeights: [5, 50, 50]}}}`, []string{
			`spec.analysis.stepWeights: "[5 50 50]" does not ascend at entry 2; use for example [5 20 50]`,
		}},
		{"steps out of range", `{spec: {analysis: {stepWeight: 0, stepWeights: [0, 50]}}}`, []string{
			`spec.analysis.stepWeights: "[0 50]" has an entry out of range; use 1 to 100 per cent`,
		}},
		{"shares", `{spec: {analysis: {stepWeight: 101, maxWeight: -1, stepWeightPromotion: 101, mirrorWeight: 101,
			primaryReadyThreshold: 101, canaryReadyThreshold: -1, threshold: -1}, progressDeadlineSeconds: -1}}`, []string{
			`spec.analysis.stepWeight: 101 is out of range; use 1 to 100 per cent`,
			`spec.analysis.maxWeight: -1 is out of range; use 0 to 100 per cent`,
			`spec.analysis.stepWeightPromotion: 101 is out of range; use 0 to 100 per cent`,
			`spec.analysis.mirrorWeight: 101 is out of range; use 0 to 100 per cent`,
			`spec.analysis.primaryReadyThreshold: 101 is out of range; use 0 to 100 per cent`,
			`spec.analysis.canaryReadyThreshold: -1 is out of range; use 0 to 100 per cent`,
			`spec.analysis.threshold: -1 is out of range; use 1 or more failed checks`,
			`spec.progressDeadlineSeconds: -1 is out of range; use seconds, 600 when absent`,
		}},
		{"negative iterations", `{spec: {provider: kubernetes, analysis: {stepWeight: 0, iterations: -1}}}`, []string{
			`spec.analysis.iterations: -1 is out of range; use 1 or more`,
		}},
		{"unknown kind", `{spec: {targetRef: {kind: ReplicaSet}}}`, []string{
			`spec.targetRef.kind: "ReplicaSet" cannot be rolled out; use one of Deployment, DaemonSet, Service`,
		}},
		{"unknown lifecycle", `{spec: {primary: {lifecycle: Eternal, retain: x}}}`, []string{
			`spec.primary.lifecycle: "Eternal" is not a lifecycle; use Persistent or Ephemeral`,
			`spec.primary.retain: "x" is not a duration; use for example 30s or 1m`,
		}},
		{"ports", `{spec: {service: {port: 70000, targetPort: 70000}}}`, []string{
			`spec.service.port: 70000 is not a port; use 1 to 65535`,
			`spec.service.targetPort: 70000 is not a port; use 1 to 65535, or the name of a container port`,
		}},
		{"timeouts", `{spec: {service: {timeout: soon, backendTimeout: later}}}`, []string{
			`spec.service.timeout: "soon" is not a duration; use for example 30s or 1m`,
			`spec.service.backendTimeout: "later" is not a duration; use for example 30s or 1m`,
		}},
		{"metric", `{spec: {analysis: {metrics: [{name: request-duration, interval: 10, thresholdRange: {min: 2, max: 1}}]}}}`, []string{
			`spec.analysis.metrics[0].interval: "10" is not a duration; use for example 30s or 1m`,
			`spec.analysis.metrics[0].thresholdRange.min: 2 is above max 1, so no value passes; swap them`,
		}},
		{"webhook", `{spec: {analysis: {webhooks: [{name: "", type: pre-promotion, url: "", timeout: 1x, retries: -1}]}}}`, []string{
			`spec.analysis.webhooks[0].name: is required; name the webhook`,
			`spec.analysis.webhooks[0].type: "pre-promotion" is not a type of webhook; use one of confirm-rollout, pre-rollout, ` +
				`rollout, confirm-traffic-increase, confirm-promotion, post-rollout, rollback, event`,
			`spec.analysis.webhooks[0].url: is required; use for example http://name.namespace/path`,
			`spec.analysis.webhooks[0].timeout: "1x" is not a duration; use for example 30s or 1m`,
			`spec.analysis.webhooks[0].retries: -1 is out of range; use 0 or more`,
		}},
		{"URLs never show secrets", `{spec: {metricsServer: "ftp://me:hunter2@host/?token=hunter2", analysis: {webhooks: [
			{name: a, url: "http://me:hunter2@host:port/"}, {name: b, url: "http:///hunter"}]}}}`, []string{
			`spec.metricsServer: "ftp://me:xxxxx@host/" is not an http or https URL; use for example http://name.namespace/path`,
			`spec.analysis.webhooks[0].url: is not a URL; use for example http://name.namespace/path`,
			`spec.analysis.webhooks[1].url: "http:///hunter" has no host; use for example http://name.namespace/path`,
		}},
	}
}

func TestDenials(t *testing.T) {
	for _, tt := range slices.Concat(denialCases(), serviceDenials(), queryDenials()) {
		t.Run(tt.name, func(t *testing.T) {
			c := canary(t, strings.ReplaceAll(tt.patch, "\t", " "))
			denials, _ := ValidateCanary(c, options())
			expect(t, "denials", denials, tt.want...)
		})
	}
}

func warningCases() []ruleCase {
	long := strings.Repeat("n", 60)
	return []ruleCase{
		{"good", `{spec: {analysis: {metrics: [{name: request-success-rate, thresholdRange: {min: 99}}, {name: a, query: "1", threshold: 1}]}}}`, nil},
		{"weights without splitting", `{spec: {provider: kubernetes}}`, []string{
			`spec.analysis.stepWeight: 10 cannot be realised: provider kubernetes does not divide traffic; runs as blue/green ` +
				`with 10 iterations, set spec.analysis.iterations instead`,
		}},
		{"iterations without splitting", `{spec: {provider: kubernetes, analysis: {stepWeight: 0, iterations: 4}}}`, nil},
		{"limits", `{spec: {analysis: {metrics: [{name: request-success-rate}, {name: request-duration},
			{name: request-duration, thresholdRange: {}}, {name: request-duration, threshold: 3, thresholdRange: {max: 4}}]}}}`, []string{
			`spec.analysis.metrics[0]: has no thresholdRange, so every value passes; set for example thresholdRange.min: 99`,
			`spec.analysis.metrics[1]: has no thresholdRange, so any value above 0 fails; set thresholdRange`,
			`spec.analysis.metrics[2].thresholdRange: has neither min nor max, so every value passes`,
			`spec.analysis.metrics[3].threshold: 3 has no effect beside thresholdRange; remove it`,
		}},
		{"long names", `{spec: {targetRef: {name: ` + long + `}}}`, []string{
			`spec.service.name: "` + long + `" makes the Service name ` + long + `-primary longer than 63 characters; use at most 55`,
		}},
		{"long target, short Service", `{spec: {targetRef: {name: ` + long + `}, service: {name: a}}}`, []string{
			`spec.targetRef.name: "` + long + `" makes the primary's name ` + long + `-primary longer than 63 characters, too long for a label`,
		}},
		{"a primary as target", `{spec: {targetRef: {name: shop-primary}}}`, []string{
			`spec.targetRef.name: "shop-primary" looks like a primary made for another Canary; target the workload itself`,
		}},
		{"maximum beside a list", `{spec: {analysis: {stepWeight: 0, stepWeights: [5, 50], maxWeight: 80}}}`, []string{
			`spec.analysis.maxWeight: 80 has no effect beside stepWeights, whose last entry is the last step; remove it`,
		}},
		{"match without iterations", `{spec: {analysis: {match: [{headers: {a: {exact: b}}}]}}}`, []string{
			`spec.analysis.match: without iterations limits the weighted steps to matching requests; set iterations for A/B testing`,
		}},
		{"copies by a gateway", `{spec: {analysis: {mirror: true, mirrorWeight: 30}}}`, []string{
			`spec.analysis.mirror: true needs a gateway that can copy requests (RequestMirror); one that cannot may fail them all, ` +
				`so try service.mirror on a route of your own first`,
		}},
		{"copies during blue/green", `{spec: {analysis: {stepWeight: null, iterations: 3, mirror: true}}}`, []string{
			`spec.analysis.mirror: true needs a gateway that can copy requests (RequestMirror); one that cannot may fail them all, ` +
				`so try service.mirror on a route of your own first`,
		}},
		{"A/B testing", `{spec: {analysis: {stepWeight: null, iterations: 3, match: [{headers: {a: {exact: b}}}]}}}`, nil},
		{"session affinity", `{spec: {analysis: {sessionAffinity: {cookieName: a, primaryCookieName: b}}}}`, nil},
		{"conditions without effect", `{spec: {service: {match: [{uri: {prefix: /}, port: 80, scheme: {exact: http}}]}}}`, []string{
			`spec.service.match[0].scheme: has no effect with provider gatewayapi:v1; remove it`,
			`spec.service.match[0].port: has no effect with provider gatewayapi:v1; remove it`,
		}},
		{"retain of a persistent primary", `{spec: {primary: {retain: 5m}}}`, []string{
			`spec.primary.retain: "5m" has no effect on a primary that always serves; remove it`,
		}},
	}
}

func TestWarnings(t *testing.T) {
	for _, tt := range slices.Concat(warningCases(), queryWarnings()) {
		t.Run(tt.name, func(t *testing.T) {
			denials, warnings := ValidateCanary(canary(t, strings.ReplaceAll(tt.patch, "\t", " ")), options())
			expect(t, "denials", denials)
			expect(t, "warnings", warnings, tt.want...)
		})
	}
}

func TestDefaultProvider(t *testing.T) {
	c := canary(t, `{spec: {provider: null}}`)
	o := options()
	for provider, want := range map[string]string{
		"gatewayapi:v1": "",
		"":              `spec.provider: is empty and the controller has no -mesh-provider; set one of ` + implemented,
		"knative":       `spec.provider: "knative" is not available in this version; use one of ` + implemented,
	} {
		o.DefaultProvider = provider
		denials, _ := ValidateCanary(c, o)
		if got := strings.Join(lines(denials), "\n"); got != want {
			t.Errorf("-mesh-provider=%s: %q; want %q", provider, got, want)
		}
	}
}

func TestSuggestions(t *testing.T) {
	for spelling, want := range map[string]string{
		"Istio":           "; did you mean istio",
		"gatewayapi":      "; did you mean gatewayapi:v1",
		"GatewayAPI:v1":   "; did you mean gatewayapi:v1",
		"gatewayapi:v2":   "; did you mean gatewayapi:v1",
		"kuberentes":      "; did you mean kubernetes",
		"smi:v1alpha4":    "; did you mean smi:v1alpha1",
		"appmesh:v1beta1": "; did you mean appmesh:v1beta2",
		"ambassador":      "",
	} {
		if got := suggestion(spelling); got != want {
			t.Errorf("suggestion(%q) = %q; want %q", spelling, got, want)
		}
	}
}

func TestPeers(t *testing.T) {
	at := func(minute int) metav1.Time { return metav1.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC) }
	self := canary(t, `{}`)
	self.CreationTimestamp = at(5)
	same := self.Spec.TargetRef
	otherVersion := same
	otherVersion.APIVersion = "apps/v1beta2"
	base := same
	self2 := canary(t, `{spec: {targetRef: {name: good-primary}, service: {name: front}}}`)
	const taken = `spec.targetRef: "Deployment/good" is already the target of Canary other; delete one of the two`
	tests := []struct {
		name             string
		c                *v1beta1.Canary
		creating         bool
		peer             Peer
		denials, warning string
	}{
		{"older", self, false, Peer{Name: "other", TargetRef: same, Created: at(4)}, taken, ""},
		{"younger", self, false, Peer{Name: "other", TargetRef: same, Created: at(6)}, "", taken + "; this one is in charge meanwhile"},
		{"same age, later name", self, false, Peer{Name: "other", TargetRef: same, Created: at(5)}, "", taken + "; this one is in charge meanwhile"},
		{"same age, earlier name", self, false, Peer{Name: "a", TargetRef: same, Created: at(5)},
			strings.Replace(taken, "other", "a", 1), ""},
		{"creating beside a younger", self, true, Peer{Name: "other", TargetRef: same, Created: at(6)}, taken, ""},
		{"another version of the kind", self, false, Peer{Name: "other", TargetRef: otherVersion, Created: at(4)}, taken, ""},
		{"being deleted", self, true, Peer{Name: "other", TargetRef: same, Created: at(4), Deleting: true}, "", ""},
		{"itself", self, false, Peer{Name: "good", TargetRef: same, Created: at(4)}, "", ""},
		{"another target", self, true, Peer{Name: "other", TargetRef: v1beta1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "x"}}, "", ""},
		{"one Service", self, true, Peer{Name: "other", ServiceName: "good"},
			`spec.service.name: "good" is already the Service of Canary other; choose another name`, ""},
		{"the primary of another", self2, false, Peer{Name: "other", TargetRef: base},
			`spec.targetRef.name: "good-primary" is the primary of Canary other; target good in one Canary only`,
			`spec.targetRef.name: "good-primary" looks like a primary made for another Canary; target the workload itself`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := options()
			o.Creating, o.Facts.Peers = tt.creating, []Peer{tt.peer}
			denials, warnings := ValidateCanary(tt.c, o)
			if got := strings.Join(lines(denials), "\n"); got != tt.denials {
				t.Errorf("denials %q; want %q", got, tt.denials)
			}
			if got := strings.Join(lines(warnings), "\n"); got != tt.warning {
				t.Errorf("warnings %q; want %q", got, tt.warning)
			}
		})
	}
}

// Of two Canaries on one target exactly one is in charge, whoever asks.
func TestPrecedesIsAnOrder(t *testing.T) {
	at := func(s int) metav1.Time { return metav1.Date(2026, 1, 1, 0, 0, s, 0, time.UTC) }
	peers := []Peer{{Name: "b", Created: at(1)}, {Name: "c", Created: at(1)}, {Name: "a", Created: at(2)}, {Name: "0"}, {Name: "1"}}
	for i, p := range peers {
		for j, o := range peers {
			if got := p.Precedes(o); got != (i < j) {
				t.Errorf("%s precedes %s = %v; want %v", p.Name, o.Name, got, i < j)
			}
		}
	}
}

func TestMissingReferences(t *testing.T) {
	c := canary(t, `{spec: {
		ingressRef: {apiVersion: networking.k8s.io/v1, kind: Ingress, name: i},
		routeRef: {apiVersion: apisix.apache.org/v2, kind: ApisixRoute, name: r},
		upstreamRef: {apiVersion: gloo.solo.io/v1, kind: Upstream, name: u, namespace: gloo},
		autoscalerRef: {apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, name: h},
		service: {gatewayRefs: [{name: g, namespace: edge}, {name: s, group: "", kind: Service}, {name: good, group: core, kind: Service}]},
		analysis: {
			metrics: [{name: m, thresholdRange: {max: 1}, templateRef: {name: t}}, {name: request-duration, threshold: 1}],
			alerts: [{name: a, providerRef: {name: p, namespace: chat}}]}}}`)
	want := []Reference{
		{"spec.targetRef", "apps/v1", "Deployment", "default", "good"},
		{"spec.autoscalerRef", "autoscaling/v2", "HorizontalPodAutoscaler", "default", "h"},
		{"spec.ingressRef", "networking.k8s.io/v1", "Ingress", "default", "i"},
		{"spec.routeRef", "apisix.apache.org/v2", "ApisixRoute", "default", "r"},
		{"spec.upstreamRef", "gloo.solo.io/v1", "Upstream", "gloo", "u"},
		{"spec.service.gatewayRefs[0]", "gateway.networking.k8s.io/v1", "Gateway", "edge", "g"},
		{"spec.service.gatewayRefs[1]", "v1", "Service", "default", "s"},
		{"spec.analysis.metrics[0].templateRef", "flagger.app/v1beta1", "MetricTemplate", "default", "t"},
		{"spec.analysis.alerts[0].providerRef", "flagger.app/v1beta1", "AlertProvider", "chat", "p"},
	}
	got := References(c)
	if !slices.Equal(got, want) {
		t.Fatalf("References() =\n%+v\nwant\n%+v", got, want)
	}
	o := options()
	o.Facts.Missing = []Reference{got[0], got[5]}
	denials, warnings := ValidateCanary(c, o)
	expect(t, "denials", denials)
	expect(t, "warnings", warnings,
		`spec.targetRef: "Deployment/good" does not exist; the Canary waits until it is created`,
		`spec.service.gatewayRefs[0]: "Gateway/edge/g" does not exist; the Canary waits until it is created`)

	o = options()
	o.NoCrossNamespaceRefs = true
	denials, _ = ValidateCanary(c, o)
	expect(t, "denials", denials,
		`spec.upstreamRef.namespace: "gloo" is another namespace, which this controller does not allow; use default`,
		`spec.analysis.alerts[0].providerRef.namespace: "chat" is another namespace, which this controller does not allow; use default`)
}

// Deletions, finalizers and metadata pass whatever the spec says; a change of the spec is judged again.
func TestStoredCanariesAreNotBlocked(t *testing.T) {
	bad := canary(t, `{spec: {analysis: {interval: 1x}}}`)
	deleting := bad.DeepCopy()
	deleting.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
	denials, warnings := ValidateCanary(deleting, options())
	expect(t, "denials while being deleted", denials)
	expect(t, "warnings while being deleted", warnings)

	const issue = `spec.analysis.interval: "1x" is not a duration; use for example 30s or 1m`
	o := options()
	o.Old = bad
	labelled := bad.DeepCopy()
	labelled.Labels = map[string]string{"a": "b"}
	denials, warnings = ValidateCanary(labelled, o)
	expect(t, "denials of a new label", denials)
	expect(t, "warnings of a new label", warnings, issue)

	changed := bad.DeepCopy()
	changed.Spec.Analysis.Threshold++
	denials, _ = ValidateCanary(changed, o)
	expect(t, "denials of a new threshold", denials, issue)
}

// Where it is known of a gateway that it makes no copies, asking for them is denied; users would be answered with errors.
func TestCopiesByAGatewayThatMakesNone(t *testing.T) {
	c := canary(t, `{spec: {analysis: {mirror: true}}}`)
	o := options()
	o.Facts.NoMirror = []string{"Gateway edge/public (class plain)"}
	const want = `spec.analysis.mirror: true is not possible with Gateway edge/public (class plain), which copies no requests ` +
		`(HTTPRouteRequestMirror is not among the supportedFeatures of its class); remove it, or use another gateway`
	denials, _ := ValidateCanary(c, o)
	if got := strings.Join(lines(denials), "\n"); got != want {
		t.Errorf("%q; want %q", got, want)
	}
}
