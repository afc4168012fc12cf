package capability

import (
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Provider is what one routing provider can do.
type Provider struct {
	// Name is the canonical spelling, as in spec.provider.
	Name string
	// Parametric providers also accept NAME:SUFFIX, where the suffix picks an implementation.
	Parametric bool
	// Writes lists the kinds of objects that the provider's routes consist of, beside the generated Services.
	Writes []schema.GroupVersionKind
	// Splits tells whether traffic can be divided by weight. Where not, only blue/green is possible.
	Splits bool
	// Strategies are those that the provider's routes can express.
	Strategies Strategies
	// Available are those of the Strategies that this build can run; none for a provider that is not implemented.
	Available Strategies
	// OptionalMirror tells that mirroring is left to implementations, which need not say whether they can.
	OptionalMirror bool
	// ServiceMatch is what of spec.service.match can be expressed.
	ServiceMatch Match
	// AnalysisMatch is what of spec.analysis.match can be expressed.
	AnalysisMatch Match
	// Needs lists the fields without which no route can be made.
	Needs []Need
	// PlainTCP tells that an application with appProtocol tcp gets a route for connections, which can be split by weight and in no other way.
	PlainTCP bool
	// BeforePods tells that some of what the provider writes must be there before pods are created that are to be part of it.
	BeforePods bool
	// Drain is how long requests may still arrive at a backend after the route was observed without it.
	Drain time.Duration
}

// Strategies is a set of ways in which a change can reach users.
type Strategies struct {
	Canary          bool
	ABTesting       bool
	BlueGreen       bool
	MirrorCanary    bool // traffic shadowing before the first weight
	MirrorBlueGreen bool // traffic shadowing during blue/green
	SessionAffinity bool // a user stays on one version by cookie
	PrimaryCookie   bool // also users of the primary
}

// Match says which conditions on requests can be expressed. The zero value expresses none.
type Match struct {
	URI          Modes
	Method       Modes
	Authority    Modes
	Scheme       Modes
	Headers      Modes
	QueryParams  Modes
	SourceLabels bool
	// Other stands for name, port, gateways, ignoreUriCase, withoutHeaders and sourceNamespace.
	Other bool
	// MaxHeaders bounds the number of headers over all entries; 0 is unbounded.
	MaxHeaders int
	// Cookie tells that one entry of its own may name a cookie: the header cookie with the cookie's name as exact value. It counts in no bound.
	Cookie bool
	// Together tells that those who meet the conditions go to one side all together; they cannot be shared out by weight.
	Together bool
	// MaxCombined bounds the number of entries times those of spec.service.match; 0 is unbounded.
	MaxCombined int
	// MaxEntries bounds the number of entries that have effect; 0 is unbounded.
	MaxEntries int
}

// None tells whether no condition at all can be expressed.
func (m Match) None() bool { return m == Match{} }

// Modes is a set of ways to compare a string.
type Modes uint8

// Ways to compare a string.
const (
	Exact Modes = 1 << iota
	Prefix
	Suffix
	Regex
)

// Has tells whether all of the given ways are in the set.
func (m Modes) Has(o Modes) bool { return m&o == o }

// String lists the ways, for example "exact, regex"; "none" for the empty set.
func (m Modes) String() string {
	names := make([]string, 0, 4)
	for i, name := range []string{"exact", "prefix", "suffix", "regex"} {
		if m.Has(1 << i) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Need is a field of a Canary without which a provider cannot make routes, as a path.
type Need string

// Fields that providers need.
const (
	NeedGatewayRefs Need = "spec.service.gatewayRefs"
	NeedIngressRef  Need = "spec.ingressRef"
	NeedRouteRef    Need = "spec.routeRef"
	NeedMeshName    Need = "spec.service.meshName"
)

// For returns what is left of the provider for an application with the given appProtocol.
func (p Provider) For(appProtocol string) Provider {
	if p.PlainTCP && strings.EqualFold(appProtocol, "tcp") {
		weights := func(s Strategies) Strategies { return Strategies{Canary: s.Canary, BlueGreen: s.BlueGreen} }
		p.Strategies, p.Available, p.AnalysisMatch = weights(p.Strategies), weights(p.Available), Match{}
	}
	return p
}

// Implemented tells whether this build can run the provider in at least one strategy.
func (p Provider) Implemented() bool { return p.Available != Strategies{} }

// Lookup finds a provider by the spelling of spec.provider or -mesh-provider: its name, or NAME:SUFFIX for a parametric
// one. Case counts. Anything else is unknown: there is no fallback.
func Lookup(spelling string) (Provider, bool) {
	for _, p := range providers() {
		if spelling == p.Name {
			return p, true
		}
		if suffix, ok := strings.CutPrefix(spelling, p.Name+":"); ok && p.Parametric && suffix != "" {
			return p, true
		}
	}
	return Provider{}, false
}

// Names lists the canonical spellings of all known providers, sorted.
func Names() []string { return names(func(Provider) bool { return true }) }

// ImplementedNames lists the canonical spellings of the providers that this build can run, sorted.
func ImplementedNames() []string { return names(Provider.Implemented) }

func names(keep func(Provider) bool) []string {
	var out []string
	for _, p := range providers() {
		if keep(p) {
			out = append(out, p.Name)
		}
	}
	slices.Sort(out)
	return out
}
