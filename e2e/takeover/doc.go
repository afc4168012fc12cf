// Package takeover plays, on a cluster of its own, what docs/takeover.md has users do: a cluster that Flagger runs is taken over by Sluice, and given
// back to Flagger. Flagger is built from its module and installed with its own definitions and rights.
//
// What may never live here: stories without Flagger, which package stories plays.
package takeover
