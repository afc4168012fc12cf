package v1beta1

// The types of this file carry the part of Istio's JSON that a Canary may hold. Istio's own Go types are protobuf
// messages with interface-typed unions, from which no schema can be generated.

// StringMatch compares a string in one way; with no field set it asks only for presence.
//
// +kubebuilder:validation:MaxProperties=1
type StringMatch struct {
	// Exact value.
	//
	// +optional
	Exact string `json:"exact,omitempty"`
	// Prefix of the value.
	//
	// +optional
	Prefix string `json:"prefix,omitempty"`
	// Suffix of the value; only in analysis.match[].headers.
	//
	// +optional
	Suffix string `json:"suffix,omitempty"`
	// Regex in RE2 syntax for the whole value.
	//
	// +optional
	Regex string `json:"regex,omitempty"`
}

// HTTPMatch describes requests; all its fields must hold.
type HTTPMatch struct {
	// Name of the match.
	//
	// +optional
	Name string `json:"name,omitempty"`
	// URI of the request.
	//
	// +optional
	URI *StringMatch `json:"uri,omitempty"`
	// Scheme of the request.
	//
	// +optional
	Scheme *StringMatch `json:"scheme,omitempty"`
	// Method of the request.
	//
	// +optional
	Method *StringMatch `json:"method,omitempty"`
	// Authority of the request.
	//
	// +optional
	Authority *StringMatch `json:"authority,omitempty"`
	// Headers by lower-case name.
	//
	// +optional
	Headers map[string]StringMatch `json:"headers,omitempty"`
	// WithoutHeaders must not match, by lower-case name.
	//
	// +optional
	WithoutHeaders map[string]StringMatch `json:"withoutHeaders,omitempty"`
	// QueryParams by name.
	//
	// +optional
	QueryParams map[string]StringMatch `json:"queryParams,omitempty"`
	// IgnoreURICase compares the path without regard to case.
	//
	// +optional
	IgnoreURICase bool `json:"ignoreUriCase,omitempty"`
	// Port of the host.
	//
	// +optional
	Port int64 `json:"port,omitempty"`
	// Gateways on which the match holds.
	//
	// +optional
	Gateways []string `json:"gateways,omitempty"`
	// SourceLabels of the calling workload.
	//
	// +optional
	SourceLabels map[string]string `json:"sourceLabels,omitempty"`
	// SourceNamespace of the calling workload.
	//
	// +optional
	SourceNamespace string `json:"sourceNamespace,omitempty"`
}

// HTTPRetry says how often and when a request is tried again.
type HTTPRetry struct {
	// Attempts allowed.
	//
	// +optional
	Attempts int32 `json:"attempts,omitempty"`
	// PerTryTimeout bounds one attempt.
	//
	// +optional
	PerTryTimeout string `json:"perTryTimeout,omitempty"`
	// RetryOn lists conditions, separated by commas.
	//
	// +optional
	RetryOn string `json:"retryOn,omitempty"`
}

// HeaderOperations change the headers of requests and responses.
type HeaderOperations struct {
	// Request headers.
	//
	// +optional
	Request *HeaderOperation `json:"request,omitempty"`
	// Response headers.
	//
	// +optional
	Response *HeaderOperation `json:"response,omitempty"`
}

// HeaderOperation changes headers.
type HeaderOperation struct {
	// Add appends values.
	//
	// +optional
	Add map[string]string `json:"add,omitempty"`
	// Set replaces values.
	//
	// +optional
	Set map[string]string `json:"set,omitempty"`
	// Remove drops headers by name.
	//
	// +optional
	Remove []string `json:"remove,omitempty"`
}

// CorsPolicy of a route.
type CorsPolicy struct {
	// AllowOrigin lists exact origins; superseded by allowOrigins.
	//
	// +optional
	AllowOrigin []string `json:"allowOrigin,omitempty"`
	// AllowOrigins lists matches of origins.
	//
	// +optional
	AllowOrigins []StringMatch `json:"allowOrigins,omitempty"`
	// AllowMethods lists methods.
	//
	// +optional
	AllowMethods []string `json:"allowMethods,omitempty"`
	// AllowHeaders lists request headers.
	//
	// +optional
	AllowHeaders []string `json:"allowHeaders,omitempty"`
	// ExposeHeaders lists response headers.
	//
	// +optional
	ExposeHeaders []string `json:"exposeHeaders,omitempty"`
	// MaxAge of a cached preflight answer.
	//
	// +optional
	MaxAge string `json:"maxAge,omitempty"`
	// AllowCredentials lets requests carry credentials; absent leaves it to the provider.
	//
	// +optional
	AllowCredentials *bool `json:"allowCredentials,omitempty"`
}

// TrafficPolicy of the destinations of a route.
type TrafficPolicy struct {
	// ConnectionPool limits connections.
	//
	// +optional
	ConnectionPool *ConnectionPool `json:"connectionPool,omitempty"`
	// LoadBalancer settings.
	//
	// +optional
	LoadBalancer *LoadBalancer `json:"loadBalancer,omitempty"`
	// OutlierDetection ejects failing hosts.
	//
	// +optional
	OutlierDetection *OutlierDetection `json:"outlierDetection,omitempty"`
	// TLS towards the destination.
	//
	// +optional
	TLS *ClientTLS `json:"tls,omitempty"`
}

// ConnectionPool limits connections to a destination.
type ConnectionPool struct {
	// HTTP limits.
	//
	// +optional
	HTTP *HTTPConnectionPool `json:"http,omitempty"`
}

// HTTPConnectionPool limits HTTP connections.
type HTTPConnectionPool struct {
	// +optional
	// +kubebuilder:validation:Enum=DEFAULT;DO_NOT_UPGRADE;UPGRADE
	H2UpgradePolicy string `json:"h2UpgradePolicy,omitempty"`
	// +optional
	HTTP1MaxPendingRequests int32 `json:"http1MaxPendingRequests,omitempty"`
	// +optional
	HTTP2MaxRequests int32 `json:"http2MaxRequests,omitempty"`
	// +optional
	IdleTimeout string `json:"idleTimeout,omitempty"`
	// +optional
	MaxRequestsPerConnection int32 `json:"maxRequestsPerConnection,omitempty"`
	// +optional
	MaxRetries int32 `json:"maxRetries,omitempty"`
}

// LoadBalancer settings of a destination: simple or consistentHash.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.simple) && has(self.consistentHash))",message="loadBalancer has both simple and consistentHash; keep one"
type LoadBalancer struct {
	// +optional
	// +kubebuilder:validation:Enum=ROUND_ROBIN;LEAST_CONN;RANDOM;PASSTHROUGH;LEAST_REQUEST
	Simple string `json:"simple,omitempty"`
	// +optional
	ConsistentHash *ConsistentHash `json:"consistentHash,omitempty"`
	// +optional
	LocalityLBSetting *LocalityLBSetting `json:"localityLbSetting,omitempty"`
	// +optional
	WarmupDurationSecs string `json:"warmupDurationSecs,omitempty"`
}

// ConsistentHash chooses a host by one property of the request.
//
// +kubebuilder:validation:XValidation:rule="[has(self.httpHeaderName), has(self.httpCookie), has(self.useSourceIp), has(self.httpQueryParameterName)].filter(x, x).size() <= 1",message="consistentHash has more than one of httpHeaderName, httpCookie, useSourceIp and httpQueryParameterName; keep one"
type ConsistentHash struct {
	// +optional
	HTTPHeaderName string `json:"httpHeaderName,omitempty"`
	// +optional
	HTTPCookie *HashCookie `json:"httpCookie,omitempty"`
	// +optional
	UseSourceIP *bool `json:"useSourceIp,omitempty"`
	// +optional
	HTTPQueryParameterName string `json:"httpQueryParameterName,omitempty"`
	// +optional
	MinimumRingSize int64 `json:"minimumRingSize,omitempty"`
}

// HashCookie is the cookie to hash by.
type HashCookie struct {
	// +optional
	Name string `json:"name,omitempty"`
	// +optional
	Path string `json:"path,omitempty"`
	// +optional
	TTL string `json:"ttl,omitempty"`
}

// LocalityLBSetting prefers hosts by locality.
type LocalityLBSetting struct {
	// +optional
	Enabled *bool `json:"enabled,omitempty"`
	// +optional
	Distribute []LocalityDistribute `json:"distribute,omitempty"`
	// +optional
	Failover []LocalityFailover `json:"failover,omitempty"`
}

// LocalityDistribute spreads traffic of one locality, in per cent by destination locality.
type LocalityDistribute struct {
	// +optional
	From string `json:"from,omitempty"`
	// +optional
	To map[string]int64 `json:"to,omitempty"`
}

// LocalityFailover names the region that takes over.
type LocalityFailover struct {
	// +optional
	From string `json:"from,omitempty"`
	// +optional
	To string `json:"to,omitempty"`
}

// OutlierDetection ejects hosts that fail. Pointers tell an absent value from 0, which switches a detector off.
type OutlierDetection struct {
	// +optional
	BaseEjectionTime string `json:"baseEjectionTime,omitempty"`
	// +optional
	Consecutive5xxErrors *int64 `json:"consecutive5xxErrors,omitempty"`
	// +optional
	ConsecutiveErrors int32 `json:"consecutiveErrors,omitempty"`
	// +optional
	ConsecutiveGatewayErrors *int32 `json:"consecutiveGatewayErrors,omitempty"`
	// +optional
	ConsecutiveLocalOriginFailures *int32 `json:"consecutiveLocalOriginFailures,omitempty"`
	// +optional
	Interval string `json:"interval,omitempty"`
	// +optional
	MaxEjectionPercent int32 `json:"maxEjectionPercent,omitempty"`
	// +optional
	MinHealthPercent int32 `json:"minHealthPercent,omitempty"`
	// +optional
	SplitExternalLocalOriginErrors bool `json:"splitExternalLocalOriginErrors,omitempty"`
}

// ClientTLS towards a destination.
type ClientTLS struct {
	// +optional
	// +kubebuilder:validation:Enum=DISABLE;SIMPLE;MUTUAL;ISTIO_MUTUAL
	Mode string `json:"mode,omitempty"`
	// +optional
	CACertificates string `json:"caCertificates,omitempty"`
	// +optional
	ClientCertificate string `json:"clientCertificate,omitempty"`
	// +optional
	PrivateKey string `json:"privateKey,omitempty"`
	// +optional
	SNI string `json:"sni,omitempty"`
	// +optional
	SubjectAltNames []string `json:"subjectAltNames,omitempty"`
}
