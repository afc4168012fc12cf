// Package node is the inside of a local cluster: the first process of its own
// process, mount and network namespaces. It prepares mounts and network,
// starts the cluster's components and starts them again when they end, and
// lets the host reach in through a forwarded API port and a unix socket.
//
// Because it is the first process of its process namespace, the kernel ends
// everything inside when it ends, however it ends; the mounts and the network
// go with the namespaces. So there is nothing here that takes anything down.
//
// What may never live here: Kubernetes API calls, and decisions about what
// runs; those belong to the supervisor, which stays on the host's side.
package node
