package capability

import (
	"slices"
	"testing"
)

func TestLookup(t *testing.T) {
	tests := []struct {
		spelling, want string
		ok             bool
	}{
		{"kubernetes", "kubernetes", true},
		{"gatewayapi:v1", "gatewayapi:v1", true},
		{"gatewayapi:v1:traefik", "gatewayapi:v1", true},
		{"gatewayapi:v1beta1", "gatewayapi:v1beta1", true},
		{"smi:v1alpha2:istio", "smi:v1alpha2", true},
		{"appmesh", "appmesh", true},
		{"appmesh:v1beta2", "appmesh:v1beta2", true},
		{"gloo:v1", "gloo", true},
		// No fallback: what is not in the table is unknown.
		{"", "", false},
		{"none", "", false},
		{"Istio", "", false},
		{"istio:v1", "", false},
		{"gatewayapi", "", false},
		{"gatewayapi:", "", false},
		{"gatewayapi:v1alpha2", "", false},
		{"gatewayapi:v1:", "", false},
		{"appmesh:v1beta1", "", false},
		{"smi:v1alpha4", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.spelling, func(t *testing.T) {
			p, ok := Lookup(tt.spelling)
			if ok != tt.ok || p.Name != tt.want {
				t.Errorf("Lookup(%q) = %q, %v; want %q, %v", tt.spelling, p.Name, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestNames(t *testing.T) {
	want := []string{
		"apisix", "appmesh", "appmesh:v1beta2", "contour", "gatewayapi:v1", "gatewayapi:v1beta1", "gloo", "istio", "knative",
		"kubernetes", "kuma", "linkerd", "nginx", "osm", "skipper", "smi:v1alpha1", "smi:v1alpha2", "smi:v1alpha3", "traefik",
	}
	if got := Names(); !slices.Equal(got, want) {
		t.Errorf("Names() = %v; want %v", got, want)
	}
	if got, want := ImplementedNames(), []string{
		"apisix", "appmesh", "appmesh:v1beta2", "contour", "gatewayapi:v1", "gatewayapi:v1beta1", "gloo", "istio", "kubernetes", "kuma", "linkerd", "nginx", "osm", "skipper", "smi:v1alpha1",
		"smi:v1alpha2",
		"smi:v1alpha3", "traefik",
	}; !slices.Equal(got, want) {
		t.Errorf("ImplementedNames() = %v; want %v", got, want)
	}
}

// A row that contradicts itself would let admission accept what no route can do.
func TestRowsAreConsistent(t *testing.T) {
	for _, p := range providers() {
		t.Run(p.Name, func(t *testing.T) {
			s := p.Strategies
			if !s.BlueGreen {
				t.Error("no blue/green: every provider can turn the apex Service")
			}
			if s.Canary != p.Splits {
				t.Errorf("Canary = %v but Splits = %v", s.Canary, p.Splits)
			}
			if p.Splits == (len(p.Writes) == 0) {
				t.Errorf("Splits = %v but writes %v", p.Splits, p.Writes)
			}
			if s.ABTesting == p.AnalysisMatch.None() {
				t.Errorf("ABTesting = %v but AnalysisMatch = %+v", s.ABTesting, p.AnalysisMatch)
			}
			if s.PrimaryCookie && !s.SessionAffinity {
				t.Error("a primary cookie without session affinity")
			}
			if p.Drain <= 0 {
				t.Errorf("Drain = %v; want a positive time", p.Drain)
			}
			if missing := beyond(p.Available, s); missing != "" {
				t.Errorf("%s is available but cannot be expressed", missing)
			}
		})
	}
}

// Connections have no requests: what is about requests is left out, with every provider that has a route of its own for them.
func TestForTCP(t *testing.T) {
	p, _ := Lookup("istio")
	if got := p.For("TCP"); got.Available != (Strategies{Canary: true, BlueGreen: true}) || got.Strategies != got.Available || !got.AnalysisMatch.None() {
		t.Errorf("istio over TCP: %+v", got)
	}
	if got := p.For("http"); got.Available != p.Available || got.AnalysisMatch != p.AnalysisMatch {
		t.Errorf("istio over HTTP: %+v", got)
	}
	if other, _ := Lookup("gatewayapi:v1"); other.For("tcp").Available != other.Available {
		t.Error("gatewayapi:v1 knows no route for connections")
	}
}

// beyond names a strategy of a that b lacks.
func beyond(a, b Strategies) string {
	for _, c := range []struct {
		name string
		a, b bool
	}{
		{"Canary", a.Canary, b.Canary}, {"ABTesting", a.ABTesting, b.ABTesting}, {"BlueGreen", a.BlueGreen, b.BlueGreen},
		{"MirrorCanary", a.MirrorCanary, b.MirrorCanary}, {"MirrorBlueGreen", a.MirrorBlueGreen, b.MirrorBlueGreen},
		{"SessionAffinity", a.SessionAffinity, b.SessionAffinity}, {"PrimaryCookie", a.PrimaryCookie, b.PrimaryCookie},
	} {
		if c.a && !c.b {
			return c.name
		}
	}
	return ""
}

func TestModes(t *testing.T) {
	m := Exact | Regex
	if got, want := m.String(), "exact, regex"; got != want {
		t.Errorf("String() = %q; want %q", got, want)
	}
	if !m.Has(Regex) || m.Has(Prefix) || m.Has(Exact|Prefix) {
		t.Errorf("Has is wrong for %v", m)
	}
	if got := Modes(0).String(); got != "none" {
		t.Errorf("String() of no mode = %q; want none", got)
	}
}
