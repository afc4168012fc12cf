// Package validation judges Canaries, MetricTemplates and AlertProviders before they act: what is wrong in itself is denied, what
// may still arrive or cannot be known is a warning. docs/validation.md lists all rules.
//
// All functions are pure. What depends on the cluster comes in as Facts that the caller has gathered; clients, caches and
// HTTP never live here. Rules that a schema can express stand in the CRD as well, so they hold while no webhook runs.
package validation
