package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AlertProvider is a chat channel to which alerts are sent.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=alertproviders,singular=alertprovider,categories=all
// +kubebuilder:metadata:annotations="helm.sh/resource-policy=keep"
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.type`
type AlertProvider struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec AlertProviderSpec `json:"spec"`
	// +optional
	Status ResourceStatus `json:"status,omitzero"`
}

// AlertProviderList is a list of AlertProvider.
//
// +kubebuilder:object:root=true
type AlertProviderList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []AlertProvider `json:"items"`
}

// Types of alert providers.
const (
	AlertSlack   = "slack"
	AlertMSTeams = "msteams"
	AlertDiscord = "discord"
	AlertRocket  = "rocket"
	AlertGChat   = "gchat"
	// AlertWebhook is any program that takes JSON; Flagger has no such type.
	AlertWebhook = "webhook"
)

// AlertTypes lists the types of alert providers.
func AlertTypes() []string {
	return []string{AlertSlack, AlertMSTeams, AlertDiscord, AlertRocket, AlertGChat, AlertWebhook}
}

// AlertProviderSpec is the address of a chat channel.
//
// +kubebuilder:validation:XValidation:rule="has(self.address) != has(self.secretRef)",message="set exactly one of address and secretRef"
type AlertProviderSpec struct {
	// Type of chat; webhook sends plain JSON to any address.
	//
	// +kubebuilder:validation:Enum=slack;msteams;discord;rocket;gchat;webhook
	Type string `json:"type"`
	// Channel to post to.
	//
	// +optional
	Channel string `json:"channel,omitempty"`
	// Username to post as.
	//
	// +optional
	Username string `json:"username,omitempty"`
	// Address is the hook URL.
	//
	// +optional
	Address string `json:"address,omitempty"`
	// Proxy URL.
	//
	// +optional
	Proxy string `json:"proxy,omitempty"`
	// SecretRef names a Secret whose key address holds the hook URL, in the provider's namespace.
	//
	// +optional
	SecretRef *SecretReference `json:"secretRef,omitempty"`
}
