package mesh

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"k8s.io/utils/clock"

	"github.com/sluice-dev/sluice/mesh/capability"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// What the capability table says can be run, and what is implemented here, must be the same.
func TestImplementationsMatchTheTable(t *testing.T) {
	if got, want := slices.Sorted(maps.Keys(implementations())), capability.ImplementedNames(); !slices.Equal(got, want) {
		t.Errorf("implemented here: %v; available by the table: %v", got, want)
	}
	for name, p := range implementations() {
		able, _ := capability.Lookup(name)
		for _, o := range p.Objects(plainCanary()) {
			if !slices.Contains(able.Writes, o.Kind) {
				t.Errorf("provider %s keeps %s, the table says %v", name, o.Kind, able.Writes)
			}
		}
	}
}

// A misspelt provider is an error that names the field, the value and those accepted; there is no fallback.
func TestUnknownProviders(t *testing.T) {
	accepted := "use one of: " + strings.Join(capability.ImplementedNames(), ", ")
	for _, name := range []string{"gatewayapi", "Kubernetes", "none", "gatewayapi:v2", "knative"} {
		if _, err := New(nil, nil, name, clock.RealClock{}); err == nil || !strings.Contains(err.Error(), accepted) || !strings.Contains(err.Error(), `"`+name+`"`) {
			t.Errorf("New with default %q: %v", name, err)
		}
		r, err := New(nil, nil, "kubernetes", clock.RealClock{})
		if err != nil {
			t.Fatal(err)
		}
		c := plainCanary()
		c.Spec.Provider = name
		_, trafficErr := r.Traffic(c)
		_, watchErr := r.Watches(c)
		_, readErr := r.Read(t.Context(), c)
		_, writeErr := r.Write(t.Context(), c, core.RouteIntent{Split: core.Split{Primary: 100}})
		for _, err := range []error{trafficErr, watchErr, readErr, writeErr} {
			if err == nil || !strings.Contains(err.Error(), "spec.provider") || !strings.Contains(err.Error(), accepted) {
				t.Errorf("provider %q: %v", name, err)
			}
		}
	}
}

func TestEffectiveProvider(t *testing.T) {
	tests := []struct {
		fallback, own string
		weighted      bool
		watched       int
		fails         bool
	}{
		{"kubernetes", "", false, 0, false},
		{"kubernetes", "gatewayapi:v1", true, 1, false},
		{"gatewayapi:v1", "", true, 1, false},
		{"gatewayapi:v1", "kubernetes", false, 0, false},
		{"", "gatewayapi:v1:traefik", true, 1, false},
		{"", "", false, 0, true},
	}
	for _, tt := range tests {
		r, err := New(nil, nil, tt.fallback, clock.RealClock{})
		if err != nil {
			t.Fatal(err)
		}
		c := plainCanary()
		c.Spec.Provider = tt.own
		traffic, err := r.Traffic(c)
		if traffic.Weighted != tt.weighted || (err != nil) != tt.fails {
			t.Errorf("default %q, own %q: traffic %+v, %v", tt.fallback, tt.own, traffic, err)
		}
		if tt.weighted && traffic.Drain <= 0 {
			t.Errorf("default %q, own %q: a proxy without drain time", tt.fallback, tt.own)
		}
		if kinds, _ := r.Watches(c); len(kinds) != tt.watched {
			t.Errorf("default %q, own %q: watches %v", tt.fallback, tt.own, kinds)
		}
	}
}

// Without an object, all users are on the primary and there is nothing to write: a nil client is never called.
func TestKubernetesNeedsNoObject(t *testing.T) {
	r, err := New(nil, nil, "kubernetes", clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	c := plainCanary()
	c.Spec.Provider = ""
	want := core.Route{Split: core.Split{Primary: 100}, Exists: true, Accepted: true}
	if got, err := r.Read(t.Context(), c); err != nil || got != want {
		t.Errorf("Read = %+v, %v; want %+v", got, err, want)
	}
	for _, intent := range []core.RouteIntent{{Split: core.Split{Primary: 100}}, {Split: core.Split{Canary: 100}}, {Split: core.Split{Primary: 100}, ViaApex: true}} {
		if changed, err := r.Write(t.Context(), c, intent); changed || err != nil {
			t.Errorf("Write(%+v) = %v, %v", intent, changed, err)
		}
	}
}

func TestSplitsThatDoNotSumTo100AreRefused(t *testing.T) {
	r, err := New(nil, nil, "", clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	for _, intent := range []core.RouteIntent{{}, {Split: core.Split{Primary: 50, Canary: 49}}, {Split: core.Split{Primary: 101}}, {Split: core.Split{Primary: 110, Canary: -10}}} {
		if _, err := r.Write(t.Context(), plainCanary(), intent); err == nil || !strings.Contains(err.Error(), "sum to 100") {
			t.Errorf("Write(%+v): %v", intent, err)
		}
	}
}
