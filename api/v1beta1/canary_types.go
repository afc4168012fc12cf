package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Canary describes how new revisions of one workload reach users: where traffic enters, by which steps it moves,
// and which checks decide.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=canaries,singular=canary,categories=all
// +kubebuilder:metadata:annotations="helm.sh/resource-policy=keep"
// +kubebuilder:validation:XValidation:rule="(self.spec.targetRef.kind == oldSelf.spec.targetRef.kind && self.spec.targetRef.name == oldSelf.spec.targetRef.name) || !has(oldSelf.status) || (!has(oldSelf.status.currentRevision) && (!has(oldSelf.status.phase) || oldSelf.status.phase in ['Initializing', \"\"]))",message="targetRef cannot change once the target was taken up, which would not be given back; delete the Canary, which gives it back, and create it anew",fieldPath=".spec.targetRef"
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Weight",type=string,JSONPath=`.status.canaryWeight`
// +kubebuilder:printcolumn:name="Suspended",type=boolean,JSONPath=`.spec.suspend`,priority=1
// +kubebuilder:printcolumn:name="FailedChecks",type=string,JSONPath=`.status.failedChecks`,priority=1
// +kubebuilder:printcolumn:name="Interval",type=string,JSONPath=`.spec.analysis.interval`,priority=1
// +kubebuilder:printcolumn:name="Mirror",type=boolean,JSONPath=`.spec.analysis.mirror`,priority=1
// +kubebuilder:printcolumn:name="StepWeight",type=string,JSONPath=`.spec.analysis.stepWeight`,priority=1
// +kubebuilder:printcolumn:name="StepWeights",type=string,JSONPath=`.spec.analysis.stepWeights`,priority=1
// +kubebuilder:printcolumn:name="MaxWeight",type=string,JSONPath=`.spec.analysis.maxWeight`,priority=1
// +kubebuilder:printcolumn:name="LastTransitionTime",type=string,JSONPath=`.status.lastTransitionTime`
// +kubebuilder:printcolumn:name="PausedBy",type=string,JSONPath=`.status.paused.by`,priority=1
// +kubebuilder:printcolumn:name="LastVerb",type=string,JSONPath=`.status.verb.text`,priority=1
// +kubebuilder:printcolumn:name="VerbOutcome",type=string,JSONPath=`.status.verb.outcome`,priority=1
type Canary struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec CanarySpec `json:"spec"`
	// +optional
	Status CanaryStatus `json:"status,omitzero"`
}

// CanaryList is a list of Canary.
//
// +kubebuilder:object:root=true
type CanaryList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Canary `json:"items"`
}

// CanarySpec is the desired way of rolling out one workload.
type CanarySpec struct {
	// Provider of traffic routing; the controller's -mesh-provider when absent.
	//
	// +optional
	// +kubebuilder:validation:Enum=apisix;appmesh;appmesh:v1beta2;contour;gatewayapi:v1;gatewayapi:v1beta1;gloo;istio;knative;kubernetes;kuma;linkerd;nginx;osm;skipper;smi:v1alpha1;smi:v1alpha2;smi:v1alpha3;traefik
	Provider string `json:"provider,omitempty"`

	// MetricsServer is the Prometheus URL for built-in and inline queries; the controller's -metrics-server when absent.
	//
	// +optional
	MetricsServer string `json:"metricsServer,omitempty"`

	// TargetRef names the workload whose changes are rolled out.
	//
	// +kubebuilder:validation:XValidation:rule="self.kind in ['DaemonSet', 'Deployment', 'Service']",message="targetRef.kind must be Deployment, DaemonSet or Service",fieldPath=".kind"
	TargetRef LocalObjectReference `json:"targetRef"`

	// AutoscalerRef names the autoscaler of the target; a copy of it scales the primary.
	//
	// +optional
	AutoscalerRef *AutoscalerReference `json:"autoscalerRef,omitempty"`

	// IngressRef names the Ingress of the apex Service (nginx, skipper).
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="self.kind == 'Ingress'",message="ingressRef.kind must be Ingress",fieldPath=".kind"
	IngressRef *LocalObjectReference `json:"ingressRef,omitempty"`

	// RouteRef names the ApisixRoute of the apex Service (apisix).
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="self.kind == 'ApisixRoute'",message="routeRef.kind must be ApisixRoute",fieldPath=".kind"
	RouteRef *LocalObjectReference `json:"routeRef,omitempty"`

	// UpstreamRef names the Upstream to copy settings from (gloo).
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="self.kind == 'Upstream'",message="upstreamRef.kind must be Upstream",fieldPath=".kind"
	UpstreamRef *NamespacedObjectReference `json:"upstreamRef,omitempty"`

	// Service describes the generated Services and routes.
	//
	// +optional
	Service CanaryService `json:"service,omitzero"`

	// Analysis describes the steps and checks of a rollout.
	Analysis CanaryAnalysis `json:"analysis"`

	// ProgressDeadlineSeconds bounds the time in which a workload must become ready; 600 when absent.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	ProgressDeadlineSeconds *int32 `json:"progressDeadlineSeconds,omitempty"`

	// SkipAnalysis promotes each change at once, without steps or checks.
	//
	// +optional
	SkipAnalysis bool `json:"skipAnalysis,omitempty"`

	// RevertOnDeletion gives the target its replicas and traffic back when the Canary is deleted.
	//
	// +optional
	RevertOnDeletion bool `json:"revertOnDeletion,omitempty"`

	// Suspend stops all work on this Canary.
	//
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// Primary describes how the primary lives. An addition of Sluice.
	//
	// +optional
	Primary *PrimarySpec `json:"primary,omitempty"`
}

// LocalObjectReference names an object in the Canary's namespace.
type LocalObjectReference struct {
	// APIVersion of the object.
	//
	// +kubebuilder:validation:MaxLength=253
	APIVersion string `json:"apiVersion"`
	// Kind of the object.
	//
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// Name of the object.
	//
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// NamespacedObjectReference names an object, by default in the Canary's namespace.
type NamespacedObjectReference struct {
	LocalObjectReference `json:",inline"`

	// Namespace of the object; the Canary's when absent.
	//
	// +optional
	Namespace string `json:"namespace,omitempty"`
}

// AutoscalerReference names the autoscaler of the target and what differs in the primary's copy.
//
// +kubebuilder:validation:XValidation:rule="self.kind in ['HorizontalPodAutoscaler', 'ScaledObject']",message="autoscalerRef.kind must be HorizontalPodAutoscaler or ScaledObject",fieldPath=".kind"
type AutoscalerReference struct {
	LocalObjectReference `json:",inline"`

	// PrimaryScalerQueries replaces queries in the primary's ScaledObject: trigger name to query.
	//
	// +optional
	PrimaryScalerQueries map[string]string `json:"primaryScalerQueries,omitempty"`

	// PrimaryScalerReplicas replaces replica limits in the primary's autoscaler.
	//
	// +optional
	PrimaryScalerReplicas *ScalerReplicas `json:"primaryScalerReplicas,omitempty"`
}

// ScalerReplicas are the replica limits of an autoscaler; nil keeps the copied one.
type ScalerReplicas struct {
	// MinReplicas of the primary's autoscaler.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	MinReplicas *int32 `json:"minReplicas,omitempty"`
	// MaxReplicas of the primary's autoscaler.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxReplicas *int32 `json:"maxReplicas,omitempty"`
}

// CrossNamespaceReference names a MetricTemplate or AlertProvider, by default in the Canary's namespace.
type CrossNamespaceReference struct {
	// Name of the object.
	Name string `json:"name"`
	// Namespace of the object; the Canary's when absent.
	//
	// +optional
	Namespace string `json:"namespace,omitempty"`
}
