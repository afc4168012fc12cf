package validation

import "testing"

func serviceDenials() []ruleCase {
	return []ruleCase{
		{"origins and age of an HTTPRoute", `{spec: {service: {corsPolicy: {maxAge: 500ms, allowOrigins: [{exact: "http://a"}, {prefix: "http://b"}, {regex: .*}]}}}}`, []string{
			`spec.service.corsPolicy.allowOrigins[1]: cannot be expressed by provider gatewayapi:v1, which knows exact origins only; ` +
				`use exact, or allowOrigin with a wildcard such as https://*.example.com`,
			`spec.service.corsPolicy.allowOrigins[2]: cannot be expressed by provider gatewayapi:v1, which knows exact origins only; ` +
				`use exact, or allowOrigin with a wildcard such as https://*.example.com`,
			`spec.service.corsPolicy.maxAge: "500ms" is too short; use 1s or more`,
		}},
		{"an age that is no duration", `{spec: {service: {corsPolicy: {maxAge: 1d}}}}`, []string{
			`spec.service.corsPolicy.maxAge: "1d" is not a duration; use for example 30s or 1m`,
		}},
		{"an age beyond an HTTPRoute", `{spec: {service: {corsPolicy: {maxAge: 600000h}}}}`, []string{
			`spec.service.corsPolicy.maxAge: "600000h" is too long; use for example 24h`,
		}},
		{"timeouts beyond an HTTPRoute", `{spec: {service: {timeout: 100000h, backendTimeout: 100000h}}}`, []string{
			`spec.service.timeout: "100000h" is longer than an HTTPRoute can say; use less than 100000h`,
			`spec.service.backendTimeout: "100000h" is longer than an HTTPRoute can say; use less than 100000h`,
		}},
		{"a good policy", `{spec: {service: {timeout: 99999h, corsPolicy: {maxAge: 24h, allowOrigins: [{exact: "http://a"}]}}}}`, nil},
		{"another provider", `{spec: {provider: kubernetes, analysis: {stepWeight: null, iterations: 2}, service: {timeout: 100000h,
			corsPolicy: {maxAge: 500ms, allowOrigins: [{prefix: "http://b"}]}}}}`, nil},
		{"durations as in Istio", `{spec: {provider: kubernetes, analysis: {stepWeight: null, iterations: 2}, service: {
			corsPolicy: {maxAge: 1d}, retries: {perTryTimeout: soon}, trafficPolicy: {
			connectionPool: {http: {idleTimeout: x}}, outlierDetection: {interval: "5", baseEjectionTime: -1s},
			loadBalancer: {warmupDurationSecs: "30", consistentHash: {httpCookie: {ttl: 1 h}}}}}}}`, []string{
			`spec.service.retries.perTryTimeout: "soon" is not a duration; use for example 30s or 1m`,
			`spec.service.corsPolicy.maxAge: "1d" is not a duration; use for example 30s or 1m`,
			`spec.service.trafficPolicy.connectionPool.http.idleTimeout: "x" is not a duration; use for example 30s or 1m`,
			`spec.service.trafficPolicy.outlierDetection.interval: "5" is not a duration; use for example 30s or 1m`,
			`spec.service.trafficPolicy.outlierDetection.baseEjectionTime: "-1s" is not a duration; use for example 30s or 1m`,
			`spec.service.trafficPolicy.loadBalancer.warmupDurationSecs: "30" is not a duration; use for example 30s or 1m`,
			`spec.service.trafficPolicy.loadBalancer.consistentHash.httpCookie.ttl: "1 h" is not a duration; use for example 30s or 1m`,
		}},
		{"durations that do", `{spec: {service: {retries: {perTryTimeout: 1s}, trafficPolicy: {connectionPool: {http: {idleTimeout: 1h}}, loadBalancer: {}}}}}`, nil},
	}
}

// Nothing is claimed about an HTTPRoute while the provider is unknown.
func TestRouteOfUnknownProvider(t *testing.T) {
	denials, _ := ValidateCanary(canary(t, `{spec: {provider: x, service: {timeout: 100000h}}}`), options())
	if len(denials) != 1 || denials[0].Field != fieldProvider {
		t.Errorf("denials %v; want only that of the provider", lines(denials))
	}
}
