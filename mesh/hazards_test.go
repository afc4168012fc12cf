package mesh

import (
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// The cookie of a canary is recognised as it is: neither as a part of another one, nor by what its name means as an expression.
func TestCookiesAreRecognisedWhole(t *testing.T) {
	pattern := regexp.MustCompile(cookiePattern("c.n=a+c"))
	for header, want := range map[string]bool{
		"c.n=a+c": true, "a=b; c.n=a+c; d=e": true, "xc.n=a+c": false, "czn=a+c": false, "c.n=a+cd": false, "c.n=aac": false, "a=c.n=a+c": false,
	} {
		if got := pattern.MatchString(header); got != want {
			t.Errorf("%s on %q: %v, want %v", pattern, header, got, want)
		}
	}
}

// Who brings the cookie has to meet the conditions of the application, too: each rule has them.
func TestRulesOfCookiesKeepTheConditionsOfTheApplication(t *testing.T) {
	for name, tt := range map[string]struct {
		p    Provider
		list string
	}{"istio": {istio{}, "http"}, "gatewayapi": {gatewayAPI{}, "rules"}} {
		t.Run(name, func(t *testing.T) {
			c := plainCanary()
			c.Spec.Service.Match = []v1beta1.HTTPMatch{{Headers: map[string]v1beta1.StringMatch{"x-tenant": {Exact: "a"}}}}
			c.Spec.Analysis.SessionAffinity = &v1beta1.SessionAffinity{CookieName: "c"}
			intent := core.RouteIntent{Split: core.Split{Primary: 90, Canary: 10, Cookie: "c=v", PrimaryCookie: "p=v"}}
			objects := tt.p.Objects(c)
			out, err := tt.p.Render(c, objects[len(objects)-1], nil, intent)
			if err != nil {
				t.Fatal(err)
			}
			rules := mapsIn(out.Object["spec"].(map[string]any)[tt.list])
			if len(rules) != 3 {
				t.Fatalf("%d rules, want those of two cookies and of everybody", len(rules))
			}
			for i, rule := range rules {
				conditions := string(toYAML(t, map[string]any{"of": rule[matchesWord(tt.list)]}))
				if !strings.Contains(conditions, "x-tenant") || strings.Contains(conditions, "v(") != (i < 2) {
					t.Errorf("rule %d is for\n%s", i, conditions)
				}
			}
		})
	}
}

func matchesWord(list string) string {
	if list == "http" {
		return "match"
	}
	return "matches"
}

// The header that takes a cookie back is for who brings that cookie, also where all answers are given headers.
func TestACookieIsTakenBackFromWhoBringsItOnly(t *testing.T) {
	c := plainCanary()
	c.Spec.Service.Headers = &v1beta1.HeaderOperations{Response: &v1beta1.HeaderOperation{Add: map[string]string{"x-by": "podinfo"}}}
	c.Spec.Analysis.SessionAffinity = &v1beta1.SessionAffinity{CookieName: "c", Domain: "example.com", Path: "/app"}
	objects := istio{}.Objects(c)
	out, err := istio{}.Render(c, objects[len(objects)-1], nil, core.RouteIntent{Split: core.Split{Primary: 100, Revoked: "c=v"}})
	if err != nil {
		t.Fatal(err)
	}
	rules := mapsIn(out.Object["spec"].(map[string]any)["http"])
	if len(rules) != 2 {
		t.Fatalf("%d rules, want one for who brings the cookie and one for everybody", len(rules))
	}
	for i, rule := range rules {
		text := string(toYAML(t, rule))
		taken := strings.Contains(text, "Set-Cookie: c=v; Max-Age=-1; Domain=example.com; Path=/app")
		if taken != (i == 0) || strings.Contains(text, "Set-Cookie") != (i == 0) || !strings.Contains(text, "x-by: podinfo") {
			t.Errorf("rule %d:\n%s", i, text)
		}
	}
	if len(c.Spec.Service.Headers.Response.Add) != 1 {
		t.Errorf("the Canary's own headers became %v", c.Spec.Service.Headers.Response.Add)
	}
}

// A VirtualService that becomes a delegate loses the hosts and gateways that it had.
func TestADelegateLosesItsHosts(t *testing.T) {
	c := plainCanary()
	c.Spec.Service.Delegation, c.Spec.Service.Hosts, c.Spec.Service.Gateways = true, nil, nil
	objects := istio{}.Objects(c)
	o := objects[len(objects)-1]
	theirs := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": o.Name}, "spec": map[string]any{
		"hosts": []any{"example.com"}, "gateways": []any{"public"}, "exportTo": []any{"."},
	}}}
	out, err := istio{}.Render(c, o, theirs, core.RouteIntent{Split: core.Split{Primary: 100}})
	if err != nil {
		t.Fatal(err)
	}
	spec := out.Object["spec"].(map[string]any)
	if spec["hosts"] != nil || spec["gateways"] != nil || spec["exportTo"] == nil || theirs.Object["spec"].(map[string]any)["hosts"] == nil {
		t.Errorf("taken over as\n%s", toYAML(t, spec))
	}
}
