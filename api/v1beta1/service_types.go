package v1beta1

import (
	"k8s.io/apimachinery/pkg/util/intstr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// CanaryService describes the generated Services (apex, primary, canary) and the routes between them.
type CanaryService struct {
	// Name of the apex Service; the target's name when absent.
	//
	// +optional
	Name string `json:"name,omitempty"`

	// Port of the generated Services.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`

	// PortName is the name of the port; http when absent.
	//
	// +optional
	PortName string `json:"portName,omitempty"`

	// TargetPort is the container port, by number or name; port when absent.
	//
	// +optional
	TargetPort intstr.IntOrString `json:"targetPort,omitzero"`

	// AppProtocol of the port.
	//
	// +optional
	AppProtocol string `json:"appProtocol,omitempty"`

	// TrafficDistribution of the generated Services.
	//
	// +optional
	// +kubebuilder:validation:Enum=PreferClose;PreferSameZone;PreferSameNode
	TrafficDistribution string `json:"trafficDistribution,omitempty"`

	// PortDiscovery adds the target's other container ports to the generated Services.
	//
	// +optional
	PortDiscovery bool `json:"portDiscovery,omitempty"`

	// Headless makes the generated Services headless.
	//
	// +optional
	Headless bool `json:"headless,omitempty"`

	// Timeout of a request.
	//
	// +optional
	Timeout Duration `json:"timeout,omitempty"`

	// BackendTimeout bounds one request to a backend (Gateway API).
	//
	// +optional
	BackendTimeout Duration `json:"backendTimeout,omitempty"`

	// MeshName of App Mesh.
	//
	// +optional
	MeshName string `json:"meshName,omitempty"`

	// Backends of the App Mesh virtual nodes.
	//
	// +optional
	Backends []string `json:"backends,omitempty"`

	// Hosts served by the route.
	//
	// +optional
	Hosts []string `json:"hosts,omitempty"`

	// Delegation makes the generated VirtualService a delegate (Istio).
	//
	// +optional
	Delegation bool `json:"delegation,omitempty"`

	// Match limits the route to certain requests.
	//
	// +optional
	// +kubebuilder:validation:MaxItems=128
	Match []HTTPMatch `json:"match,omitempty"`

	// Rewrite of requests.
	//
	// +optional
	Rewrite *HTTPRewrite `json:"rewrite,omitempty"`

	// Retries of requests.
	//
	// +optional
	Retries *HTTPRetry `json:"retries,omitempty"`

	// Headers to add, set or remove.
	//
	// +optional
	Headers *HeaderOperations `json:"headers,omitempty"`

	// Mirror copies requests to other backends (Gateway API).
	//
	// +optional
	// +kubebuilder:validation:MaxItems=32
	Mirror []gatewayv1.HTTPRequestMirrorFilter `json:"mirror,omitempty"`

	// Gateways of the route (Istio).
	//
	// +optional
	Gateways []string `json:"gateways,omitempty"`

	// GatewayRefs are the parents of the route (Gateway API).
	//
	// +optional
	// +kubebuilder:validation:MaxItems=32
	GatewayRefs []gatewayv1.ParentReference `json:"gatewayRefs,omitempty"`

	// CorsPolicy of the route.
	//
	// +optional
	CorsPolicy *CorsPolicy `json:"corsPolicy,omitempty"`

	// TrafficPolicy of the destinations (Istio).
	//
	// +optional
	TrafficPolicy *TrafficPolicy `json:"trafficPolicy,omitempty"`

	// Apex is metadata for the apex Service and the route.
	//
	// +optional
	Apex *CustomMetadata `json:"apex,omitempty"`

	// Primary is metadata for the primary Service.
	//
	// +optional
	Primary *CustomMetadata `json:"primary,omitempty"`

	// Canary is metadata for the canary Service.
	//
	// +optional
	Canary *CustomMetadata `json:"canary,omitempty"`

	// UnmanagedMetadata lists keys on the generated Services that others own.
	//
	// +optional
	UnmanagedMetadata *UnmanagedMetadata `json:"unmanagedMetadata,omitempty"`
}

// CustomMetadata is added to a generated object.
type CustomMetadata struct {
	// Labels to add.
	//
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations to add.
	//
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
}

// UnmanagedMetadata lists keys whose live values are kept.
type UnmanagedMetadata struct {
	// Labels by key.
	//
	// +optional
	Labels []string `json:"labels,omitempty"`
	// Annotations by key.
	//
	// +optional
	Annotations []string `json:"annotations,omitempty"`
}

// HTTPRewrite changes the path or host of requests.
type HTTPRewrite struct {
	// URI that replaces the path.
	//
	// +optional
	URI string `json:"uri,omitempty"`
	// Authority that replaces the host.
	//
	// +optional
	Authority string `json:"authority,omitempty"`
	// Type of path rewrite (Gateway API): ReplacePrefixMatch, or else the full path.
	//
	// +optional
	Type string `json:"type,omitempty"`
}
