package validation

import (
	"strings"

	"github.com/sluice-dev/sluice/analysis/check"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

// needs warns of what a metric provider must be told before it can be asked. It is no denial: Flagger stores such templates. The address of
// Prometheus has a rule of its own.
func (f *findings) needs(p *v1beta1.MetricProvider) {
	needs, err := check.NeedsOf(p.Type)
	if err != nil {
		// The type is denied.
		return
	}
	if needs.Address && p.Address == "" && p.Type != v1beta1.MetricPrometheus {
		f.warn("spec.provider.address", nil, "is needed by %s, so each check will fail; use for example https://host", p.Type)
	}
	if needs.Region && p.Region == "" {
		f.warn("spec.provider.region", nil, "is needed by %s, so each check will fail; use for example eu-west-1", p.Type)
	}
	if needs.Secret && p.SecretRef == nil {
		f.warn("spec.provider.secretRef", nil, "is needed by %s, so each check will fail; name a Secret with %s", p.Type, strings.Join(needs.Keys[0], " and "))
	}
}
