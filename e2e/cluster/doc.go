// Package cluster runs a real Kubernetes on one Linux machine, for tests and
// demonstrations: API server, etcd, controller manager, scheduler, kubelet,
// kube-proxy, containerd and CoreDNS, built from source once per user (package
// tools) and started in namespaces of their own. Neither Docker nor a registry
// nor any downloaded binary is involved; it needs root, Go, and the packages
// runc and nftables, which it installs itself where apt-get is at hand.
//
// The machine's own network is not touched. A supervisor process on the host's
// side holds one port on 127.0.0.1 for the API server, so that plain kubectl
// works with the cluster's kubeconfig; DialContext opens connections to pods
// and services. Several clusters with different names run side by side.
//
// Nothing remains after Stop, nor after a crash: everything in the cluster
// lives in process, mount and network namespaces whose first process ends with
// the supervisor, and the kernel does the rest. With Options.EndWithParent the
// supervisor ends with the process that started the cluster.
//
// Where the variable E2E_KUBECONFIG is set, the same API stands for that
// existing cluster: it is neither started nor stopped, connections go through
// port forwarding, and images must be where its nodes can pull them
// (E2E_IMAGE_PREFIX).
//
// What may never live here: anything that knows Sluice or an add-on; those are
// packages on top (addons, the end-to-end stories).
package cluster
