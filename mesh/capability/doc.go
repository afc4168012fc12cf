// Package capability is the table of routing providers: how each is spelt, which objects it writes, which strategies and
// matches it can express, and what it needs from a Canary.
//
// It is data and lookups, and any package may import it. Clients, rendering of routes and metric queries never live here.
package capability
