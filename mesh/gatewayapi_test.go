package mesh

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// routeWith is a route in namespace test whose rules are given as YAML.
func routeWith(t *testing.T, rules, status string) *unstructured.Unstructured {
	t.Helper()
	return parse(t, "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: podinfo, namespace: test, generation: 3}\nspec:\n  rules:\n"+
		rules+"\nstatus:\n  parents:\n"+status)
}

const slash = "  - matches: [{path: {type: PathPrefix, value: /}}]\n    backendRefs:\n"

// Weights are relative in Gateway API and per cent here; what is not exactly nothing or everything must never look like it.
func TestReadWeights(t *testing.T) {
	ref := func(name, weight string) string { return fmt.Sprintf("    - {name: %s, port: 80%s}\n", name, weight) }
	tests := []struct {
		name            string
		rules           string
		primary, canary int
	}{
		{"as written", slash + ref("podinfo-primary", ", weight: 70") + ref("podinfo-canary", ", weight: 30"), 70, 30},
		{"order does not matter", slash + ref("podinfo-canary", ", weight: 30") + ref("podinfo-primary", ", weight: 70"), 70, 30},
		{"absent weights count 1", slash + ref("podinfo-primary", "") + ref("podinfo-canary", ""), 50, 50},
		{"one absent weight", slash + ref("podinfo-primary", ", weight: 99") + ref("podinfo-canary", ""), 99, 1},
		{"not per cent", slash + ref("podinfo-primary", ", weight: 1") + ref("podinfo-canary", ", weight: 2"), 33, 67},
		{"a little is not nothing", slash + ref("podinfo-primary", ", weight: 9999") + ref("podinfo-canary", ", weight: 1"), 99, 1},
		{"almost everything", slash + ref("podinfo-primary", ", weight: 1") + ref("podinfo-canary", ", weight: 9999"), 1, 99},
		{"all zero serves nobody", slash + ref("podinfo-primary", ", weight: 0") + ref("podinfo-canary", ", weight: 0"), 0, 0},
		{"primary alone", slash + ref("podinfo-primary", ""), 100, 0},
		{"apex reaches the primary", slash + ref("podinfo", ", weight: 1"), 100, 0},
		{"others have a share", slash + ref("podinfo-primary", ", weight: 50") + ref("other", ", weight: 50"), 50, 0},
		{"nothing of ours", slash + ref("other", ""), 0, 0},
		{"the rule that sends most to the canary", slash + ref("podinfo-primary", "") + slash + ref("podinfo-canary", "") + slash + ref("podinfo", ""), 0, 100},
		{"a namesake elsewhere", slash + "    - {name: podinfo-canary, namespace: other, port: 80}\n" + ref("podinfo-primary", ""), 50, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := plainCanary()
			got := gatewayAPI{}.Read(c, routeWith(t, tt.rules, "    []"))
			if got.Primary != tt.primary || got.Canary != tt.canary || !got.Exists {
				t.Errorf("read %d/%d, exists %v; want %d/%d", got.Primary, got.Canary, got.Exists, tt.primary, tt.canary)
			}
		})
	}
}

// plainCanary is the least Canary of provider gatewayapi:v1.
func plainCanary() *v1beta1.Canary {
	c := &v1beta1.Canary{}
	c.Namespace, c.Name, c.UID = "test", "podinfo", "1"
	c.Spec.TargetRef.Name, c.Spec.Service.Port, c.Spec.Provider = "podinfo", 80, "gatewayapi:v1"
	c.Spec.Service.GatewayRefs = append(c.Spec.Service.GatewayRefs, gatewayRef("public"))
	return c
}

func TestAcceptance(t *testing.T) {
	const public, internal = "parentRef: {group: gateway.networking.k8s.io, kind: Gateway, name: public}", "parentRef: {name: internal}"
	both := []string{"public", "internal"}
	cond := func(kind, status string, generation int) string {
		return fmt.Sprintf("{type: %s, status: %q, observedGeneration: %d, reason: Why, message: because, lastTransitionTime: '2026-01-01T00:00:00Z'}",
			kind, status, generation)
	}
	answer := func(parent string, conditions ...string) string {
		return "  - " + parent + "\n    controllerName: example.com/gw\n    conditions: [" + strings.Join(conditions, ", ") + "]\n"
	}
	tests := []struct {
		name     string
		refs     []string
		status   string
		accepted bool
		problem  string // a part of it; empty for none
	}{
		{"accepted", nil, answer(public, cond("Accepted", "True", 3), cond("ResolvedRefs", "True", 3)), true, ""},
		{"accepted without a word on references", nil, answer(public, cond("Accepted", "True", 3)), true, ""},
		{"an older generation is waited for", nil, answer(public, cond("Accepted", "True", 2)), false, ""},
		{"an older refusal says nothing", nil, answer(public, cond("Accepted", "False", 2)), false, ""},
		{"refused", nil, answer(public, cond("Accepted", "False", 3)), false,
			"Gateway test/public refuses HTTPRoute podinfo: Accepted is False, reason Why: because"},
		{"undecided", nil, answer(public, cond("Accepted", "Unknown", 3)), false, ""},
		{"backend missing", nil, answer(public, cond("Accepted", "True", 3), cond("ResolvedRefs", "False", 3)), false, "ResolvedRefs is False"},
		{"older backend trouble", nil, answer(public, cond("Accepted", "True", 3), cond("ResolvedRefs", "False", 2)), true, ""},
		{"partly invalid", nil, answer(public, cond("Accepted", "True", 3), cond("PartiallyInvalid", "True", 3)), false, "PartiallyInvalid is True"},
		{"no answer", nil, "    []", false, "Gateway test/public has not answered"},
		{"answer of another gateway", nil, answer("parentRef: {name: other}", cond("Accepted", "True", 3)), false, "Gateway test/public has not answered"},
		{"namespace spelt out", nil, answer("parentRef: {name: public, namespace: test}", cond("Accepted", "True", 3)), true, ""},
		{"namesake elsewhere", nil, answer("parentRef: {name: public, namespace: other}", cond("Accepted", "True", 3)), false, "has not answered"},
		{"one section of the gateway", nil, answer("parentRef: {name: public, sectionName: https}", cond("Accepted", "True", 3)), false, "has not answered"},
		{"two controllers, one accepts", nil, answer(public, cond("Accepted", "False", 3)) + answer(public, cond("Accepted", "True", 3)), true, ""},
		{"both gateways", both, answer(public, cond("Accepted", "True", 3)) + answer(internal, cond("Accepted", "True", 3)), true, ""},
		{"second gateway silent", both, answer(public, cond("Accepted", "True", 3)), false, "Gateway test/internal has not answered"},
		{"second gateway behind", both, answer(public, cond("Accepted", "True", 3)) + answer(internal, cond("Accepted", "True", 2)), false, ""},
		{"first refuses, second behind", both, answer(public, cond("Accepted", "False", 3)) + answer(internal, cond("Accepted", "True", 2)), false, "refuses"},
		{"first behind, second refuses", both, answer(public, cond("Accepted", "True", 2)) + answer(internal, cond("Accepted", "False", 3)), false, "refuses"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := plainCanary()
			if tt.refs != nil {
				c.Spec.Service.GatewayRefs = nil
			}
			for _, name := range tt.refs {
				c.Spec.Service.GatewayRefs = append(c.Spec.Service.GatewayRefs, gatewayRef(name))
			}
			got := gatewayAPI{}.Read(c, routeWith(t, slash+"    - {name: podinfo-primary}\n", tt.status))
			if got.Accepted != tt.accepted {
				t.Errorf("accepted = %v, problem %q; want %v", got.Accepted, got.Problem, tt.accepted)
			}
			if tt.problem == "" && got.Problem != "" || !strings.Contains(got.Problem, tt.problem) {
				t.Errorf("problem = %q; want %q", got.Problem, tt.problem)
			}
		})
	}
}

// A rule of somebody else's that wins over the Canary's makes its weights a lie.
func TestShadowedRuleIsAProblem(t *testing.T) {
	c := plainCanary()
	accepted := "  - parentRef: {name: public}\n    conditions:\n" +
		"    - {type: Accepted, status: 'True', observedGeneration: 3, reason: Accepted, message: '', lastTransitionTime: '2026-01-01T00:00:00Z'}\n"
	own, other := slash+"    - {name: podinfo-primary}\n", slash+"    - {name: other}\n"
	if got := (gatewayAPI{}).Read(c, routeWith(t, other+own, accepted)); got.Accepted || !strings.Contains(got.Problem, "rule 0 matches the same requests") {
		t.Errorf("read %+v of a shadowed rule", got)
	}
	if got := (gatewayAPI{}).Read(c, routeWith(t, own+other, accepted)); !got.Accepted || got.Problem != "" {
		t.Errorf("read %+v; a later rule is harmless", got)
	}
}

// What an HTTPRoute cannot say is refused by field, value and way out, not left out.
func TestRenderErrors(t *testing.T) {
	exact := &v1beta1.StringMatch{Exact: "x"}
	match := func(m v1beta1.HTTPMatch) func(*v1beta1.CanaryService) {
		return func(s *v1beta1.CanaryService) { s.Match = []v1beta1.HTTPMatch{{URI: exact}, m} }
	}
	tests := []struct {
		change func(*v1beta1.CanaryService)
		want   string
	}{
		{func(s *v1beta1.CanaryService) { s.GatewayRefs = nil }, "spec.service.gatewayRefs is empty"},
		{match(v1beta1.HTTPMatch{Method: &v1beta1.StringMatch{Regex: "G.*"}}), "spec.service.match[1].method"},
		{match(v1beta1.HTTPMatch{URI: &v1beta1.StringMatch{Suffix: ".js"}}), `spec.service.match[1].uri.suffix: ".js"`},
		{match(v1beta1.HTTPMatch{Headers: map[string]v1beta1.StringMatch{"a": {Prefix: "p"}}}), `spec.service.match[1].headers[a].prefix: "p"`},
		{match(v1beta1.HTTPMatch{QueryParams: map[string]v1beta1.StringMatch{"a": {Suffix: "p"}}}), `spec.service.match[1].queryParams[a].suffix: "p"`},
		{func(s *v1beta1.CanaryService) { s.CorsPolicy = &v1beta1.CorsPolicy{MaxAge: "1d"} }, `spec.service.corsPolicy.maxAge: "1d"`},
		{func(s *v1beta1.CanaryService) {
			s.CorsPolicy = &v1beta1.CorsPolicy{AllowOrigins: []v1beta1.StringMatch{{Regex: ".*"}}}
		}, "spec.service.corsPolicy.allowOrigins[0]"},
		{func(s *v1beta1.CanaryService) { s.Timeout = "soon" }, `spec.service.timeout: "soon"`},
		{func(s *v1beta1.CanaryService) { s.BackendTimeout = "200000h" }, `spec.service.backendTimeout: "200000h"`},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			c := plainCanary()
			tt.change(&c.Spec.Service)
			out, err := gatewayAPI{}.Render(c, gatewayAPI{}.Objects(c)[0], nil, core.RouteIntent{Split: core.Split{Primary: 100}})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, object %v; want %q", err, out, tt.want)
			}
		})
	}
}

func TestGatewayDuration(t *testing.T) {
	for in, want := range map[v1beta1.Duration]string{
		"30s": "30s", "90s": "90s", "1.5s": "1s500ms", "0.25m": "15s", "2h30m": "2h30m", "1000000ms": "16m40s", "0s": "0s", "1500us": "1ms", "10us": "0s",
	} {
		got, err := gatewayDuration("timeout", in)
		if err != nil || string(*got) != want {
			t.Errorf("gatewayDuration(%q) = %v, %v; want %s", in, got, err, want)
		}
	}
}

// A condition counts only where everybody else has a rule, and a cookie only where it is given: half of either is read as what it does to users.
func TestReadHalfOfASplit(t *testing.T) {
	c := plainCanary()
	c.Spec.Analysis.Match = []v1beta1.AnalysisMatch{{Headers: map[string]v1beta1.StringMatch{"x-user": {Exact: "me"}}}}
	c.Spec.Analysis.SessionAffinity = &v1beta1.SessionAffinity{CookieName: "c"}
	without := func(s core.Split, rule int) core.Split {
		t.Helper()
		out := render(t, gatewayAPI{}, c, nil, core.RouteIntent{Split: s})
		rules, _, err := unstructured.NestedSlice(out.Object, "spec", "rules")
		if err != nil {
			t.Fatal(err)
		}
		if err := unstructured.SetNestedSlice(out.Object, append(rules[:rule:rule], rules[rule+1:]...), "spec", "rules"); err != nil {
			t.Fatal(err)
		}
		return gatewayAPI{}.Read(c, out).Split
	}
	limited, sticky := core.Split{Canary: 100, Matched: true}, core.Split{Primary: 90, Canary: 10, Cookie: "c=abcdefghij"}
	for _, tt := range []struct {
		name      string
		got, want core.Split
	}{
		{"nobody else has a rule", without(limited, 1), core.Split{Canary: 100}},
		{"nobody who matches has a rule", without(limited, 0), core.Split{Primary: 100}},
		{"nobody who brings the cookie has a rule", without(sticky, 0), core.Split{Primary: 90, Canary: 10}},
		{"nobody is given the cookie", without(sticky, 1), core.Split{Canary: 100}},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: read %+v; want %+v", tt.name, tt.got, tt.want)
		}
	}
}
