//go:build integration

package mesh

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// splits are one of each kind.
func splits() map[string]core.Split {
	return map[string]core.Split{
		"shares":              {Primary: 70, Canary: 30},
		"conditions":          {Canary: 100, Matched: true},
		"shares of those who": {Primary: 60, Canary: 40, Matched: true},
		"copies":              {Primary: 100, Mirror: 100},
		"some copies":         {Primary: 100, Mirror: 7},
		"copies of those who": {Primary: 100, Mirror: 7, Matched: true},
		"cookies":             {Primary: 90, Canary: 10, Cookie: "canary.cookie=abcdefghij", PrimaryCookie: "primary.cookie=abcdefghij"},
		"one cookie":          {Primary: 90, Canary: 10, Cookie: "canary.cookie=abcdefghij"},
		"cookies and who":     {Primary: 90, Canary: 10, Matched: true, Cookie: "canary.cookie=abcdefghij"},
		"taken back":          {Primary: 100, Revoked: "canary.cookie=abcdefghij"},
		"being taken back":    {Primary: 80, Canary: 20, Revoked: "canary.cookie=abcdefghij"},
	}
}

// busyCanary asks for all that a split can be about.
func busyCanary(c *v1beta1.Canary) {
	c.Spec.Service.Match = []v1beta1.HTTPMatch{{URI: &v1beta1.StringMatch{Prefix: "/api"}}, {URI: &v1beta1.StringMatch{Prefix: "/web"}}}
	c.Spec.Analysis.Interval = "10s"
	c.Spec.Analysis.Match = []v1beta1.AnalysisMatch{
		{Headers: map[string]v1beta1.StringMatch{"x-user": {Exact: "me"}}}, {Headers: map[string]v1beta1.StringMatch{"cookie": {Regex: "^(.*?;)?(canary=always)(;.*)?$"}}},
	}
	c.Spec.Analysis.SessionAffinity = &v1beta1.SessionAffinity{
		CookieName: "canary.cookie", PrimaryCookieName: "primary.cookie", Domain: "example.com", Path: "/", HTTPOnly: true, Partitioned: true, Secure: true, SameSite: "None",
	}
}

// Every kind of split is stored by an API server as it was rendered, read back as it was asked for, repaired rule by rule, closed by a fence, and given
// back.
func TestSplitsOnAnAPIServer(t *testing.T) {
	for name, split := range splits() {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			told, broken := 0, 0
			s.router.Drifted = func(*v1beta1.Canary, core.Drift) { told++ }
			busyCanary(s.canary)
			s.write(100, 0)
			intent := core.RouteIntent{Split: split}
			bring := func(what string) {
				t.Helper()
				if changed, err := s.router.Write(t.Context(), s.canary, intent); err != nil || !changed {
					t.Fatalf("%s: changed %v, %v", what, changed, err)
				}
				if route := s.synced(); route.Split != split {
					t.Fatalf("%s: read %+v; want %+v", what, route.Split, split)
				}
				s.settled(intent)
			}
			bring("first")
			s.answer()
			if route := s.synced(); !route.Accepted {
				t.Errorf("accepted: %+v", route)
			}
			for i := range s.rules() {
				s.breakRule(i)
				broken++
				bring("repaired")
			}
			if err := s.router.Fence(t.Context(), s.canary, fenceFor("configmap/page", 1)); err != nil {
				t.Fatal(err)
			}
			if route := s.synced(); route.Split != (core.Split{Primary: 100}) || route.Fence == nil {
				t.Errorf("fenced: %+v", route)
			}
			bring("opened again")
			if told != broken {
				t.Errorf("%d rules were broken by hand, %d changes were told", broken, told)
			}
			if err := s.router.GiveBack(t.Context(), s.canary); err != nil {
				t.Fatal(err)
			}
			if route := s.synced(); route.Split != (core.Split{Primary: 100}) || !route.ViaApex || len(s.rules()) != 1 {
				t.Errorf("given back: %+v with %d rules", route, len(s.rules()))
			}
		})
	}
}

func (s *stage) rules() []any {
	s.Helper()
	rules, _, err := unstructured.NestedSlice(s.live().Object, "spec", "rules")
	if err != nil {
		s.Fatal(err)
	}
	return rules
}

// breakRule takes a rule out, or all destinations of the only one.
func (s *stage) breakRule(i int) {
	s.Helper()
	u, rules := s.live(), s.rules()
	if len(rules) > 1 {
		rules = append(rules[:i:i], rules[i+1:]...)
	} else {
		rules = []any{map[string]any{"backendRefs": []any{map[string]any{"name": s.canary.Spec.TargetRef.Name + "-canary", "port": int64(80)}}}}
	}
	if err := unstructured.SetNestedSlice(u.Object, rules, "spec", "rules"); err != nil {
		s.Fatal(err)
	}
	if err := world.admin.Update(s.Context(), u); err != nil {
		s.Fatal(err)
	}
	s.synced()
}
