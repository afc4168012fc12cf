// Package demo shows Sluice at work on a cluster of its own: under the traffic
// of users it rolls out a good version of an application, which is promoted,
// and then a bad one, which is rolled back, and it judges what the users saw.
//
// Recording and judging are apart: a rollout leaves a value with everything
// that was seen, and the report is a pure function of it.
//
// What may never live here: how things are installed (package harness), and
// how traffic is sent and counted (package traffic).
package demo
