//go:build integration

package main

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const hostNetworkFile = "install-host-network.yaml"

// flagOfPort tells which flag decides about a named port.
var flagOfPort = map[string]string{"metrics": "port", "health": "health-port", "webhook": "webhook-port"}

// portFlags returns what the arguments of the container say of ports, its environment filled in.
func portFlags(c corev1.Container) map[string]string {
	var fill []string
	for _, e := range c.Env {
		fill = append(fill, "$("+e.Name+")", e.Value)
	}
	said := map[string]string{}
	for _, arg := range c.Args {
		name, value, _ := strings.Cut(strings.TrimPrefix(arg, "-"), "=")
		said[name] = strings.NewReplacer(fill...).Replace(value)
	}
	return said
}

// TestHostNetworkPortsAgree follows the ports from the ConfigMap to flags, container and scraping.
func TestHostNetworkPortsAgree(t *testing.T) {
	objects := rendered(t, hostNetworkFile)
	template := find[appsv1.Deployment](t, objects, "Deployment", "sluice").Spec.Template
	if !template.Spec.HostNetwork || template.Spec.DNSPolicy != corev1.DNSClusterFirstWithHostNet {
		t.Errorf("network of the host: %t, DNS %s; want both of the host and the cluster's names", template.Spec.HostNetwork, template.Spec.DNSPolicy)
	}
	said, defaults := portFlags(template.Spec.Containers[0]), flagDefaults(t)
	taken := map[int32]string{}
	for _, port := range template.Spec.Containers[0].Ports {
		number := port.ContainerPort
		if name := flagOfPort[port.Name]; said[name] != strconv.Itoa(int(number)) || said[name] == defaults[name] {
			t.Errorf("port %s is %d, and -%s is %q; want the same, and not the default %s", port.Name, number, name, said[name], defaults[name])
		}
		if other := taken[number]; other != "" {
			t.Errorf("port %d is for %s and for %s", number, other, port.Name)
		}
		taken[number] = port.Name
		if number < 1024 || number >= 30000 {
			t.Errorf("port %d for %s is one of the privileged, of NodePort Services or of outgoing connections", number, port.Name)
		}
	}
	if len(taken) != len(flagOfPort) {
		t.Errorf("ports %v, want those of %v", taken, flagOfPort)
	}
	if scraped := template.Annotations["prometheus.io/port"]; scraped != said["port"] {
		t.Errorf("metrics are scraped at %s and served at %s", scraped, said["port"])
	}
	for _, object := range objects {
		if object.GetKind() == "ConfigMap" {
			t.Errorf("ConfigMap %s, which only kustomize reads, is shipped", object.GetName())
		}
	}
}

// TestHostNetworkReplicasDoNotShareANode holds that replicas keep apart, and that an update goes on where every node has one.
func TestHostNetworkReplicasDoNotShareANode(t *testing.T) {
	d := find[appsv1.Deployment](t, rendered(t, hostNetworkFile), "Deployment", "sluice")
	affinity := d.Spec.Template.Spec.Affinity
	if affinity == nil || affinity.PodAntiAffinity == nil || len(affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution) != 1 {
		t.Fatalf("affinity %+v, want one that keeps replicas apart", affinity)
	}
	apart := affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0]
	if apart.TopologyKey != corev1.LabelHostname || !selects(apart.LabelSelector.MatchLabels, d.Spec.Template.Labels) {
		t.Errorf("kept apart by %s are %v; want by node the pods with %v", apart.TopologyKey, apart.LabelSelector, d.Spec.Template.Labels)
	}
	rolling := d.Spec.Strategy.RollingUpdate
	if *rolling.MaxSurge != intstr.FromInt32(0) || *rolling.MaxUnavailable != intstr.FromInt32(1) {
		t.Errorf("updates with surge %s and %s unavailable: a new pod waits for a node that the old one holds", rolling.MaxSurge, rolling.MaxUnavailable)
	}
}

// TestHostNetworkGivesUpNothingElse applies the file and creates its pod: allowed where the file says so, refused in a restricted namespace, and for
// the sake of the network alone.
func TestHostNetworkGivesUpNothingElse(t *testing.T) {
	objects := rendered(t, hostNetworkFile)
	template := find[appsv1.Deployment](t, objects, "Deployment", "sluice").Spec.Template
	pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	pod.Namespace, pod.GenerateName = ownNamespace, "dry-run-"
	// The API server warns by what it knows of the namespace, which may be as an earlier test has left it.
	before, _ := newClient(t)
	apply(t, before, objects[:1])
	admitsPod(t, before, "before anything else is applied", pod)
	c, heard := newClient(t)
	install(t, c, hostNetworkFile)
	admitsPod(t, c, "where the file says so", pod)
	if len(heard.text) > 0 {
		t.Errorf("the API server warns:\n%s", strings.Join(heard.text, "\n"))
	}

	// The namespace as the base ships it, which comes first in the file.
	apply(t, c, rendered(t, "install.yaml")[:1])
	refusesPod(t, c, "with the network of the host in a restricted namespace", pod)
	pod.Spec.HostNetwork = false
	admitsPod(t, c, "without the network of the host", pod)
}

// TestHostNetworkGoesWithTheOthers renders all components together, for one namespace.
func TestHostNetworkGoesWithTheOthers(t *testing.T) {
	objects := composed(t, "overlays/namespaced", "overlays/host-network/ports.yaml", "components/cert-manager", "components/host-network")
	args := find[appsv1.Deployment](t, objects, "Deployment", "sluice").Spec.Template.Spec.Containers[0].Args
	for _, want := range []string{"controller", "-namespace=test", "-certs-mode=files", "-webhook-port=$(WEBHOOK_PORT)"} {
		if !slices.Contains(args, want) {
			t.Errorf("arguments %v lack %s", args, want)
		}
	}
}
