// Package webhook answers the API server's admission requests.
//
// PathWorkloads sees each change of a target before it lands: the revision that the change replaces is stored, and where pods of the target may
// hold user traffic the change is held, which means that it is stored but does not roll out. PathConfigs does the same for the ConfigMaps and Secrets
// that targets reference; a change of one cannot be held, because pods may read it at any moment, so users are taken off the canary before it lands.
// PathVerifyWorkloads and PathVerifyConfigs look a second time, at the objects as they are going to be stored, where the first look left no trace
// in them. PathCanaries refuses Canaries that are wrong in themselves, and records what serves at the moment a Canary is admitted.
// PathMetricTemplates and PathAlertProviders refuse templates and providers that are wrong in themselves.
//
// # Shape
//
// A handler decodes the request, gathers facts (from caches wherever possible), asks a pure function (Decide, DecideConfig, VerifyWorkload,
// VerifyConfig, or the validation package) and carries the outcome out: a minimal JSON patch, warnings, fences, and the snapshot. Objects are never
// written back through Go types, so fields that this program does not know survive.
//
// Files are named after what is asked about: workloads*.go, configs*.go, and admit.go for Canaries; scope*.go keeps the reach of the webhooks for new
// objects, which carry no label yet.
//
// # Promises
//
// The gate cannot hurt the cluster. A request is answered within Budget; an internal error, a timeout and a panic are answered by "allowed" with
// a warning, for the reconciler catches up with what was missed. Deletions, finalizers, scale and status are never blocked. Under dry run nothing
// is written. Requests of Sluice itself are left alone. Handlers may be called twice for one request and give the same object then.
//
// What may never live here: reconciling, routes, metrics of a rollout, or a rule about Canaries that is not about admission.
package webhook
