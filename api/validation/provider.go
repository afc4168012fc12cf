package validation

import (
	"strings"

	"github.com/sluice-dev/sluice/mesh/capability"
)

const fieldProvider = "spec.provider"

// provider denies what is unknown or cannot run yet, and a Canary that lacks what the provider needs.
func (r *review) provider() {
	spelling, field := r.canary.Spec.Provider, fieldProvider
	if spelling == "" {
		spelling = r.opts.DefaultProvider
	}
	if spelling == "" {
		r.deny(field, nil, "is empty and the controller has no -mesh-provider; set one of %s",
			list(capability.ImplementedNames()))
		return
	}
	p, ok := capability.Lookup(spelling)
	if !ok {
		r.deny(field, spelling, "is not a known provider%s; use one of %s", suggestion(spelling), list(capability.Names()))
		return
	}
	if !p.Implemented() {
		r.deny(field, spelling, "is not available in this version; use one of %s", list(capability.ImplementedNames()))
		return
	}
	r.can, r.known = p.For(r.canary.Spec.Service.AppProtocol), true
	for _, need := range p.Needs {
		if !r.has(need) {
			r.deny(string(need), nil, "is required by provider %s", p.Name)
		}
	}
}

func (r *review) has(need capability.Need) bool {
	s := r.canary.Spec
	switch need {
	case capability.NeedGatewayRefs:
		return len(s.Service.GatewayRefs) > 0
	case capability.NeedIngressRef:
		return s.IngressRef != nil
	case capability.NeedRouteRef:
		return s.RouteRef != nil
	case capability.NeedMeshName:
		return s.Service.MeshName != ""
	}
	return false
}

// suggestion names the known provider that was probably meant, as a clause, or nothing.
func suggestion(spelling string) string {
	best, least := "", 3
	for _, name := range capability.Names() {
		family, _, _ := strings.Cut(name, ":")
		if strings.EqualFold(spelling, name) || strings.EqualFold(spelling, family) {
			return "; did you mean " + name
		}
		if d := distance(strings.ToLower(spelling), name); d < least {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best
}

// distance is the number of insertions, deletions and replacements that turn one word into another.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diagonal, row[j] = row[j], min(row[j]+1, row[j-1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

func list(names []string) string { return strings.Join(names, ", ") }
