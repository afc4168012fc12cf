package tools

import (
	"fmt"
	"slices"
	"strings"
)

// Binary is one program of a group.
type Binary struct {
	// Name is the file name in the group's folder, such as "kube-apiserver".
	Name string
	// Package is the Go import path of the main package.
	Package string
}

// Group is a set of programs that share one module and one build.
type Group struct {
	// Name is the folder under e2e/tools and the name in the cache.
	Name string
	// Binaries are all programs of the group; never empty.
	Binaries []Binary
	// Tags are Go build tags; empty means none.
	Tags []string
	// LinkerFlags are added to "-s -w".
	LinkerFlags []string
}

const (
	kubernetesVersion = "v1.37.2"
	versionPackage    = "k8s.io/component-base/version"
)

// groups lists what can be built, in the order in which a cluster needs them.
var groups = []Group{
	{
		Name: "kubernetes",
		Binaries: []Binary{
			{"etcd", "go.etcd.io/etcd/server/v3"},
			{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"},
			{"kubectl", "k8s.io/kubernetes/cmd/kubectl"},
			{"kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"},
			{"kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"},
			{"kubelet", "k8s.io/kubernetes/cmd/kubelet"},
			{"kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"},
		},
		// Clients refuse a server that cannot say its version.
		LinkerFlags: []string{
			"-X " + versionPackage + ".gitVersion=" + kubernetesVersion,
			"-X " + versionPackage + ".gitMajor=1",
			"-X " + versionPackage + ".gitMinor=37",
		},
	},
	{
		Name: "containerd",
		Binaries: []Binary{
			{"containerd", "github.com/containerd/containerd/v2/cmd/containerd"},
			{"containerd-shim-runc-v2", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"},
			{"ctr", "github.com/containerd/containerd/v2/cmd/ctr"},
			{"host-local", "github.com/containernetworking/plugins/plugins/ipam/host-local"},
			{"loopback", "github.com/containernetworking/plugins/plugins/main/loopback"},
			{"ptp", "github.com/containernetworking/plugins/plugins/main/ptp"},
		},
	},
	{
		Name:     "coredns",
		Binaries: []Binary{{"coredns", "github.com/coredns/coredns"}},
	},
	{
		Name:     "podinfo",
		Binaries: []Binary{{"podinfo", "github.com/stefanprodan/podinfo/cmd/podinfo"}},
	},
	{
		Name:     "prometheus",
		Binaries: []Binary{{"prometheus", "github.com/prometheus/prometheus/cmd/prometheus"}},
		// Only the discovery of pods is wanted; the others bring in the
		// client libraries of every cloud.
		Tags: []string{"remove_all_sd", "enable_kubernetes_sd"},
	},
	{
		// What HorizontalPodAutoscalers know of the load of pods.
		Name:     "metrics-server",
		Binaries: []Binary{{"metrics-server", "sigs.k8s.io/metrics-server/cmd/metrics-server"}},
	},
	{
		// Plays nodes and pods by the hundred: the fleet benchmark uses it.
		Name:     "kwok",
		Binaries: []Binary{{"kwok", "sigs.k8s.io/kwok/cmd/kwok"}},
	},
	{
		// A tool of people, not of the cluster: the stories about releases use it.
		Name:     "helm",
		Binaries: []Binary{{"helm", "helm.sh/helm/v4/cmd/helm"}},
	},
	{
		// What Sluice takes over from: the story about that runs it.
		Name:     "flagger",
		Binaries: []Binary{{"flagger", "github.com/fluxcd/flagger/cmd/flagger"}},
	},
	{
		Name: "certmanager",
		// A program of this module: cert-manager's own are no packages of its module.
		Binaries: []Binary{{"certmanager", "github.com/sluice-dev/sluice/e2e/tools/certmanager"}},
	},
	{
		Name:     "traefik",
		Binaries: []Binary{{"traefik", "github.com/traefik/traefik/v3/cmd/traefik"}},
	},
	{
		// Istio's control plane: the tests of data planes run it as a process.
		Name:     "istiod",
		Binaries: []Binary{{"pilot-discovery", "istio.io/istio/pilot/cmd/pilot-discovery"}},
	},
}

// Groups returns all groups in build order.
func Groups() []Group { return slices.Clone(groups) }

// Lookup finds a group by name. The error lists the known names.
func Lookup(name string) (Group, error) {
	names := make([]string, 0, len(groups))
	for _, g := range groups {
		if g.Name == name {
			return g, nil
		}
		names = append(names, g.Name)
	}
	return Group{}, fmt.Errorf("tool group %q is unknown: use one of %s", name, strings.Join(names, ", "))
}
