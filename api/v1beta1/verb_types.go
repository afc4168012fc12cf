package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// VerbOutcome says what has become of a verb.
type VerbOutcome string

// Outcomes of verbs.
const (
	// VerbDone: it was acted on.
	VerbDone VerbOutcome = "Done"
	// VerbRefused: it makes no sense in the state in which the Canary was by then.
	VerbRefused VerbOutcome = "Refused"
	// VerbIgnored: nobody has looked whether the user may do that, or it came too late.
	VerbIgnored VerbOutcome = "Ignored"
)

// MaxVerbMessage bounds VerbStatus.Message, in characters.
const MaxVerbMessage = 512

// VerbStatus is the last verb of an operator and what has become of it.
type VerbStatus struct {
	// Text is the value of the annotation, as far as it could be a verb.
	//
	// +kubebuilder:validation:MaxLength=253
	Text string `json:"text"`
	// ID of the request that set it; empty where admission has not seen one.
	//
	// +optional
	ID string `json:"id,omitempty"`
	// By is the user who set it; empty where nobody knows.
	//
	// +optional
	By string `json:"by,omitempty"`
	// At is when it was admitted, or found.
	At metav1.MicroTime `json:"at"`
	// Outcome is Done, Refused or Ignored.
	//
	// +kubebuilder:validation:Enum=Done;Refused;Ignored
	Outcome VerbOutcome `json:"outcome"`
	// Message says what follows from it.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`
	// Standing tells that the annotation is still there: whoever owns it, such as a tool that applies manifests, must not repeat the verb by that.
	//
	// +optional
	Standing bool `json:"standing,omitempty"`
}

// PausedStatus tells that an operator keeps the rollout at its step, or the next one before it starts.
type PausedStatus struct {
	// By is the user, Since when it was asked for.
	By    string           `json:"by"`
	Since metav1.MicroTime `json:"since"`
}

// RestoreStatus is a stored revision that an operator has the primary serve again.
type RestoreStatus struct {
	// Revision as a digest.
	Revision string `json:"revision"`
	// By is the user, At when it was asked for.
	By string           `json:"by"`
	At metav1.MicroTime `json:"at"`
	// Begun tells that the primary is being given the revision, or has been.
	//
	// +optional
	Begun bool `json:"begun,omitempty"`
}
