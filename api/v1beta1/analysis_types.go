package v1beta1

// CanaryAnalysis describes the steps of a rollout and the checks of each step.
//
// +kubebuilder:validation:XValidation:rule="[has(self.iterations), has(self.stepWeight), has(self.stepWeights)].exists_one(x, x)",message="set exactly one of iterations (A/B testing, blue/green), stepWeight or stepWeights (canary)"
type CanaryAnalysis struct {
	// Interval between two checks.
	//
	// +kubebuilder:validation:MinLength=1
	Interval Duration `json:"interval"`

	// Threshold of failed checks at which the rollout is rolled back; 0 means 1.
	//
	// +kubebuilder:validation:Minimum=0
	Threshold int32 `json:"threshold"`

	// Iterations is the number of checks; selects A/B testing (with match) or blue/green.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	Iterations int32 `json:"iterations,omitempty"`

	// StepWeight is added to the canary's share of traffic at each step, in per cent.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	StepWeight int32 `json:"stepWeight,omitempty"`

	// StepWeights lists the canary's share of traffic at each step, in per cent.
	//
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:Minimum=1
	// +kubebuilder:validation:items:Maximum=100
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.exists_one(b, b == a)) && self.isSorted()",message="stepWeights must ascend without repeats, for example [5, 20, 50]"
	StepWeights []int32 `json:"stepWeights,omitempty"`

	// MaxWeight is the share at which the canary is promoted, in per cent; 0 means 100.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	MaxWeight int32 `json:"maxWeight,omitempty"`

	// StepWeightPromotion moves traffic back to the primary by steps, in per cent; 0 means at once.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	StepWeightPromotion int32 `json:"stepWeightPromotion,omitempty"`

	// Mirror copies requests to the canary before it serves users.
	//
	// +optional
	Mirror bool `json:"mirror,omitempty"`

	// MirrorWeight is the share of requests to copy, in per cent; 0 means all.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	MirrorWeight int32 `json:"mirrorWeight,omitempty"`

	// PrimaryReadyThreshold is the share of primary pods that must be available, in per cent; 100 when absent.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	PrimaryReadyThreshold *int32 `json:"primaryReadyThreshold,omitempty"`

	// CanaryReadyThreshold is the share of canary pods that must be available, in per cent; 100 when absent.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	CanaryReadyThreshold *int32 `json:"canaryReadyThreshold,omitempty"`

	// Match selects the requests that reach the canary (A/B testing).
	//
	// +optional
	// +kubebuilder:validation:MaxItems=128
	Match []AnalysisMatch `json:"match,omitempty"`

	// Metrics to check at each step.
	//
	// +optional
	// +kubebuilder:validation:MaxItems=100
	Metrics []CanaryMetric `json:"metrics,omitempty"`

	// Alerts to send.
	//
	// +optional
	// +kubebuilder:validation:MaxItems=100
	Alerts []CanaryAlert `json:"alerts,omitempty"`

	// Webhooks to call.
	//
	// +optional
	// +kubebuilder:validation:MaxItems=100
	Webhooks []CanaryWebhook `json:"webhooks,omitempty"`

	// SessionAffinity keeps a user on the version that answered first.
	//
	// +optional
	SessionAffinity *SessionAffinity `json:"sessionAffinity,omitempty"`
}

// AnalysisMatch describes the requests of an A/B test; all its fields must hold.
type AnalysisMatch struct {
	// Headers by lower-case name.
	//
	// +optional
	Headers map[string]StringMatch `json:"headers,omitempty"`
	// QueryParams by name.
	//
	// +optional
	QueryParams map[string]StringMatch `json:"queryParams,omitempty"`
	// SourceLabels of the calling workload (Istio).
	//
	// +optional
	SourceLabels map[string]string `json:"sourceLabels,omitempty"`
}

// CanaryMetric is one metric check.
type CanaryMetric struct {
	// Name of a built-in metric, or of this check.
	Name string `json:"name"`

	// Interval over which the metric is taken; 1m when absent.
	//
	// +optional
	Interval Duration `json:"interval,omitempty"`

	// Threshold is the limit where no thresholdRange is set: lower for request-success-rate, upper otherwise.
	//
	// +optional
	Threshold *float64 `json:"threshold,omitempty"`

	// ThresholdRange of accepted values.
	//
	// +optional
	ThresholdRange *ThresholdRange `json:"thresholdRange,omitempty"`

	// Query in PromQL, for the metrics server.
	//
	// +optional
	Query string `json:"query,omitempty"`

	// TemplateRef names a MetricTemplate.
	//
	// +optional
	TemplateRef *CrossNamespaceReference `json:"templateRef,omitempty"`

	// TemplateVariables are available to the template's query.
	//
	// +optional
	TemplateVariables map[string]string `json:"templateVariables,omitempty"`

	// DryRun records the verdict without acting on it. An addition of Sluice.
	//
	// +optional
	DryRun bool `json:"dryRun,omitempty"`
}

// ThresholdRange of accepted values, bounds included; nil is unbounded.
//
// +kubebuilder:validation:XValidation:rule="!has(self.min) || !has(self.max) || self.min <= self.max",message="thresholdRange.min is above max, so no value passes; swap them"
type ThresholdRange struct {
	// Min accepted value.
	//
	// +optional
	Min *float64 `json:"min,omitempty"`
	// Max accepted value.
	//
	// +optional
	Max *float64 `json:"max,omitempty"`
}

// AlertSeverity is the least severe alert to send; empty means info.
type AlertSeverity string

// Severities of alerts.
const (
	SeverityInfo  AlertSeverity = "info"
	SeverityWarn  AlertSeverity = "warn"
	SeverityError AlertSeverity = "error"
)

// CanaryAlert sends alerts of a Canary to one provider.
type CanaryAlert struct {
	// Name of this alert.
	Name string `json:"name"`
	// Severity is the least severe alert to send; info when empty.
	//
	// +optional
	// +kubebuilder:validation:Enum="";info;warn;error
	Severity AlertSeverity `json:"severity,omitempty"`
	// ProviderRef names an AlertProvider.
	ProviderRef CrossNamespaceReference `json:"providerRef"`
}

// HookType says when a webhook is called.
type HookType string

// Types of webhooks. An empty type means HookRollout.
const (
	HookConfirmRollout         HookType = "confirm-rollout"
	HookPreRollout             HookType = "pre-rollout"
	HookRollout                HookType = "rollout"
	HookConfirmTrafficIncrease HookType = "confirm-traffic-increase"
	HookConfirmPromotion       HookType = "confirm-promotion"
	HookPostRollout            HookType = "post-rollout"
	HookRollback               HookType = "rollback"
	HookEvent                  HookType = "event"
)

// CanaryWebhook is an HTTP endpoint that is asked or told during a rollout.
type CanaryWebhook struct {
	// Name of the webhook.
	Name string `json:"name"`
	// Type says when it is called; rollout when empty.
	//
	// +optional
	// +kubebuilder:validation:Enum="";confirm-rollout;pre-rollout;rollout;confirm-promotion;post-rollout;event;rollback;confirm-traffic-increase
	Type HookType `json:"type,omitempty"`
	// URL to POST to.
	URL string `json:"url"`
	// Timeout of one call; 10s when absent.
	//
	// +optional
	Timeout Duration `json:"timeout,omitempty"`
	// Retries after a failed call.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Retries int32 `json:"retries,omitempty"`
	// DisableTLS accepts any certificate of the endpoint.
	//
	// +optional
	DisableTLS bool `json:"disableTLS,omitempty"`
	// MuteAlert sends no alerts about this webhook.
	//
	// +optional
	MuteAlert bool `json:"muteAlert,omitempty"`
	// Metadata sent with the call.
	//
	// +optional
	Metadata map[string]string `json:"metadata,omitempty"`
}

// SessionAffinity keeps a user on one version by a cookie.
type SessionAffinity struct {
	// CookieName of users on the canary.
	CookieName string `json:"cookieName"`
	// PrimaryCookieName of users on the primary; none when empty.
	//
	// +optional
	PrimaryCookieName string `json:"primaryCookieName,omitempty"`
	// Domain of the cookie.
	//
	// +optional
	Domain string `json:"domain,omitempty"`
	// HTTPOnly hides the cookie from scripts.
	//
	// +optional
	HTTPOnly bool `json:"httpOnly,omitempty"`
	// MaxAge of the cookie in seconds.
	//
	// +optional
	// +kubebuilder:default=86400
	MaxAge int32 `json:"maxAge,omitempty"`
	// Partitioned keeps the cookie in partitioned storage.
	//
	// +optional
	Partitioned bool `json:"partitioned,omitempty"`
	// Path of the cookie.
	//
	// +optional
	Path string `json:"path,omitempty"`
	// SameSite of the cookie.
	//
	// +optional
	// +kubebuilder:validation:Enum=Strict;Lax;None
	SameSite string `json:"sameSite,omitempty"`
	// Secure sends the cookie over https only.
	//
	// +optional
	Secure bool `json:"secure,omitempty"`
}
