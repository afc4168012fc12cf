package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MetricTemplate is a query that metric checks refer to.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=metrictemplates,singular=metrictemplate,categories=all
// +kubebuilder:metadata:annotations="helm.sh/resource-policy=keep"
// +kubebuilder:printcolumn:name="Provider",type=string,JSONPath=`.spec.provider.type`
type MetricTemplate struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec MetricTemplateSpec `json:"spec"`
	// +optional
	Status ResourceStatus `json:"status,omitzero"`
}

// MetricTemplateList is a list of MetricTemplate.
//
// +kubebuilder:object:root=true
type MetricTemplateList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []MetricTemplate `json:"items"`
}

// MetricTemplateSpec is a query and where to send it.
type MetricTemplateSpec struct {
	// Provider that answers the query.
	Provider MetricProvider `json:"provider"`
	// Query as a Go text/template.
	Query string `json:"query"`
}

// Types of metric providers.
const (
	MetricPrometheus      = "prometheus"
	MetricInfluxDB        = "influxdb"
	MetricDatadog         = "datadog"
	MetricExternalMetrics = "externalmetrics"
	MetricStackdriver     = "stackdriver"
	MetricCloudWatch      = "cloudwatch"
	MetricNewRelic        = "newrelic"
	MetricGraphite        = "graphite"
	MetricDynatrace       = "dynatrace"
	MetricKeptn           = "keptn"
	MetricSplunk          = "splunk"
)

// MetricProvider is the address of a metrics API.
type MetricProvider struct {
	// Type of API.
	//
	// +kubebuilder:validation:Enum=prometheus;influxdb;datadog;externalmetrics;stackdriver;cloudwatch;newrelic;graphite;dynatrace;keptn;splunk
	Type string `json:"type"`
	// Address of the API.
	//
	// +optional
	Address string `json:"address,omitempty"`
	// Headers of requests.
	//
	// +optional
	Headers map[string][]string `json:"headers,omitempty"`
	// SecretRef names a Secret with credentials in the template's namespace.
	//
	// +optional
	SecretRef *SecretReference `json:"secretRef,omitempty"`
	// Region of the API (cloudwatch).
	//
	// +optional
	Region string `json:"region,omitempty"`
	// InsecureSkipVerify accepts any certificate of the API.
	//
	// +optional
	InsecureSkipVerify bool `json:"insecureSkipVerify,omitempty"`
}

// SecretReference names a Secret in the same namespace.
type SecretReference struct {
	// Name of the Secret.
	Name string `json:"name"`
}

// ResourceStatus is the status of a MetricTemplate or AlertProvider.
type ResourceStatus struct {
	// Conditions of the object.
	//
	// +optional
	// +kubebuilder:validation:MaxItems=16
	Conditions []Condition `json:"conditions,omitempty"`
}
