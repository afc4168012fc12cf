package validation

import (
	"fmt"
	"math"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// service denies a port that is none, and durations that do not parse.
func (r *review) service() {
	s := &r.canary.Spec.Service
	if s.Port == 0 && r.canary.Spec.TargetRef.Kind != "Service" {
		r.deny("spec.service.port", nil, "is required; set the port of the Services to make")
	} else if s.Port < 0 || s.Port > 65535 {
		r.deny("spec.service.port", s.Port, "is not a port; use 1 to 65535")
	}
	if s.TargetPort.StrVal == "" && (s.TargetPort.IntVal < 0 || s.TargetPort.IntVal > 65535) {
		r.deny("spec.service.targetPort", s.TargetPort.IntVal, "is not a port; use 1 to 65535, or the name of a container port")
	}
	r.duration("spec.service.timeout", s.Timeout, 0)
	r.duration("spec.service.backendTimeout", s.BackendTimeout, 0)
	if s.Timeout != "" && s.BackendTimeout.Or(0) > s.Timeout.Or(0) && s.Timeout.Or(0) > 0 {
		r.deny("spec.service.backendTimeout", string(s.BackendTimeout), "is above timeout %s; lower it", s.Timeout)
	}
}

// serviceDurations denies what does not parse in the parts of a service that are as in Istio.
func (r *review) serviceDurations() {
	s := &r.canary.Spec.Service
	text := func(field, value string) { r.duration("spec.service."+field, v1beta1.Duration(value), 0) }
	if s.Retries != nil {
		text("retries.perTryTimeout", s.Retries.PerTryTimeout)
	}
	if s.CorsPolicy != nil && !r.makesHTTPRoute() {
		text("corsPolicy.maxAge", s.CorsPolicy.MaxAge)
	}
	p := s.TrafficPolicy
	if p == nil {
		return
	}
	if p.ConnectionPool != nil && p.ConnectionPool.HTTP != nil {
		text("trafficPolicy.connectionPool.http.idleTimeout", p.ConnectionPool.HTTP.IdleTimeout)
	}
	if p.OutlierDetection != nil {
		text("trafficPolicy.outlierDetection.interval", p.OutlierDetection.Interval)
		text("trafficPolicy.outlierDetection.baseEjectionTime", p.OutlierDetection.BaseEjectionTime)
	}
	if b := p.LoadBalancer; b != nil {
		text("trafficPolicy.loadBalancer.warmupDurationSecs", b.WarmupDurationSecs)
		if b.ConsistentHash != nil && b.ConsistentHash.HTTPCookie != nil {
			text("trafficPolicy.loadBalancer.consistentHash.httpCookie.ttl", b.ConsistentHash.HTTPCookie.TTL)
		}
	}
}

func (r *review) makesHTTPRoute() bool {
	return r.known && slices.ContainsFunc(r.can.Writes, func(k schema.GroupVersionKind) bool { return k.Kind == "HTTPRoute" })
}

const (
	// longestRouteTimeout is beyond what an HTTPRoute can say: five digits of hours.
	longestRouteTimeout = 100000 * time.Hour
	// longestRouteAge is the largest number of seconds that an HTTPRoute can hold.
	longestRouteAge = math.MaxInt32 * time.Second
)

// httpRoute denies what no HTTPRoute can hold: the route could not be written.
func (r *review) httpRoute() {
	if !r.makesHTTPRoute() {
		return
	}
	s := &r.canary.Spec.Service
	if s.Timeout.Or(0) >= longestRouteTimeout {
		r.deny("spec.service.timeout", string(s.Timeout), "is longer than an HTTPRoute can say; use less than 100000h")
	}
	if s.BackendTimeout.Or(0) >= longestRouteTimeout {
		r.deny("spec.service.backendTimeout", string(s.BackendTimeout), "is longer than an HTTPRoute can say; use less than 100000h")
	}
	cors := s.CorsPolicy
	if cors == nil {
		return
	}
	for i, o := range cors.AllowOrigins {
		if o.Exact == "" {
			r.deny(fmt.Sprintf("spec.service.corsPolicy.allowOrigins[%d]", i), nil, "cannot be expressed by provider %s, which knows exact origins only; "+
				"use exact, or allowOrigin with a wildcard such as https://*.example.com", r.can.Name)
		}
	}
	age := v1beta1.Duration(cors.MaxAge)
	r.duration("spec.service.corsPolicy.maxAge", age, time.Second)
	if age.Or(0) > longestRouteAge {
		r.deny("spec.service.corsPolicy.maxAge", cors.MaxAge, "is too long; use for example 24h")
	}
}
