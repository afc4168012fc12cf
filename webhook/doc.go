// Package webhook answers the API server's admission requests.
//
// Four paths are served. PathWorkloads sees each change of a target before it lands: the revision that the change replaces is stored, and where
// pods of the target may hold user traffic the change is held, which means that it is stored but does not roll out. PathCanaries refuses
// Canaries that are wrong in themselves, and records what serves at the moment a Canary is admitted. PathMetricTemplates and
// PathAlertProviders refuse templates and providers that are wrong in themselves.
//
// # Shape
//
// A handler decodes the request, gathers facts (from caches wherever possible), asks a pure function (Decide, or the validation package) and
// carries the outcome out: a minimal JSON patch, warnings, and the snapshot. Objects are never written back through Go types, so fields that
// this program does not know survive.
//
// # Promises
//
// The gate cannot hurt the cluster. A request is answered within Budget; an internal error, a timeout and a panic are answered by "allowed" with
// a warning, for the reconciler catches up with what was missed. Deletions, finalizers, scale and status are never blocked. Under dry run nothing
// is written. Requests of Sluice itself are left alone. Handlers may be called twice for one request and give the same object then.
//
// What may never live here: reconciling, routes, metrics of a rollout, or a rule about Canaries that is not about admission.
package webhook
