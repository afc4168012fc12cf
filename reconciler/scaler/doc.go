// Package scaler knows the kinds of autoscalers that a Canary may name: how the primary's copy of one is rendered, how the target's own is kept from
// scaling an idle target, and what limits one sets.
//
// It is pure: objects come in and go out as values, unstructured, so that fields of a newer version survive being copied. Nothing here reaches a
// cluster, decides when something happens (package core does), or knows of Canaries beyond their reference to an autoscaler.
package scaler
