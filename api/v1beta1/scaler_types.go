package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ScalerStatus is what the rollouts of a Canary need to know of its autoscalers.
type ScalerStatus struct {
	// Kind and Name of the target's autoscaler; the primary's is called NAME-primary.
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Floor is how many replicas the primary keeps whatever its autoscaler makes of its load, because users who are elsewhere are about to come,
	// or may come back at any moment; 0 for none.
	//
	// +optional
	Floor int32 `json:"floor,omitempty"`
	// FloorUntil is when the floor ends; absent while a rollout lasts.
	//
	// +optional
	FloorUntil *metav1.MicroTime `json:"floorUntil,omitempty"`
	// Returning tells that the floor includes the users who are coming back from the canary.
	//
	// +optional
	Returning bool `json:"returning,omitempty"`
	// ShortSince is since when a step has waited for the canary to have the pods that it needs.
	//
	// +optional
	ShortSince *metav1.MicroTime `json:"shortSince,omitempty"`
	// StepNeeds is how many pods those are.
	//
	// +optional
	StepNeeds int32 `json:"stepNeeds,omitempty"`
}
