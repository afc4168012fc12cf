package mesh

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/mesh/capability"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// Whatever a Canary asks for and whatever others put into the route, with every provider: the split read back is the one written, its weights explicit and
// summing to 100, a second rendering changes nothing, and rules of others are all there, in their order.
func TestReadIsTheInverseOfRender(t *testing.T) {
	for name, p := range implementations() {
		able, _ := capability.Lookup(name)
		if !able.Splits {
			continue
		}
		rounds := uint64(100)
		if _, rules := p.(dialect); rules {
			rounds = 600
		}
		t.Run(name, func(t *testing.T) {
			for seed := range rounds {
				checkInverse(t, p, generator{rand.New(rand.NewPCG(seed, 7)), able}, seed)
			}
		})
	}
}

func checkInverse(t *testing.T, p Provider, g generator, seed uint64) {
	t.Helper()
	c := g.canary()
	p = informed(t, p, c)
	foreign := g.foreignRules(p)
	intent := core.RouteIntent{Split: g.split(c)}

	out := render(t, p, c, g.live(t, p, c, foreign), intent)
	if got := p.Read(c, out); got.Split != intent.Split || !got.Exists || got.ViaApex {
		t.Fatalf("seed %d: wrote %+v, read %+v from\n%s", seed, intent, got, toYAML(t, out))
	}
	if again := render(t, p, c, out, intent); !equal(again, out) {
		t.Fatalf("seed %d: a second pass changes\n%s", seed, toYAML(t, out))
	}
	if in, ok := p.(dialect); ok {
		checkRules(t, in, seed, c, out, foreign)
	}

	// Another split and back again leaves nothing behind.
	next := core.RouteIntent{Split: g.split(c)}
	moved := render(t, p, c, out, next)
	if got := p.Read(c, moved); got.Split != next.Split {
		t.Fatalf("seed %d: from %+v to %+v, read %+v from\n%s", seed, intent, next, got, toYAML(t, moved))
	}
	if back := render(t, p, c, moved, intent); !equal(back, out) {
		t.Fatalf("seed %d: a split and back again changes\n%s", seed, toYAML(t, back))
	}
	checkDiverted(t, p, seed, c, out, next)
	checkDiverted(t, p, seed, c, moved, core.RouteIntent{Split: core.Split{Primary: 100}})
	given := p.Divert(c, out, core.RouteIntent{Split: core.Split{Primary: 100}, ViaApex: true})
	if got := p.Read(c, given); got.Split != (core.Split{Primary: 100}) || !got.ViaApex {
		t.Fatalf("seed %d: given back, but read %+v from\n%s", seed, got, toYAML(t, given))
	}
}

// checkDiverted holds that diverting a route gives the canary no more than was asked for, and that rendering makes up for what is missing. With everybody
// on the primary nothing is missing.
func checkDiverted(t *testing.T, p Provider, seed uint64, c *v1beta1.Canary, live *unstructured.Unstructured, to core.RouteIntent) {
	t.Helper()
	diverted := p.Divert(c, live, to)
	got := p.Read(c, diverted)
	wide := to.Matched && !got.Matched && got.Canary > 0
	if got.Canary > to.Canary || wide || got.Mirror > 0 && to.Mirror == 0 || got.Cookie != "" && got.Cookie != to.Cookie {
		t.Fatalf("seed %d: diverted to %+v, read %+v from\n%s", seed, to, got, toYAML(t, diverted))
	}
	want := render(t, p, c, live, to)
	if to.Split == (core.Split{Primary: 100}) && !equal(diverted, want) {
		t.Fatalf("seed %d: diverting differs from rendering\n%s\nand\n%s", seed, toYAML(t, diverted), toYAML(t, want))
	}
	if rendered := render(t, p, c, diverted, to); !equal(rendered, want) {
		t.Fatalf("seed %d: rendering over what was diverted differs\n%s\nand\n%s", seed, toYAML(t, rendered), toYAML(t, want))
	}
}

func render(t *testing.T, p Provider, c *v1beta1.Canary, live *unstructured.Unstructured, intent core.RouteIntent) *unstructured.Unstructured {
	t.Helper()
	objects := p.Objects(c)
	out, err := p.Render(c, objects[len(objects)-1], live, intent)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// checkRules holds that the Canary's rules stand together, with explicit weights, and that all of the foreign ones are there.
func checkRules(t *testing.T, in dialect, seed uint64, c *v1beta1.Canary, out *unstructured.Unstructured, foreign []any) {
	t.Helper()
	s := servicesOf(c, in)
	rules, _, err := unstructured.NestedSlice(out.Object, in.list(c)...)
	if err != nil {
		t.Fatal(err)
	}
	var others []any
	owned, last := 0, -1
	for i, rule := range mapsIn(rules) {
		if !s.owned(rule) {
			others = append(others, rule)
			continue
		}
		if owned > 0 && last != i-1 {
			t.Fatalf("seed %d: rule %d stands apart", seed, i)
		}
		owned, last = owned+1, i
		sum := int64(0)
		for _, ref := range in.destinations(rule) {
			weight, explicit := ref["weight"].(int64)
			if !explicit {
				t.Fatalf("seed %d: a weight is not explicit: %v", seed, ref)
			}
			sum += weight
		}
		if sum != 100 {
			t.Fatalf("seed %d: weights sum to %d", seed, sum)
		}
	}
	if owned == 0 || !equal(others, foreign) {
		t.Fatalf("seed %d: %d rules of the Canary's, others %v; want others %v", seed, owned, others, foreign)
	}
}

// generator makes up Canaries and routes that a provider can express.
type generator struct {
	*rand.Rand
	able capability.Provider
}

func (g generator) maybe() bool { return g.IntN(2) == 0 }

func (g generator) canary() *v1beta1.Canary {
	c := &v1beta1.Canary{}
	c.Namespace, c.Name, c.UID = "test", "podinfo", "1"
	c.Spec.TargetRef.Name = "podinfo"
	s := &c.Spec.Service
	s.Port = 1 + g.Int32N(65535)
	if g.maybe() {
		s.Name = "web"
	}
	for i := range 1 + g.IntN(3) {
		s.GatewayRefs = append(s.GatewayRefs, gatewayv1.ParentReference{Name: gatewayv1.ObjectName(fmt.Sprint("gw", i))})
	}
	for i := range g.IntN(3) {
		s.Hosts = append(s.Hosts, fmt.Sprintf("h%d.example.com", i))
	}
	c.Spec.IngressRef = &v1beta1.LocalObjectReference{Name: "public"}
	c.Spec.RouteRef = &v1beta1.LocalObjectReference{Name: "public"}
	c.Spec.UpstreamRef = &v1beta1.NamespacedObjectReference{LocalObjectReference: v1beta1.LocalObjectReference{Name: "public"}}
	g.traffic(s)
	for range g.IntN(4) {
		s.Match = append(s.Match, g.match())
	}
	if most := g.able.ServiceMatch.MaxEntries; most > 0 {
		s.Match = nil
	}
	for i := range g.IntN(3) {
		if most := g.able.AnalysisMatch; !g.able.Available.ABTesting || most.MaxHeaders+most.MaxEntries > 0 && i > 0 {
			break
		}
		m := v1beta1.AnalysisMatch{Headers: map[string]v1beta1.StringMatch{"cookie": {Regex: fmt.Sprintf("^(.*?;)?(canary=always%d)(;.*)?$", i)}}}
		switch headers := g.able.AnalysisMatch.Headers; {
		case g.able.AnalysisMatch.Cookie:
			c.Spec.Analysis.Match = g.headerOrCookie()
			continue
		case !headers.Has(capability.Regex) || g.maybe():
			m = v1beta1.AnalysisMatch{Headers: map[string]v1beta1.StringMatch{"X-0": {Exact: "b"}, "x-user": {Exact: fmt.Sprint("u", i)}}}
		}
		c.Spec.Analysis.Match = append(c.Spec.Analysis.Match, m)
	}
	if g.able.Available.SessionAffinity && g.maybe() {
		c.Spec.Analysis.SessionAffinity = &v1beta1.SessionAffinity{CookieName: "c.n", PrimaryCookieName: "p+n", Path: "/", Secure: g.maybe(), Domain: "example.com"}
	}
	return c
}

// headerOrCookie are conditions for a provider that knows one header and one cookie.
func (g generator) headerOrCookie() []v1beta1.AnalysisMatch {
	header := v1beta1.AnalysisMatch{Headers: map[string]v1beta1.StringMatch{"x-user": {Exact: "me"}}}
	if g.maybe() {
		header.Headers["x-user"] = v1beta1.StringMatch{Regex: "a.*"}
	}
	cookie := v1beta1.AnalysisMatch{Headers: map[string]v1beta1.StringMatch{"Cookie": {Exact: "canary"}}}
	return [][]v1beta1.AnalysisMatch{{header}, {cookie}, {header, cookie}}[g.IntN(3)]
}

// split makes up one that the Canary can be in.
func (g generator) split(c *v1beta1.Canary) core.Split {
	s := core.Split{Canary: g.IntN(101)}
	if g.IntN(4) == 0 {
		s.Canary = 0
	}
	s.Primary = 100 - s.Canary
	if s.Canary == 0 && g.able.Available.MirrorCanary && g.maybe() {
		s.Mirror = 1 + g.IntN(100)
	}
	s.Matched = len(c.Spec.Analysis.Match) > 0 && s.Canary+s.Mirror > 0 && g.maybe()
	if s.Matched && g.able.AnalysisMatch.Together {
		s.Primary, s.Canary = 0, 100
	}
	if c.Spec.Analysis.SessionAffinity == nil {
		return s
	}
	switch {
	case s.Canary == 0 || g.IntN(4) == 0:
		s.Revoked = []string{"", "c.n=abcdefghij", "c.n=XYZabcdefg"}[g.IntN(3)]
	default:
		s.Cookie = []string{"c.n=abcdefghij", "c.n=klmnopqrst"}[g.IntN(2)]
		s.PrimaryCookie = []string{"", "p+n=abcdefghij"}[g.IntN(2)]
		if !g.able.Available.PrimaryCookie {
			s.PrimaryCookie = ""
		}
	}
	return s
}

func (g generator) match() v1beta1.HTTPMatch {
	m := v1beta1.HTTPMatch{URI: &v1beta1.StringMatch{Prefix: fmt.Sprint("/p", g.IntN(9))}, Headers: map[string]v1beta1.StringMatch{}}
	if g.maybe() {
		m.URI = nil
	}
	for i := range g.IntN(5) {
		m.Headers[fmt.Sprint("x-", i)] = v1beta1.StringMatch{Regex: "a.*"}
	}
	if g.maybe() {
		m.QueryParams = map[string]v1beta1.StringMatch{"a": {Exact: "1"}, "b": {Exact: "2"}, "c": {Regex: "3"}}
	}
	return m
}

// traffic fills in what is not about matching.
func (g generator) traffic(s *v1beta1.CanaryService) {
	if g.maybe() {
		s.Timeout = v1beta1.Duration(fmt.Sprintf("%dms", g.IntN(200000)))
	}
	if g.maybe() {
		s.Headers = &v1beta1.HeaderOperations{Request: &v1beta1.HeaderOperation{Add: map[string]string{"b": "1", "a": "2", "c": "3"}}}
	}
	if g.maybe() {
		s.Headers = &v1beta1.HeaderOperations{Response: &v1beta1.HeaderOperation{Set: map[string]string{"b": "1"}, Add: map[string]string{"x": "y"}}}
		if g.maybe() {
			s.Headers.Response.Add = map[string]string{"set-cookie": "of=theirs; Max-Age=-1", "x": "y"}
		}
	}
	if g.maybe() {
		s.Rewrite = &v1beta1.HTTPRewrite{URI: "/new"}
	}
	if g.maybe() {
		s.CorsPolicy = &v1beta1.CorsPolicy{AllowOrigin: []string{"https://a.example.com"}}
	}
	if g.maybe() {
		s.Mirror = []gatewayv1.HTTPRequestMirrorFilter{{BackendRef: gatewayv1.BackendObjectReference{Name: "shadow"}}}
	}
}

// foreignRules are rules that no Canary may touch: to other Services, to a namesake in another namespace, without a backend. None where an object has no
// rules.
func (g generator) foreignRules(p Provider) []any {
	foreign := map[string]func(kind int) map[string]any{"matches": g.foreignHTTPRoute, "match": g.foreignVirtualService, "conditions": g.foreignHTTPProxy,
		"matchers": g.foreignRouteTable, "httpRoute": g.foreignVirtualRouter, "http": g.foreignVirtualServiceOfOld}
	in, ok := p.(dialect)
	if !ok {
		return nil
	}
	field, _ := in.words()
	n := g.IntN(4)
	out := make([]any, 0, n)
	for i := range n {
		rule := foreign[field](g.IntN(3))
		rule["name"] = fmt.Sprint("foreign-", i)
		out = append(out, rule)
	}
	return out
}

func (g generator) foreignHTTPRoute(kind int) map[string]any {
	rule := map[string]any{"matches": []any{map[string]any{"path": map[string]any{"type": "Exact", "value": fmt.Sprint("/f", g.IntN(9))}}}}
	switch kind {
	case 0:
		rule["backendRefs"] = []any{map[string]any{"kind": "Service", "name": "other", "port": int64(80), "weight": int64(g.IntN(5))}}
	case 1:
		rule["backendRefs"] = []any{map[string]any{"kind": "Service", "name": "web-canary", "namespace": "elsewhere", "port": int64(80)}}
	default:
		rule["filters"] = []any{map[string]any{"type": "RequestRedirect"}}
	}
	return rule
}

func (g generator) foreignVirtualService(kind int) map[string]any {
	rule := map[string]any{"match": []any{map[string]any{"uri": map[string]any{"exact": fmt.Sprint("/f", g.IntN(9))}}}}
	switch kind {
	case 0:
		rule["route"] = []any{map[string]any{"destination": map[string]any{"host": "other"}, "weight": int64(g.IntN(5))}}
	case 1:
		rule["route"] = []any{map[string]any{"destination": map[string]any{"host": "web-canary.elsewhere.svc.cluster.local"}}}
	default:
		rule["redirect"] = map[string]any{"uri": "/gone"}
	}
	return rule
}

func (g generator) foreignHTTPProxy(kind int) map[string]any {
	rule := map[string]any{"conditions": []any{map[string]any{"prefix": fmt.Sprint("/f", g.IntN(9))}}}
	switch kind {
	case 0:
		rule["services"] = []any{map[string]any{"name": "other", "port": int64(80), "weight": int64(g.IntN(5))}}
	case 1:
		rule["services"] = []any{map[string]any{"name": "other", "port": int64(80)}, map[string]any{"name": "web-canary", "port": int64(80), "mirror": true}}
	default:
		rule["requestRedirectPolicy"] = map[string]any{"hostname": "gone.example.com"}
	}
	return rule
}

func (g generator) foreignRouteTable(kind int) map[string]any {
	rule := map[string]any{"matchers": []any{map[string]any{"prefix": fmt.Sprint("/f", g.IntN(9))}}}
	upstream := func(name, namespace string) map[string]any {
		return map[string]any{"upstream": map[string]any{"name": name, "namespace": namespace}}
	}
	switch kind {
	case 0:
		rule["routeAction"] = map[string]any{"single": upstream("test-other-80", "gloo-system")}
	case 1:
		rule["routeAction"] = map[string]any{"multi": map[string]any{"destinations": []any{
			map[string]any{"destination": upstream("elsewhere-web-canaryupstream-80", "elsewhere"), "weight": int64(g.IntN(5))},
			map[string]any{"destination": upstream("test-web-canaryupstream-80", "elsewhere"), "weight": int64(1)},
		}}}
	default:
		rule["delegateAction"] = map[string]any{"ref": map[string]any{"name": "other", "namespace": "test"}}
	}
	return rule
}

func (g generator) foreignVirtualRouter(kind int) map[string]any {
	targets := []any{map[string]any{"virtualNodeRef": map[string]any{"name": "other"}, "weight": int64(g.IntN(5))}}
	field := []string{"httpRoute", "http2Route", "tcpRoute"}[kind]
	if kind == 1 {
		targets = []any{map[string]any{"virtualNodeRef": map[string]any{"name": "web-canary", "namespace": "elsewhere"}, "weight": int64(1)}}
	}
	match := map[string]any{"prefix": fmt.Sprint("/f", g.IntN(9))}
	return map[string]any{"priority": int64(g.IntN(9)), field: map[string]any{"match": match, "action": map[string]any{"weightedTargets": targets}}}
}

func (g generator) foreignVirtualServiceOfOld(kind int) map[string]any {
	name := []string{"other", "web-canary.elsewhere", "elsewhere"}[kind]
	targets := []any{map[string]any{"virtualNodeName": name, "weight": int64(g.IntN(5))}}
	match := map[string]any{"prefix": fmt.Sprint("/f", g.IntN(9))}
	return map[string]any{"http": map[string]any{"match": match, "action": map[string]any{"weightedTargets": targets}}}
}

// live puts the foreign rules into a route, which may hold an old rule of the Canary's anywhere among them; nil when there is nothing to hold.
func (g generator) live(t *testing.T, p Provider, c *v1beta1.Canary, foreign []any) *unstructured.Unstructured {
	t.Helper()
	in, ok := p.(dialect)
	if !ok {
		if g.maybe() {
			return nil
		}
		return render(t, p, c, nil, core.RouteIntent{Split: g.split(c)})
	}
	if len(foreign) == 0 && g.maybe() {
		return nil
	}
	rules := append([]any{}, foreign...)
	if g.maybe() {
		old, err := in.render(c, core.RouteIntent{Split: g.split(c)})
		if err != nil {
			t.Fatal(err)
		}
		at := g.IntN(len(rules) + 1)
		rules = append(rules[:at:at], append(anys(old), rules[at:]...)...)
	}
	objects := p.Objects(c)
	u := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": objects[len(objects)-1].Name, "namespace": "test"}, "spec": map[string]any{"hostnames": []any{"old.example.com"}},
	}}
	u.SetGroupVersionKind(objects[len(objects)-1].Kind)
	if err := unstructured.SetNestedSlice(u.Object, rules, in.list(c)...); err != nil {
		t.Fatal(err)
	}
	return u
}
