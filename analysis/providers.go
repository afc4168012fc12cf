package analysis

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/analysis/prometheus"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Provider answers queries with single values, which may be NaN or infinite. check.ErrNoData stands for an answer without a value.
type Provider interface {
	Query(ctx context.Context, query string) (float64, error)
}

// connection is what a provider is made of.
type connection struct {
	spec      v1beta1.MetricProvider
	secret    map[string][]byte // nil without secretRef
	transport http.RoundTripper
	userAgent string
}

// providers make a Provider by the type that a MetricTemplate names. A type that is not here is an error, never a default.
var providers = map[string]func(connection) (Provider, error){
	v1beta1.MetricPrometheus: func(c connection) (Provider, error) {
		return prometheus.New(c.transport, prometheus.Options{
			Address:   c.spec.Address,
			Headers:   c.spec.Headers,
			Secret:    c.secret,
			UserAgent: c.userAgent,
		})
	},
}

func newProvider(c connection) (Provider, error) {
	build, ok := providers[c.spec.Type]
	if !ok {
		return nil, fmt.Errorf("metric provider type %q is not supported: use %s", c.spec.Type,
			strings.Join(slices.Sorted(maps.Keys(providers)), ", "))
	}
	return build(c)
}
