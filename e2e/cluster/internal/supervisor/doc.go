// Package supervisor is the host's side of a running local cluster: one
// process that writes the configuration, starts the node in its namespaces,
// waits until the cluster works, and removes everything when it is told to
// stop, when the process that it serves ends, or when the node ends.
//
// It holds the cluster's port on 127.0.0.1 of the machine; it changes nothing
// else in the machine's own network. What may never live here: building of
// tools and images, which happens before, in the foreground of the user.
package supervisor
