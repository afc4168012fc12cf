// Package query turns the metric queries of a Canary into text that a metrics server understands.
//
// Here live the template language of queries (Go text/template with Flagger's functions), the queries behind the built-in metrics
// request-success-rate and request-duration, and the rule that tells the pods of a canary from those of its primary by name.
//
// Built-in queries are data: each folder under observers/ holds request-success-rate.promql, request-duration.promql and a file
// named providers that lists the routing providers it serves, one a line; a trailing * matches any ending. A new provider is a new
// folder.
//
// The package is a pure leaf: no client, no clock, no Kubernetes access, and none may come in.
package query
