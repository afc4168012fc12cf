package analysis

import (
	"context"
	"fmt"

	"github.com/sluice-dev/sluice/analysis/check"
	"github.com/sluice-dev/sluice/analysis/internal/httpx"
	"github.com/sluice-dev/sluice/analysis/prometheus"
	"github.com/sluice-dev/sluice/analysis/provider"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Provider answers queries with single values, which may be NaN or infinite. check.ErrNoData stands for an answer without a value.
type Provider interface {
	Query(ctx context.Context, query string) (provider.Sample, error)
}

// promProvider is Prometheus as a Provider. The time of a value is not known: a server dates it by the question.
type promProvider struct{ client *prometheus.Client }

func (p promProvider) Query(ctx context.Context, query string) (provider.Sample, error) {
	value, err := p.client.Query(ctx, query)
	return provider.Sample{Value: value}, err
}

// newProvider makes a Provider by the type that a MetricTemplate names. A type that is not known is an error, never a default. done is to be
// called when nothing is asked any more.
func newProvider(s provider.Source) (p Provider, done func(), err error) {
	done = func() {}
	ca, cert, key := s.Secret[check.KeyCA], s.Secret[check.KeyCert], s.Secret[check.KeyKey]
	if len(ca) > 0 || len(cert) > 0 {
		own, err := httpx.NewTransportWith(s.Spec.InsecureSkipVerify, ca, cert, key)
		if err != nil {
			return nil, done, fmt.Errorf("%s credentials: the Secret's %w", s.Spec.Type, err)
		}
		s.Transport, done = own, own.CloseIdleConnections
	}
	if s.Spec.Type != v1beta1.MetricPrometheus {
		p, err = provider.New(s)
		return p, done, err
	}
	client, err := prometheus.New(s.Transport, prometheus.Options{
		Address:   s.Spec.Address,
		Headers:   s.Spec.Headers,
		Secret:    s.Secret,
		UserAgent: s.UserAgent,
	})
	return promProvider{client}, done, err
}
