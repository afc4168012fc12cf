// Package v1beta1 holds the wire types of the group flagger.app: Canary, MetricTemplate and AlertProvider.
//
// The types read and write the same JSON as Flagger's, so existing manifests, dashboards and scripts keep working.
// What Sluice adds to them lives in sluice_types.go. Helpers here are pure and answer only from the object itself:
// names, defaults, steps. What never lives here: clients, clocks, knowledge of a provider or of the cluster's state.
//
// +kubebuilder:object:generate=true
// +groupName=flagger.app
package v1beta1
