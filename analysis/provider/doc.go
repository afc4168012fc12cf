// Package provider asks the metric providers of MetricTemplates for single values, one file for each. A provider is two pure functions: one builds the
// request, one reads the answer; the frame in provider.go sends it. What a value means is judged elsewhere.
//
// No credential of the controller goes to an address that a template names: what is ambient (the token of the service account, the identity in a
// cloud) is sent to the API server and to the cloud's own hosts only.
package provider
